"""The long descriptions of installed distributions (their READMEs) as general text."""

from __future__ import annotations

import email.parser
import email.policy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from llemma.core.errors import InputError
from proof_pile.documents import Document, Quarantined, make_document
from proof_pile.sources.inputs import SourceFile, read_text

_BADGE = re.compile(r"^\s*(?:\[?!\[[^\]]*\]\([^)]*\)(?:\]\([^)]*\))?\s*)+$|^\.\. (?:image|\|[^|]*\| image)::.*$", re.M)
_TAG = re.compile(r"</?(?:p|a|img|div|br|h[1-6]|picture|source|center|table|tr|td|b|i|sub|sup)\b[^>]{0,1000}>", re.I)


class Config(BaseConfig):
    """Distributions whose description is taken; one that is not installed is passed over."""

    kind: Literal["metadata"]
    distributions: tuple[str, ...] = Field(min_length=1)
    max_file_bytes: int = Field(default=1 << 20, ge=1)
    min_chars: int = Field(default=400, ge=0)
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The METADATA files of those distributions that are installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    found = []
    for name in sorted(set(config.distributions)):
        try:
            path = Path(str(distribution(name).locate_file("."))) / _metadata_path(name)
        except (PackageNotFoundError, StopIteration):
            continue
        if path.is_file():
            found.append(SourceFile(name=f"{name}/METADATA", paths=(str(path),), size=path.stat().st_size))
    if not found:
        raise InputError(f"metadata: none of the distributions {', '.join(config.distributions)} is installed")
    return found


def _metadata_path(name: str) -> str:
    from importlib.metadata import distribution

    return next(
        str(file)
        for file in distribution(name).files or ()
        if file.name == "METADATA" and file.parent.name.endswith(".dist-info") and len(file.parts) == 2
    )


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The description of one distribution without badges and HTML tags."""
    content = read_text(file, config.max_file_bytes)
    if isinstance(content, Quarantined):
        yield content
        return
    message = email.parser.Parser(policy=email.policy.compat32).parsestr(content)
    description = message.get_payload()
    if not isinstance(description, str):
        return
    text = re.sub(r"\n{3,}", "\n\n", _TAG.sub("", _BADGE.sub("", description))).strip() + "\n"
    if len(text) >= config.min_chars:
        meta = {"licence": str(message.get("License-Expression") or message.get("License") or "")[:100]}
        yield make_document(source, file.name, text, {**meta, **config.meta})
