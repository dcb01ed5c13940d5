"""Jupyter notebooks as Markdown: text and code cells and plain outputs, without images and tracebacks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document, Quarantined, excerpt, make_document
from proof_pile.sources.inputs import (
    SourceFile,
    list_inputs,
    read_text,
    take_until,
)

_IMAGE = re.compile(r"!\[[^\]\n]{0,1000}\]\([^()\n]{0,1000000}\)|<img\b[^<>]{0,1000000}>", re.IGNORECASE)
_EMBED = re.compile(r"<(video|script|iframe|style)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_ANSI = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")


class Config(BaseConfig):
    """A notebook or a folder of notebooks.  An output longer than `max_output_chars` is left out."""

    kind: Literal["notebook"]
    path: str
    max_bytes: int | None = Field(default=None, ge=1)
    max_file_bytes: int = Field(default=20_000_000, ge=1)
    max_output_chars: int = Field(default=4000, ge=0)
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The notebooks that the section names."""
    return take_until(list_inputs(config.path, base, (".ipynb",), wanted="notebooks (.ipynb)"), config.max_bytes)


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The one document of a notebook, or why it is none."""
    import orjson

    text = read_text(file, config.max_file_bytes)
    if isinstance(text, Quarantined):
        yield text
        return
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        yield Quarantined(path=file.name, reason=f"invalid JSON: {error}", excerpt=excerpt(text))
        return
    cells = _cells(value)
    if cells is None:
        yield Quarantined(path=file.name, reason="not a notebook: no list of cells", excerpt=excerpt(text))
        return
    language = _kernel_language(value)
    markdown = notebook_markdown(cells, language, config.max_output_chars)
    if markdown.strip():
        meta = {"language": "jupyter", "kernel": language, "path": file.name, **config.meta}
        yield make_document(source, file.name, markdown, meta)


def _cells(value: Any) -> list[Any] | None:
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("cells"), list):  # nbformat 4
        return list(value["cells"])
    sheets = value.get("worksheets")  # nbformat 3
    if isinstance(sheets, list):
        return [c for s in sheets if isinstance(s, dict) and isinstance(s.get("cells"), list) for c in s["cells"]]
    return None


def _kernel_language(value: dict[str, Any]) -> str:
    metadata = value.get("metadata")
    for outer, inner in (("kernelspec", "language"), ("language_info", "name")):
        section = metadata.get(outer) if isinstance(metadata, dict) else None
        if isinstance(section, dict) and isinstance(section.get(inner), str):
            return re.sub(r"[^A-Za-z0-9_+#-]", "", section[inner])[:20].lower() or "python"
    return "python"


def notebook_markdown(cells: list[Any], language: str, max_output_chars: int) -> str:
    """The cells as Markdown.

    If any output of a cell is an image or a traceback, all its outputs go (the rule of AlgebraicStack's builder).
    """
    parts = []
    for cell in cells:
        if not isinstance(cell, dict):
            continue
        kind, text = cell.get("cell_type"), _joined(cell.get("source", cell.get("input")))
        if kind in ("markdown", "heading"):
            cleaned = _EMBED.sub("", _IMAGE.sub("", text)).strip()
            level = cell.get("level") if kind == "heading" else None
            parts.append(("#" * level + " " if isinstance(level, int) and 0 < level < 7 else "") + cleaned)
        elif kind == "code" and text.strip():
            parts.append(f"```{language}\n{text.strip()}\n```")
            parts.extend(_outputs(cell.get("outputs"), max_output_chars))
    return "\n\n".join(part for part in parts if part.strip()) + "\n"


def _outputs(outputs: Any, max_chars: int) -> list[str]:
    if not isinstance(outputs, list):
        return []
    texts = []
    for output in outputs:
        if not isinstance(output, dict):
            continue
        data = output.get("data") if isinstance(output.get("data"), dict) else output
        assert isinstance(data, dict)
        pictures = any(str(key).startswith("image/") or key in ("png", "jpeg", "svg") for key in data)
        if pictures or output.get("output_type") in ("error", "pyerr"):
            return []
        text = _joined(data.get("text/latex") or data.get("text/plain") or output.get("text"))
        text = _ANSI.sub("", text).strip("\n")
        if text.strip() and len(text) <= max_chars:
            texts.append(text if "text/latex" in data else f"```\n{text}\n```")
    return texts


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
