r"""The surface of TeX: comments, verbatim parts, groups and arguments.

A scan goes from left to right once and never looks inside \verb or a verbatim environment, so that a % there
is text and \% anywhere is a percent sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

VERBATIM = "verbatim|verbatim\\*|Verbatim|BVerbatim|lstlisting|minted|alltt|filecontents|filecontents\\*"
MAX_VERB_CHARS = 1000
_PIECE = re.compile(
    rf"""\\begin\s*\{{(?P<env>{VERBATIM}|comment)\}}
    |\\(?:verb|lstinline)\*?(?P<mark>[^a-zA-Z*\s\\])
    |\\(?:[a-zA-Z@]+|.|\n|$)
    |(?P<comment>%)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"%[^\n]*(\n[ \t]*)?")
_CONDITION = re.compile(r"\\(?P<word>if[a-zA-Z@]*|fi|else)(?![a-zA-Z@])|\\.", re.DOTALL)


def split_verbatim(text: str) -> Iterator[tuple[bool, str]]:
    """(is verbatim, piece) over the whole text; the pieces join to it again.

    An unclosed environment is not verbatim.
    """
    start = position = 0
    unclosed: set[str] = set()  # not searched for again, or a file of \begin{verbatim} takes quadratic time
    while (match := _PIECE.search(text, position)) is not None:
        position = match.end()
        if match["comment"]:
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
            continue
        if match["env"] and match["env"] != "comment":
            closing = f"\\end{{{match['env']}}}"
            end = text.find(closing, position) if closing not in unclosed else -1
            if end < 0:
                unclosed.add(closing)
            else:
                end += len(closing)
        elif match["mark"]:
            line_end = text.find("\n", position, position + MAX_VERB_CHARS)
            end = text.find(match["mark"], position, position + MAX_VERB_CHARS if line_end < 0 else line_end) + 1 or -1
        else:
            continue
        if end > 0:
            if match.start() > start:
                yield False, text[start : match.start()]
            yield True, text[match.start() : end]
            start = position = end
    if start < len(text):
        yield False, text[start:]


def remove_comments(text: str) -> str:
    r"""The text as TeX reads it: from each % to the end of its line nothing, \% and verbatim parts untouched.

    A comment takes the line end and the next line's indentation with it, as in TeX, but a blank line stays a
    paragraph's end, and a line that held nothing but a comment goes as a whole.
    Environments `comment` and \iffalse...\fi go too.
    """
    out: list[str] = []
    for verbatim, piece in split_verbatim(text):
        out.append(piece if verbatim else _without_comments(piece, at_line_start=not out or out[-1].endswith("\n")))
    return "".join(out)


def _without_comments(text: str, *, at_line_start: bool) -> str:
    out: list[str] = []
    start = position = 0
    last_end = text.rfind("\\end{comment}")
    while (match := _PIECE.search(text, position)) is not None:
        position = match.end()
        if match["env"] == "comment":
            end = text.find("\\end{comment}", position) if position <= last_end else -1
            if end >= 0:
                out.append(text[start : match.start()])
                start = position = end + len("\\end{comment}")
        elif match["comment"]:
            out.append(text[start : match.start()])
            line = "".join(out[-2:]).rpartition("\n")[2] if out else ""
            alone = not line.strip() and (at_line_start or "\n" in "".join(out[-2:]))
            comment = _COMMENT.match(text, match.start())
            assert comment is not None
            position = comment.end()
            if alone and comment[1] is not None:
                if line:
                    out[-1] = out[-1][: len(out[-1]) - len(line)] if len(line) <= len(out[-1]) else out[-1]
                position = comment.end() - (len(comment[1]) - 1)  # keep the next line's indentation
            elif comment[1] is not None and (text.startswith("\n", position) or text[match.start() - 1] in " \t"):
                # a blank line follows and ends the paragraph, or a blank stands before and the line end changes nothing
                position = comment.end() - len(comment[1])
            start = position
    out.append(text[start:])
    return remove_false_branches("".join(out))


def remove_false_branches(text: str) -> str:
    r"""The text without \iffalse...\fi (nested conditions counted); one that is never closed stays."""
    if "\\iffalse" not in text:
        return text
    out: list[str] = []
    start = position = 0
    while (found := text.find("\\iffalse", position)) >= 0:
        depth = 0
        position = found
        while (match := _CONDITION.search(text, position)) is not None:
            position = match.end()
            word = match["word"]
            if word is None or (word == "else" and depth > 1):
                continue
            if word == "fi":
                depth -= 1
            elif word != "else" and word not in ("iff", "ifthenelse"):
                depth += 1
            if depth == 0 or (word == "else" and depth == 1):
                out.append(text[start:found])
                start = position
                break
        else:
            break
    out.append(text[start:])
    return "".join(out)


def skip_space(text: str, position: int) -> int:
    """The position after blanks and at most one line end, as TeX skips them before an argument."""
    newline = False
    while position < len(text) and text[position] in " \t\n":
        if text[position] == "\n":
            if newline:
                return position
            newline = True
        position += 1
    return position


def read_group(text: str, position: int, max_chars: int = 100_000) -> tuple[str, int] | None:
    """The content of the {...} that begins at `position` and the position after it; None where it is not closed."""
    if position >= len(text) or text[position] != "{":
        return None
    depth, limit = 0, min(len(text), position + max_chars)
    start = position
    while position < limit:
        char = text[position]
        if char == "\\":
            position += 2
            continue
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return text[start + 1 : position], position + 1
        position += 1
    return None


def read_optional(text: str, position: int, max_chars: int = 10_000) -> tuple[str, int] | None:
    """The content of the [...] that begins at `position` and the position after it; None where there is none."""
    if position >= len(text) or text[position] != "[":
        return None
    depth = 0
    for end in range(position + 1, min(len(text), position + max_chars)):
        char = text[end]
        if char == "{" and text[end - 1] != "\\":
            depth += 1
        elif char == "}" and text[end - 1] != "\\":
            depth -= 1
        elif char == "]" and depth == 0:
            return text[position + 1 : end], end + 1
    return None


def read_argument(text: str, position: int) -> tuple[str, int] | None:
    """A mandatory argument: a group, a control sequence or one character.

    None at the end or before a paragraph's end.
    """
    position = skip_space(text, position)
    if position >= len(text) or text[position] in "\n}%&$":
        return None
    if text[position] == "{":
        return read_group(text, position)
    if text[position] == "\\":
        word = re.compile(r"\\(?:[a-zA-Z@]+|.)", re.DOTALL).match(text, position)
        return (word[0], word.end()) if word else None
    return text[position], position + 1
