"""One file of code or text as a document: what a source tree and a git repository have in common."""

from __future__ import annotations

from typing import Any

from proof_pile.documents import Document, Quarantined, excerpt, make_document
from proof_pile.sources import notebook
from proof_pile.sources.inputs import decode, invalid_utf8_place

_LFS = b"version https://git-lfs.github.com/spec/"


def file_document(
    source: str, name: str, data: bytes, language: str, meta: dict[str, Any]
) -> Document | Quarantined | None:
    """The document of a file's bytes, or why it is none; None for a file that holds nothing.

    A notebook becomes Markdown; what Git LFS left in place of a file is no document.
    """
    text = decode(data)
    if text is None:
        return Quarantined(path=name, reason=invalid_utf8_place(data), excerpt=excerpt(data))
    if data.startswith(_LFS):
        return Quarantined(path=name, reason="Git LFS pointer: the file itself is not here", excerpt=excerpt(data))
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if not text.strip():
        return None  # an empty __init__.py is no record that failed
    if language == "jupyter":
        converted = notebook.convert(text)
        if isinstance(converted, str):
            return Quarantined(path=name, reason=converted, excerpt=excerpt(text))
        text, known = converted
        if not text.strip():
            return None
        meta = {**meta, **known}
    return make_document(source, name, text, {"language": language, **meta})
