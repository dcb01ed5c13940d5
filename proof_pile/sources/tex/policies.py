r"""What of a paper's text is kept: the recipe's policies, applied to the marks that the machine left."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from proof_pile.sources.tex import names
from proof_pile.sources.tex.braces import Groups
from proof_pile.sources.tex.config import TexConfig
from proof_pile.sources.tex.expansion import Expanded

_REFERENCES = re.compile(
    rb"(?:\\\w+|[\s{}])*(?:references?(?: cited)?|bibliograph\w+|literature(?: cited)?|works cited|literatur|"
    rb"bibliograf\w+)[\s.:{}]*",
    re.IGNORECASE,
)
_THANKS = re.compile(rb"(?:\\\w+|[\s{}])*acknowled\w+[\s.:{}]*", re.IGNORECASE)
_YEAR = re.compile(rb"\b(?:18|19|20)\d\d\b")
_ENTRY = re.compile(rb"\\(?:bib)?item\b|^\s*(?:\[\w{1,12}\]|\\noindent|\\hang|\d{1,3}\.\s)", re.MULTILINE)
_MAX_CUTS = 200_000
_MAX_CLOSINGS = 1000  # ends of environments that are compared with one beginning
_MAX_ABSTRACTS = 20
_COMMANDS = {
    names.AUTHOR: 9,
    names.BIBLIOGRAPHY: 1,
    names.CLASS: 1,
    names.PACKAGE: 1,
}


@dataclass(frozen=True, kw_only=True)
class Body:
    """What is left of a paper, and what was found in it."""

    text: str
    title: str
    has_abstract: bool


def apply(expanded: Expanded, config: TexConfig) -> Body:
    """The text of a paper by the policies of the recipe: title and abstract first where they stood in the preamble."""
    text, marks = expanded.text, expanded.marks.tolist()
    groups = Groups(text)
    begin = next((m for m in marks if m[0] == names.ENV_DOCUMENT), None)
    end = next((m for m in marks if m[0] == -names.ENV_DOCUMENT and (begin is None or m[1] > begin[1])), None)
    body_start = begin[2] if begin else 0
    body_end = end[1] if end else len(text)
    head: list[bytes] = []
    preamble = [m for m in marks if begin is not None and m[2] <= begin[1]]
    body = [m for m in marks if body_start <= m[1] < body_end]
    title = _title(groups, preamble, body_start) or _title(groups, body, body_end)
    has_abstract = any(m[0] in (names.ENV_ABSTRACT, names.ABSTRACT) for m in (*preamble, *body))
    if begin is not None:
        head = _preamble_parts(groups, preamble, config, title, any(m[0] == names.TITLE for m in body))
    cuts = _cuts(groups, body, body_end, config)
    pieces = _without(text, body_start, body_end, cuts)
    joined = b"\n\n".join([*(part.strip() for part in head), pieces.strip(), b""])[:-1]
    shown = " ".join(title.decode("utf-8", "replace").split())[:500] if title else ""
    return Body(text=joined.decode("utf-8", "replace"), title=shown, has_abstract=has_abstract)


def _skip_space(text: bytes, position: int) -> int:
    lines = 0
    while position < len(text) and text[position] in b" \t\n":
        lines += text[position] == 10
        if lines > 1:
            break
        position += 1
    return position


def _arguments_end(groups: Groups, position: int, max_groups: int) -> int:
    """The position after a star, optional arguments and groups that follow a command directly."""
    text = groups.text
    if text[position : position + 1] == b"*":
        position += 1
    num_groups = 0
    while num_groups < max_groups:
        after = _skip_space(text, position) if num_groups == 0 else position
        if text[after : after + 1] == b"[":
            close = text.find(b"]", after, after + 500)
            if close < 0:
                break
            position = close + 1
            continue
        stop = groups.end(after)
        if stop is None:
            break
        num_groups += 1
        position = stop
    return position


def _argument(groups: Groups, position: int) -> bytes | None:
    """The first group after a command and its optional arguments."""
    text = groups.text
    position = _skip_space(text, position)
    while text[position : position + 1] == b"[":
        close = text.find(b"]", position, position + 500)
        if close < 0:
            return None
        position = _skip_space(text, close + 1)
    stop = groups.end(position)
    return text[position + 1 : stop - 1] if stop is not None else None


def _title(groups: Groups, marks: list[list[int]], limit: int) -> bytes | None:
    text = groups.text
    for code, start, stop in marks:
        if code == names.TITLE and stop <= limit:
            inner = _argument(groups, stop)
            if inner is not None and inner.strip():
                inside = [[c, a, b] for c, a, b in marks if c == names.AUTHOR and start < a]
                first = text.index(inner, stop)
                return _without(
                    text, first, first + len(inner), _command_cuts(groups, inside, first + len(inner))
                ).strip()
    return None


def _preamble_parts(
    groups: Groups, marks: list[list[int]], config: TexConfig, title: bytes | None, in_body: bool
) -> list[bytes]:
    """Title and abstract where they stand before the document begins."""
    text = groups.text
    head = []
    if title and not in_body and config.front != "drop":
        head.append(b"\\title{" + title + b"}")
    if config.front == "keep":
        for code, start, stop in marks:
            if code == names.AUTHOR:
                head.append(text[start : _arguments_end(groups, stop, 9)].strip())
    num_abstracts = 0
    for number, (code, start, stop) in enumerate(marks):
        num_abstracts += code in (names.ENV_ABSTRACT, names.ABSTRACT)
        if num_abstracts > _MAX_ABSTRACTS:
            break
        if code == names.ENV_ABSTRACT:
            close = next((m for m in marks[number:] if m[0] == -names.ENV_ABSTRACT), None)
            if close is not None:
                head.append(text[start : close[2]])
        elif code == names.ABSTRACT:
            inner = _abstract(groups, stop)
            if inner is not None:
                head.append(inner[0])
    return head


def _abstract(groups: Groups, position: int) -> tuple[bytes, int] | None:
    r"""\abstract{...} as an environment (of one group or, in astronomy, five), and the position after it."""
    text = groups.text
    stop = _arguments_end(groups, position, 5)
    start = _skip_space(text, position)
    parts = []
    while start < stop and (close := groups.end(start)) is not None:
        inner = text[start + 1 : close - 1].strip()
        if inner:
            parts.append(inner)
        start = close
    if not parts:
        return None
    return b"\\begin{abstract}\n" + b"\n".join(parts) + b"\n\\end{abstract}", stop


def _command_cuts(groups: Groups, marks: list[list[int]], limit: int) -> list[tuple[int, int, bytes]]:
    return [
        (start, min(_arguments_end(groups, stop, _COMMANDS[code]), limit), b"")
        for code, start, stop in marks
        if stop <= limit
    ]


def _cuts(groups: Groups, marks: list[list[int]], limit: int, config: TexConfig) -> list[tuple[int, int, bytes]]:
    """What is cut from the body: first and last position and what stands there instead, in order."""
    text = groups.text
    cuts: list[tuple[int, int, bytes]] = []
    position = 0
    drop_references = config.bibliography == "drop"
    sections = [(number, m) for number, m in enumerate(marks) if m[0] in (names.SECTION, names.APPENDIX)]
    following = {a[0]: b[1][1] for a, b in pairwise(sections)}
    closing: dict[int, list[int]] = {}
    for number, mark in enumerate(marks):
        if mark[0] < 0:
            closing.setdefault(-mark[0], []).append(number)
    num_unclosed = 0
    for number, (code, start, stop) in enumerate(marks):
        if start < position or code < 0 or len(cuts) > _MAX_CUTS:
            continue
        after, instead = -1, b""
        if code == names.SECTION:
            after = _section_cut(groups, marks, number, stop, following.get(number, limit), config)
        elif code in (names.ENV_BIBLIOGRAPHY, names.ENV_DRAWING, names.ENV_FRONT):
            wanted = {names.ENV_BIBLIOGRAPHY: drop_references, names.ENV_FRONT: config.front != "keep"}
            if not wanted.get(code, config.drawings != "keep") or num_unclosed > 50:
                continue
            after = _environment_end(text, marks, closing.get(code, []), number, limit)
            if after < 0:
                num_unclosed += 1
                after = limit if code == names.ENV_BIBLIOGRAPHY else -1
            if (
                code == names.ENV_DRAWING
                and config.drawings == "drop-long"
                and after - start <= config.max_drawing_bytes
            ):
                continue
        elif code == names.BIBLIOGRAPHY:
            if drop_references:
                after = _arguments_end(groups, stop, 1)
        elif code in _COMMANDS:
            if code != names.AUTHOR or config.front != "keep":
                after = _arguments_end(groups, stop, _COMMANDS[code])
        elif code == names.TITLE and config.front == "drop":
            after = _arguments_end(groups, stop, 1)
        elif code == names.ABSTRACT:
            found = _abstract(groups, stop)
            if found is not None:
                instead, after = found
        elif code in (names.APPENDIX, names.ENV_APPENDIX) and config.appendix == "cut":
            cuts.append((start, limit, b""))
            break
        elif code == names.BOXMARK and config.drawings == "drop":
            after = _arguments_end(groups, stop, 1)
        if after > start:
            cuts.append((start, min(after, limit), instead))
            position = after
    return cuts


def _environment_end(text: bytes, marks: list[list[int]], closing: list[int], number: int, limit: int) -> int:
    r"""The position after the \end of the same name, -1 without one."""
    _, start, stop = marks[number]
    name = text[text.find(b"{", start, stop) : stop]
    name = name[: name.find(b"}") + 1]
    first = bisect_right(closing, number)
    for index in closing[first : first + _MAX_CLOSINGS]:
        if text[marks[index][1] : marks[index][2]].endswith(name):
            return int(marks[index][2])
    return -1


def _section_cut(
    groups: Groups, marks: list[list[int]], number: int, stop: int, following: int, config: TexConfig
) -> int:
    """Where a section ends that the recipe does not want (references, acknowledgements), -1 for all others."""
    text = groups.text
    argument_end = _arguments_end(groups, stop, 1)
    heading = text[stop:argument_end]
    heading = heading[heading.find(b"{") :][:80]
    if config.acknowledgements == "drop" and _THANKS.fullmatch(heading):
        return following
    if config.bibliography != "drop" or not _REFERENCES.fullmatch(heading):
        return -1
    content = text[argument_end:following]
    rest = [m for m in marks[number + 1 : number + 400] if argument_end <= m[1] < following]
    if any(m[0] == names.ENV_BIBLIOGRAPHY for m in rest):
        first = next(m for m in rest if m[0] == names.ENV_BIBLIOGRAPHY)
        return first[1] if not text[argument_end : first[1]].strip() else -1
    commands = [m for m in rest if m[0] == names.BIBLIOGRAPHY]
    if commands and not text[argument_end : commands[0][1]].strip():
        return int(commands[0][1])
    num_entries = len(_ENTRY.findall(content))
    if not content.strip() or (num_entries >= 2 and len(_YEAR.findall(content)) * 2 >= num_entries):
        return following
    return -1


def _without(text: bytes, start: int, end: int, cuts: list[tuple[int, int, bytes]]) -> bytes:
    """text[start:end] without the cuts; a line that held nothing else goes with them."""
    pieces: list[bytes] = []
    position = start
    lines = 2  # line ends at the end of what is kept so far; at most one blank line stays at a joint
    for first, last, instead in [*cuts, (end, end, b"")]:
        if first < position:
            continue
        while lines >= 2 and position < first and text[position] == 10:
            position += 1
        piece = text[position:first]
        stripped = piece.rstrip(b" \t")
        at_line_start = stripped.endswith(b"\n") or (not stripped and lines > 0)
        if first < end and at_line_start and not instead:
            after = last
            while after < end and text[after] in b" \t":
                after += 1
            if after < end and text[after] == 10:
                last = after + 1
                piece = stripped
        elif last >= end or text[last] == 10:
            piece = stripped
        for part in (piece, instead):
            if part:
                pieces.append(part)
                lines = 2 if part.endswith(b"\n\n") else lines + 1 if part == b"\n" else int(part.endswith(b"\n"))
        position = min(last, end)
    return b"".join(pieces)
