"""Prose with marks to the text of a document: entities, formulas, paragraphs, lines of boilerplate."""

from __future__ import annotations

import re
from html import unescape

from proof_pile.sources.web.equations import Delimiters, lift_delimited
from proof_pile.sources.web.markup import BREAK, LINE, Lifted
from proof_pile.sources.web.rules import PageRules

_SPACES = ("\n", "\t", "\r", "\f", "\u00a0", "\u2009", "\u202f")
_UNWANTED = re.compile("[\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f]|[¶\uf0c1](?=\\s|$)")
_MARK = re.compile("\x02([0-9]+)\x03")
_ONLY_BULLET = re.compile(r"(?:-|\d+\.|#+)")
MAX_BULLET_CHARS = 12  # chosen by us
_NUMBERED = re.compile(r"\d+\. ")
_ONLY_POINT = re.compile(r"[.,;:]")
MAX_BOILERPLATE_CHARS = 250  # chosen by us: a longer line is prose
# Whole lines that a page's program writes, not its author.  Words chosen by us from pages read.
_BOILERPLATE_LINE = re.compile(
    r"(?:[-*|•»«›‹·\s]|\d+\.)*(?:"
    r"(?:(?:click (?:here )?to )?(?:share|tweet|pin|e-?mail|print|like|follow|save|bookmark|report|flag|cite|edit|delete|"
    r"reply|quote|subscribe|log ?in|log ?out|sign ?(?:in|up|out)|register|menu|search|home|next|previous|prev|back|up|top|"
    r"close|cancel|submit|send|more|show (?:more|less|all)|view (?:source|history|more|all)|read more|load more|loading|"
    r"advertisements?|sponsored|comments?|leave a (?:reply|comment)|add (?:a )?comment|post (?:a )?comment|permalink|"
    r"permanent link|skip to (?:main )?(?:content|navigation)|jump to (?:content|navigation|search)|back to top|"
    r"table of contents|toggle (?:navigation|sidebar|menu)|related (?:posts|articles|pages|questions)|"
    r"(?:improve|share) this (?:question|answer|page|post)|copy(?: to clipboard)?|source|"
    r"previous (?:topic|page|post|chapter|section)|next (?:topic|page|post|chapter|section)|this page|show source|"
    r"index|modules|navigation|quick search|contents)\b[\s:.!|»«›→←…-]*){1,6}"
    r"|(?:next|previous|prev|up): [^.]{1,120}\b(?:up|previous|prev): .{1,120}"
    r"|(?:share|tweet|like|follow|pin) (?:this|us|on|with)\b.{0,60}"
    r"|.{0,40}\ball rights reserved\b.{0,60}|(?:copyright|©|\(c\)) .{0,80}"
    r"|(?:©|copyright)\s*(?:\(c\)|©)?\s*\d{4}.{0,80}"
    r"|(?:this (?:site|website)|we) uses? cookies.{0,80}|.{0,60}\b(?:privacy|cookie) policy\b.{0,40}"
    r"|powered by .{0,60}|created using .{0,60}|built with .{0,60}"
    r"|you (?:must|need to|have to) (?:be logged in|log ?in|sign in|register|enable).{0,60}"
    r"|(?:please )?enable javascript.{0,60}|.{0,60}\benable javascript\b.{0,40}|your browser does not support.{0,60}"
    r"|(?:already have an account|forgot (?:your )?password|not a member|new here)\?.{0,40}"
    r"|\d+ (?:comments?|replies|views?|answers?|votes?|likes?|shares?)|(?:views?|visits?|hits): ?[\d,]+"
    r"|last (?:updated|modified|edited)(?: on| by|:)? .{0,60}|posted (?:on|by|in|at) .{0,60}|filed under:? .{0,60}"
    r"|tagged(?: with|:)? .{0,60}|like this: .{0,40}|\[?(?:edit|hide|show|top|back to top|link|permalink)\]?"
    r"|\[mathjax o(?:n|ff)\]|goto chapter: .{1,150}"
    r")\s*",
    re.IGNORECASE,
)


def finished_text(prose: str, delimiters: Delimiters, lifted: Lifted, rules: PageRules) -> str:
    """The document's text: paragraphs parted by empty lines, formulas and code put back in."""
    text = unescape(prose) if "&" in prose else prose
    text = lift_delimited(text, delimiters, lifted, rules.max_formula_chars)
    text = _single_spaces(text)
    anywhere = any(words in text for words in _INNER_WORDS)
    paragraphs: list[str] = []
    waiting = ""
    for block in text.split(BREAK):
        lines = []
        for line in block.split(LINE):
            line = line.strip()
            if not line:
                continue
            if len(line) <= MAX_BULLET_CHARS and _ONLY_BULLET.fullmatch(line):
                waiting = line + " "  # the item's text stands in a block of its own
                continue
            if waiting:
                line, waiting = waiting + line, ""
            if (
                rules.boilerplate_lines
                and len(line) <= MAX_BOILERPLATE_CHARS
                and _is_boilerplate(line, anywhere=anywhere)
            ):
                continue
            lines.append(line)
        if lines and paragraphs and len(lines) == 1 and _ONLY_POINT.fullmatch(lines[0]):
            paragraphs[-1] += lines[0]  # the full stop after a displayed formula
        elif lines:
            paragraphs.append("\n".join(lines))
    text = _joined(_without_empty_headings(paragraphs))
    return _put_back(text, lifted) if "\x02" in text else text


