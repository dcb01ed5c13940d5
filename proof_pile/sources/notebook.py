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

MAX_OUTPUT_CHARS = 4000  # chosen by us: a longer output is a log or a table of numbers
# AlgebraicStack keeps a notebook whose JSON in lower case holds one of them (process_stack.py).
RAW_KEYWORDS = ("\\begin{equation}", "\\begin{align}", "import sympy", "from sympy")

_IMAGE = re.compile(r"!\[[^\]\n]{0,1000}\]\([^()\n]*\)|<img\b[^<>]*>", re.IGNORECASE)
_EMBED = re.compile(r"<(video|audio|script|iframe|style)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_ANSI = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")
_PICTURES = ("png", "jpeg", "svg")  # keys of format 3
_RAW_TEXT = ("text/latex", "text/markdown", "text/x-rst", "text/restructuredtext")


class Config(BaseConfig):
    """A notebook or a folder of notebooks.  An output longer than `max_output_chars` is left out."""

    kind: Literal["notebook"]
    path: str
    max_bytes: int | None = Field(default=None, ge=1)
    max_file_bytes: int = Field(default=64 << 20, ge=1)
    max_output_chars: int = Field(default=MAX_OUTPUT_CHARS, ge=0)
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The notebooks that the section names."""
    return take_until(list_inputs(config.path, base, (".ipynb",), wanted="notebooks (.ipynb)"), config.max_bytes)


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The one document of a notebook, or why it is none."""
    text = read_text(file, config.max_file_bytes)
    if isinstance(text, Quarantined):
        yield text
        return
    converted = convert(text, config.max_output_chars)
    if isinstance(converted, str):
        yield Quarantined(path=file.name, reason=converted, excerpt=excerpt(text))
        return
    markdown, meta = converted
    if markdown.strip():
        yield make_document(source, file.name, markdown, {**meta, "path": file.name, **config.meta})


def convert(raw: str, max_output_chars: int = MAX_OUTPUT_CHARS) -> tuple[str, dict[str, Any]] | str:
    """The Markdown and what is known of a notebook from its JSON, or why it is none.

    `raw_holds` in the second are those RAW_KEYWORDS that occur in the JSON in lower case.
    """
    import orjson

    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return f"invalid JSON: {error}"
    cells = _cells(value)
    if cells is None:
        return "not a notebook: no list of cells"
    language = _kernel_language(value)
    lowered = raw.lower()
    holds = [keyword for keyword in RAW_KEYWORDS if keyword in lowered]
    meta = {"language": "jupyter", "kernel": language, "raw_holds": holds}
    return notebook_markdown(cells, language, max_output_chars), meta


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
            parts.append(_fenced(text.strip(), language))
            parts.extend(_outputs(cell.get("outputs"), max_output_chars))
        elif kind == "raw" and _raw_type(cell) in _RAW_TEXT:
            parts.append(text.strip())
    return "\n\n".join(part for part in parts if part.strip()) + "\n"


def _raw_type(cell: dict[str, Any]) -> str:
    metadata = cell.get("metadata")
    if not isinstance(metadata, dict):
        return ""
    return str(metadata.get("raw_mimetype") or metadata.get("format") or "")


def _fenced(text: str, language: str = "") -> str:
    """The text between fences that are longer than any fence in it."""
    longest = max(map(len, re.findall(r"^`{3,}", text, re.MULTILINE)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _outputs(outputs: Any, max_chars: int) -> list[str]:
    if not isinstance(outputs, list):
        return []
    texts: list[tuple[bool, str]] = []  # whether it is printed text, which goes between fences
    for output in outputs:
        if not isinstance(output, dict):
            continue
        data = output.get("data") if isinstance(output.get("data"), dict) else output
        assert isinstance(data, dict)
        if any(str(key).startswith("image/") or key in _PICTURES for key in data):
            return []
        if output.get("output_type") in ("error", "pyerr") or ("ename" in output and "traceback" in output):
            return []
        rich = _joined(data.get("text/markdown") or data.get("text/latex") or data.get("latex"))
        text = rich or _joined(data.get("text/plain") or output.get("text"))
        text = _ANSI.sub("", text).strip("\n")
        if not text.strip() or len(text) > max_chars:
            continue
        if not rich and texts and texts[-1][0] and output.get("output_type") == "stream":
            texts[-1] = (True, f"{texts[-1][1]}\n{text}")  # what was printed in several goes is one output
        else:
            texts.append((not rich, text))
    return [_fenced(text) if printed else text for printed, text in texts]


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
