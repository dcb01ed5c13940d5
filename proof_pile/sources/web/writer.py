"""The tags and text runs of a page to prose with marks: one pass with a stack of open elements.

Text is written as it comes, entities and white space untouched (`prose` sees to them); what an element turns out to be
(a list of links, a formula, code, a table) is settled where it ends, by taking back what was written since it began.
"""

from __future__ import annotations

import re
from html import unescape

from proof_pile.sources.web.equations import bare_formula
from proof_pile.sources.web.images import image_formula
from proof_pile.sources.web.markup import BREAK, LINE, Lifted
from proof_pile.sources.web.rules import PageRules
from proof_pile.sources.web.scanner import Scanner, Tags
from proof_pile.sources.web.tables import TableCells, table_text
from proof_pile.sources.web.tags import Kind, Op, attributes_of

MIN_MAIN_CHARS = 200  # chosen by us: a shorter <main> or <article> is a teaser
MAX_PIECES = 20  # inline pieces inside one another (x^{y^{z...}}): deeper ones are read as plain text
_MARK = re.compile("\x02[0-9]+\x03")
_CLOSED_BY = {
    "li": ("li", frozenset(["ul", "ol", "dir", "td", "th", "table", "blockquote"])),
    "dt": ("dt dd", frozenset(["dl", "td", "th", "table", "ul", "ol"])),
    "dd": ("dt dd", frozenset(["dl", "td", "th", "table", "ul", "ol"])),
    "tr": ("tr", frozenset(["table"])),
    "td": ("td th", frozenset(["table", "tr"])),
    "th": ("td th", frozenset(["table", "tr"])),
    "tbody": ("tbody thead tfoot", frozenset(["table"])),
    "thead": ("tbody thead tfoot", frozenset(["table"])),
    "tfoot": ("tbody thead tfoot", frozenset(["table"])),
}  # an element that the next one of its kind ends, unless one of these stands between
_IMPLIED = {name: (frozenset(ends.split()), walls) for name, (ends, walls) in _CLOSED_BY.items()}
_TABLE_PARTS = frozenset(["table", "tbody", "thead", "tfoot", "tr", "td", "th", "caption"])
_PIECES = frozenset([Kind.CODE, Kind.SUP, Kind.SUB, Kind.MATH, Kind.MATH_BLOCK])
_BREAKS = re.compile("(?:\x01+\n?)+")
_FOOTNOTE = re.compile(r"\s*\[[^\]]{0,30}\]\s*")
_ORDINAL = re.compile(r"\s*(?:st|nd|rd|th|er|e|ème|®|™|©|tm|TM|\(R\)|\*+|†|‡)\s*")


class TooManyLinksError(Exception):
    """Raised for a page with more links than the rules allow."""


class TooDeepPageError(Exception):
    """Raised for a page with more elements inside one another than the rules allow."""


# An open element and the state in which it began: a plain tuple, for one is made for every block of every page.
# name, kind, number of parts, characters, link characters, links, mark
_Frame = tuple[str, int, int, int, int, int, str]


