r"""RedPajama's rules for arXiv (RedPajama-Data, branch rp_v1, data_prep/arxiv), faults included, for comparison only.

What is wrong with them, and kept here so that figures compare:
    all text before the first header goes, so abstracts go; a file without a header, such as one that holds a proof, is
        dropped whole;
    \paragraph and \subparagraph lack the "|" between them: neither is found as a header unless both follow directly;
    an inline comment takes the character before the % with it, and "%" at the end of a line without a word after it
        stays; verbatim text and \url are not known;
    the text ends at the first \appendix or list of references;
    macros are replaced only where they have no arguments and their definition ends a line; definitions stay; a body
        with a character beyond ASCII makes the whole paper fail;
    a paper with a file that is not UTF-8 is dropped; files are joined in the order of the archive, \input unresolved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_KINDS = ("chapter", "part", "section", "subsection", "subsubsection", "paragraph", "subparagraph")
_HEADERS = [rf"\\\b{kind}\b\*?(?:\[(.*?)\])?\{{(.*?)\}}" for kind in _KINDS]
# The two last are joined without a bar, as published.
_FIRST_HEADER = re.compile("^(.*?)(" + "|".join([*_HEADERS[:5], _HEADERS[5] + _HEADERS[6]]) + ")", re.DOTALL)
_WHOLE_LINE = re.compile(r"^%.*\n?", re.MULTILINE)
_INLINE = re.compile(r"[^\\]%.+$", re.MULTILINE)
_END = re.compile(
    r"(?:\\appendix|\\begin\{references\}|\\begin\{REFERENCES\}|\\begin\{thebibliography\}|\\bibliography\{.*\}).*$",
    re.DOTALL,
)
_DEFINITIONS = (
    re.compile(r"\\\bnewcommand\b\*?\{(\\[a-zA-Z0-9]+?)\}\{(.*?)\}$", re.MULTILINE),
    re.compile(r"\\def\s*(\\[a-zA-Z0-9]+?)\s*\{(.*?)\}$", re.MULTILINE),
)


def clean_files(files: Iterable[str]) -> str:
    """The text that RedPajama's rules leave of a paper's files.  Raises re.error where those rules fail on a macro."""
    texts = list(files)
    macros: dict[str, str] = {}
    for text in texts:
        for definition in _DEFINITIONS:
            for match in definition.finditer(text):
                name, body = (part.encode("unicode-escape").decode() for part in match.groups())
                macros[name] = body
    return "\n".join(_clean_file(text, macros) for text in texts)


def _clean_file(text: str, macros: Mapping[str, str]) -> str:
    header = _FIRST_HEADER.search(text)
    if header is None:
        return ""
    text = text[header.start(2) :]
    text = _WHOLE_LINE.sub("", text)
    text = _INLINE.sub("", text)
    text = _END.sub("", text)
    for name, body in macros.items():
        text = re.sub(f"({name})([^a-zA-Z0-9])", body + r"\2", text)
    return text


def clean_paper(raw: Mapping[str, bytes]) -> str | None:
    """The text of a paper by those rules, None where they drop it."""
    try:
        return clean_files(data.decode("utf-8") for path, data in raw.items() if path.endswith(".tex"))
    except (UnicodeDecodeError, re.error, IndexError):
        return None