def _single_spaces(text: str) -> str:
    """White space as single spaces; replacing strings takes a third of the time of an expression."""
    for space in _SPACES:
        if space in text:
            text = text.replace(space, " ")
    if not text.isascii():
        text = _UNWANTED.sub("", text)
    while "  " in text:
        text = text.replace("  ", " ")
    return text


_FIRST_WORD = re.compile(r"[-*|•»«›‹·\s\d.\[]*([a-z©(-]+)", re.IGNORECASE)
_FIRST_WORDS = frozenset(
    [
        "click",
        "share",
        "tweet",
        "pin",
        "email",
        "e-mail",
        "print",
        "like",
        "follow",
        "save",
        "bookmark",
        "report",
        "flag",
        "cite",
        "edit",
        "delete",
        "reply",
        "quote",
        "subscribe",
        "log",
        "login",
        "logout",
        "sign",
        "signup",
        "signin",
        "register",
        "menu",
        "search",
        "home",
        "next",
        "previous",
        "prev",
        "back",
        "up",
        "top",
        "close",
        "cancel",
        "submit",
        "send",
        "more",
        "show",
        "view",
        "read",
        "load",
        "loading",
        "advertisement",
        "advertisements",
        "sponsored",
        "comment",
        "comments",
        "leave",
        "add",
        "post",
        "permalink",
        "permanent",
        "skip",
        "jump",
        "table",
        "toggle",
        "related",
        "improve",
        "copy",
        "source",
        "this",
        "index",
        "modules",
        "navigation",
        "quick",
        "contents",
        "copyright",
        "©",
        "(c",
        "we",
        "powered",
        "created",
        "built",
        "you",
        "please",
        "enable",
        "your",
        "already",
        "forgot",
        "not",
        "new",
        "views",
        "visits",
        "hits",
        "last",
        "posted",
        "filed",
        "tagged",
        "hide",
        "link",
        "mathjax",
        "goto",
        "view",
    ]
)
_INNER_WORDS = ("rights reserved", "rivacy policy", "ookie policy", "nable javascript", "nable JavaScript")


def _is_boilerplate(line: str, *, anywhere: bool) -> bool:
    if not anywhere:
        first = _FIRST_WORD.match(line)
        if first is None or (first[1].lower() not in _FIRST_WORDS and not line[0].isdigit()):
            return False
    return _BOILERPLATE_LINE.fullmatch(line) is not None


def _without_empty_headings(paragraphs: list[str]) -> list[str]:
    """The paragraphs without headings that nothing, or a heading of no lower rank, follows."""
    kept: list[str] = []
    rank_after = 0  # of the next paragraph: 0 the end, 9 text
    for paragraph in reversed(paragraphs):
        rank = len(paragraph) - len(paragraph.lstrip("#")) if paragraph.startswith("#") else 0
        if 0 < rank <= 6 and paragraph[rank : rank + 1] == " " and "\n" not in paragraph:
            is_title = rank == 1 and not kept
            if (rank_after == 0 or rank_after <= rank) and not is_title:
                continue
            rank_after = rank
        else:
            rank_after = 9
        kept.append(paragraph)
    kept.reverse()
    return kept


def _joined(paragraphs: list[str]) -> str:
    """Items of a list stand close together, all else apart."""
    out: list[str] = []
    before = False
    for paragraph in paragraphs:
        item = paragraph.startswith("- ") or (paragraph[0].isdigit() and _NUMBERED.match(paragraph) is not None)
        if out:
            out.append("\n" if item and before else "\n\n")
        out.append(paragraph)
        before = item
    return "".join(out)


def _put_back(text: str, lifted: Lifted) -> str:
    pieces = _MARK.split(text)
    pieces[1::2] = [_written(*lifted.items[int(number)]) for number in pieces[1::2]]
    return "".join(pieces)


def _written(content: str, kind: str) -> str:
    if kind == "inline":
        return f"${_one_line(content)}$"
    if kind == "display":
        return f"$${content}$$"
    if kind == "code":
        fence = "``" if "`" in content else "`"
        return f"{fence}{content}{fence}"
    fence = "````" if "```" in content else "```"
    return f"{fence}\n{content}\n{fence}"


def _one_line(tex: str) -> str:
    return " ".join(tex.split()) if "\n" in tex else tex