class Writer:
    """Writes one page; `parts` joined is its prose with marks."""

    def __init__(self, lifted: Lifted, rules: PageRules, scanner: Scanner) -> None:
        self.lifted = lifted
        self.rules = rules
        self.scanner = scanner
        self.parts: list[str] = []
        self.frames: list[_Frame] = []
        self.open: dict[str, int] = {}
        self.skip_at = -1  # the frame from which on nothing is written, -1 where all is
        self.rescuing = False
        self.chars = 0
        self.link_chars = 0
        self.links = 0
        self.all_links = 0
        self.link_from = -1
        self.link_part = 0
        self.in_pre = 0
        self.num_pieces = 0
        self.lists: list[int] = []
        self.tables: list[TableCells] = []
        self.mains: list[str] = []

    def write(self, markup: str) -> str:
        """The prose of the markup.  Raises TooManyLinksError, TooDeepPageError."""
        texts, events, tags = self.scanner.scan(markup)
        actions = self.scanner.actions
        parts = self.parts
        frames = self.frames
        # Local names and the plain cases first: these lines see every block and link of every page.
        for number, (text, event) in enumerate(zip(texts, events, strict=False)):
            if text:
                if self.skip_at < 0:
                    parts.append(text)
                    self.chars += len(text)
                elif self.rescuing and "\x02" in text:
                    self._rescue(text)
            op, name, kind, mark = actions[event]
            if op == 4:
                self._block(name, kind, mark)
            elif op == 5:
                self._end(name)
            elif op == 6:
                if self.link_from >= 0:
                    self._end_link()
                self.all_links += 1
                self.link_from = self.chars
                self.link_part = len(parts)
            elif op == 7:
                if self.link_from >= 0:
                    self._end_link()
                if frames and frames[-1][0] == "a":
                    self._close()
            elif op == 3:
                if frames and frames[-1][0] == "span":
                    self._close()
            else:
                self._other(op, name, kind, mark, tags, number)
        self._text(texts[-1])
        if self.all_links > self.rules.max_links:
            raise TooManyLinksError
        while frames:
            self._close()
        prose = "".join(parts)
        if len(self.mains) == 1 and len("".join(self.mains[0].split())) >= MIN_MAIN_CHARS:
            return self.mains[0]
        return prose

    def _text(self, text: str) -> None:
        if not text:
            return
        if self.skip_at < 0:
            self.parts.append(text)
            self.chars += len(text)
        elif self.rescuing and "\x02" in text:
            self._rescue(text)

    def _rescue(self, text: str) -> None:
        marks = "".join(_MARK.findall(text))
        self.parts.append(marks)
        self.chars += len(marks)

    def _other(self, op: int, name: str, kind: int, mark: str, tags: Tags, number: int) -> None:
        if op == Op.PIECE:
            if mark == "mathml" and self.skip_at < 0:
                self._frame_formula(tags[number])
            self._push(name, kind, mark)
        elif op == Op.CLASSIFIER:
            self._text(" : ")
        elif op == Op.IMAGE:
            tag = tags[number]
            if self.skip_at < 0 and not self._after_formula(tag):
                found = image_formula(attributes_of(tag))
                if found:
                    self._text(self.lifted.put(found[0], "display" if found[1] else "inline"))
        elif self.skip_at < 0:  # a rule
            self.parts.append(BREAK)

    def _after_formula(self, tag: str) -> bool:
        """Whether the picture is the fallback of the formula before it, as wikis write it."""
        return "mwe-math-fallback" in tag and bool(self.parts) and any("\x03" in p for p in self.parts[-3:])

    def _frame_formula(self, tag: str) -> None:
        """Takes the formula from the attribute of a rendering of MathJax 2 that lost its script."""
        from proof_pile.sources.web.mathml import math_markup_tex

        found = math_markup_tex(attributes_of(tag).get("data-mathml", ""))
        if found:
            outer, self.rescuing = self.rescuing, True
            self._rescue(self.lifted.put(found[0], "display" if found[1] else "inline"))
            self.rescuing = outer

    def _end_link(self) -> None:
        text = "".join(self.parts[self.link_part :])
        self.link_chars += len(text) - text.count(" ")
        self.links += 1
        self.link_from = -1

    def _num_visible(self, start: int) -> int:
        """How many characters that are no white space were written since a place, code and formulas with them."""
        text = self._spelled("".join(self.parts[start:]))
        return len("".join((unescape(text) if "&" in text else text).split()))

    # ------------------------------------------------------------ blocks

    def _block(self, name: str, kind: int, mark: str) -> None:
        if self.open.get("p") and name not in ("svg", "object", "button"):
            self._end_paragraph()
        implied = _IMPLIED.get(name)
        if implied:
            ends, walls = implied
            if name in _TABLE_PARTS or any(self.open.get(end) for end in ends):
                self._close_implied(ends, walls)
        if self.skip_at < 0:
            self.parts.append(LINE if kind == Kind.ITEM else BREAK)
        self._push(name, kind, mark)
        if self.skip_at >= 0:
            return
        if kind == Kind.ITEM:
            if self.lists and self.lists[-1] >= 0:
                self.parts.append(f"{self.lists[-1]}. ")
                self.lists[-1] += 1
            else:
                self.parts.append("- ")
        elif kind == Kind.HEADING:
            self.parts.append(mark)

    def _push(self, name: str, kind: int, mark: str) -> None:
        if len(self.frames) >= self.rules.max_nesting:
            raise TooDeepPageError
        if kind == Kind.PLAIN or kind == Kind.JUDGED:
            pass
        elif kind in _PIECES:
            self.num_pieces += 1
            if self.num_pieces > MAX_PIECES or (self.in_pre and kind not in (Kind.MATH, Kind.MATH_BLOCK)):
                self.num_pieces -= 1
                kind = Kind.PLAIN
        elif kind in (Kind.RENDERED, Kind.SKIPPED) and self.skip_at < 0:
            self.skip_at = len(self.frames)
            self.rescuing = kind == Kind.RENDERED
        elif kind == Kind.PRE:
            self.in_pre += 1
        elif kind == Kind.LIST:
            self.lists.append(1 if mark else -1)
        elif kind == Kind.TABLE:
            self.tables.append(TableCells(equation=bool(mark)))
        self.open[name] = self.open.get(name, 0) + 1
        self.frames.append((name, kind, len(self.parts), self.chars, self.link_chars, self.links, mark))

    def _end_paragraph(self) -> None:
        """Ends an open <p> that only inline elements are open in."""
        for frame in reversed(self.frames[-8:]):
            if frame[0] == "p":
                self._close_to("p")
                return
            if frame[1] not in _PIECES and frame[0] not in ("span", "a"):
                return

    def _close_implied(self, ends: frozenset[str], walls: frozenset[str]) -> None:
        for frame in reversed(self.frames[-64:]):
            if frame[0] in ends:
                self._close_to(frame[0])
                return
            if frame[0] in walls:
                return

    def _end(self, name: str) -> None:
        if not self.open.get(name):
            if name == "p" and self.skip_at < 0:
                self.parts.append(BREAK)
            return
        if self.frames[-1][0] == name:
            self._close()
            return
        if name not in _TABLE_PARTS and (self.open.get("td") or self.open.get("th")):
            # A stray end tag in a cell does not end what the table stands in.
            for frame in reversed(self.frames[-64:]):
                if frame[0] == name:
                    break
                if frame[0] in ("td", "th"):
                    return
        self._close_to(name)

    def _close_to(self, name: str) -> None:
        while self.frames:
            found = self.frames[-1][0] == name
            self._close()
            if found:
                return

    def _close(self) -> None:
        """Ends the innermost open element and settles what it was."""
        frame = self.frames.pop()
        name, kind, start = frame[:3]
        self.open[name] -= 1
        if self.skip_at >= 0 and self.skip_at == len(self.frames):
            self.skip_at = -1
            self.rescuing = False
            if name not in ("span", "a") and kind != Kind.RENDERED:
                self.parts.append(BREAK)
            return
        if kind == Kind.JUDGED:
            if self.skip_at < 0:
                if self.links - frame[5] >= self.rules.min_judged_links:
                    self._is_links(frame)
                self.parts.append(BREAK)
            return
        if kind == Kind.LIST:
            self.lists.pop()
        elif kind == Kind.PRE:
            self.in_pre -= 1
        elif kind in _PIECES:
            self.num_pieces -= 1
        elif kind == Kind.TABLE:
            cells = self.tables.pop()
            if self.skip_at < 0:
                cells.end_row()
                text = table_text(cells, self.rules)
                if not self._is_links(frame):
                    self.parts.append(text)
                self.parts.append(BREAK)
            return
        if self.skip_at >= 0:
            return
        if kind == Kind.LIST or kind == Kind.CELL:
            self._is_links(frame)
            if kind == Kind.CELL and self.tables:
                self.tables[-1].add(self._take(frame), header=name == "th")
            else:
                self.parts.append(BREAK)
        elif kind == Kind.ROW and self.tables:
            self.tables[-1].end_row()
        elif kind in _PIECES:
            self._piece(frame)
        elif kind == Kind.PRE:
            self._code_block(frame)
        elif kind == Kind.MAIN:
            self.parts.append(BREAK)
            self.mains.append("".join(self.parts[start:]))
        elif name not in ("span", "a") and "-" not in name and ":" not in name:
            self.parts.append(LINE if kind == Kind.ITEM else BREAK)

    def _is_links(self, frame: _Frame) -> bool:
        """Whether the block is little but links; then it is taken back."""
        _, _, _, chars_before, link_chars_before, links_before, _ = frame
        links = self.links - links_before
        if links < self.rules.min_judged_links:
            return False
        chars, link_chars = self.chars - chars_before, self.link_chars - link_chars_before
        if link_chars <= self.rules.max_link_density * chars:
            if link_chars * 4 <= chars:
                return False
            # White space and entities between the links were counted as text: where that may decide, look closer.
            if link_chars <= self.rules.max_link_density * self._num_visible(frame[2]):
                return False
        del self.parts[frame[2] :]
        self.chars, self.link_chars, self.links = chars_before, link_chars_before, links_before
        return True

    def _take(self, frame: _Frame) -> str:
        """What was written since the element began, taken back."""
        text = "".join(self.parts[frame[2] :])
        del self.parts[frame[2] :]
        return text

    # ------------------------------------------------------------ pieces

    def _piece(self, frame: _Frame) -> None:
        text = self._take(frame)
        kind = frame[1]
        if not text or text.isspace():
            self.parts.append(text)
        elif kind in (Kind.SUP, Kind.SUB):
            self.parts.append(_script(text, "^" if kind == Kind.SUP else "_"))
        elif kind == Kind.CODE:
            self.parts.append(self._inline_code(text))
        else:
            found = bare_formula(unescape(_plain_lines(text)), self.rules.max_formula_chars)
            if found is None:
                self.parts.append(text)
            else:
                self.parts.append(self.lifted.put(found, "display" if kind == Kind.MATH_BLOCK else "inline"))
        if kind == Kind.MATH_BLOCK:
            self.parts.append(BREAK)

    def _inline_code(self, text: str) -> str:
        content = " ".join(unescape(self._spelled(text)).split())
        if "\x02" in content or len(content) > 2000:
            return text
        return self.lifted.put(content, "code")

    def _code_block(self, frame: _Frame) -> None:
        text = self._take(frame)
        if not text.strip():
            self.parts.append(BREAK)
            return
        self.parts.append(self.lifted.put(unescape(self._spelled(text)).strip("\n").rstrip(), "block"))

    def _spelled(self, text: str) -> str:
        """Text without block marks, and with lifted things put back as they would stand in code."""
        text = _BREAKS.sub("\n", text).replace(LINE, "\n")
        if "\x02" not in text:
            return text
        return _MARK.sub(lambda m: self._lifted_again(int(m[0][1:-1])), text)

    def _lifted_again(self, number: int) -> str:
        text, kind = self.lifted.items[number]
        return text if kind in ("code", "block") else (f"$${text}$$" if kind == "display" else f"${text}$")


def _script(text: str, sign: str) -> str:
    inner = text.replace(BREAK, " ").replace(LINE, " ").strip()
    if not inner or _FOOTNOTE.fullmatch(inner):  # [1] is a footnote mark
        return ""
    if sign == "^" and _ORDINAL.fullmatch(unescape(inner)):
        return inner
    return sign + (inner if len(inner) == 1 else "{" + inner + "}")


def _plain_lines(text: str) -> str:
    return text.replace(BREAK, "\n").replace(LINE, "\n")
