"""The native scanner against a slow reading of the same rules, which judges every tag afresh, on pages cut to pieces."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

import proof_pile.sample
from proof_pile.sources.web.markup import BREAK, LINE
from proof_pile.sources.web.scanner import _CLOSED, EVENT, Scanner, without_tags
from proof_pile.sources.web.tags import MAX_TAG_BYTES, Action, Judge, Kind, Op

PAGES = Path(proof_pile.sample.__file__).parent / "documents" / "web"
_NAME = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9:-]*)(?=[\t-\r />])")
_REST = re.compile(r"""(?s)(?:=[\t-\r ]*(?:"[^"]*"|'[^']*')|[^>])*+>""")
_NO_ELEMENT = re.compile(r"(?s)<(?:!(?=[A-Za-z\[])|\?|/(?=[^A-Za-z>]))[^>]*>")
PIECES = [
    "<p>", "</p>", "<span>", "</span>", '<span class="math">', '<span class="nav">', "<div class='sidebar'>", "<div>",
    "</div>", "<br>", "<b", "<b>", "</", "<", ">", '"', "'", "=", "<a href='x>y'>", "</a>", "&lt;", "\x02" + "7\x03", "<!x>",
    "<?x>", "<!-", "<x y>", "<unknown>", "<li>", "<span class=classifier>", '<span class="MathJax">', "<nav>", "</nav>",
    "<SPAN CLASS='katex-html'>", '<p title="a" id=b>', '<p title="c>d" id=b>', "\u00e9", "\x7f", "<img alt='$x$'>", "</3>",
    '<div id="toc">', '<a id="toc">', "<td\n>", "<mjx-container>", "</mjx-container>", '<span data-mathml="<b>" class="MathJax">',
]  # fmt: skip


def slow_scan(markup: str, judge: Judge) -> tuple[list[str], list[Action]]:
    """Text runs and the action after each but the last."""
    texts, actions, run = [], [], []
    named: list[int] = []
    missing: set[str] = set()
    depth = position = 0
    ended = False  # a tag that never ends makes text of all that follows
    while position < len(markup):
        char = markup[position]
        if char != "<":
            run.append("" if (char < " " and char not in "\t\n\f\r\x01\x02\x03") or char == "\x7f" else char)
            position += 1
            continue
        if (other := _NO_ELEMENT.match(markup, position)) and not ended:
            position = other.end()
            continue
        name = _NAME.match(markup, position)
        rest = _REST.match(markup, name.end()) if name and not ended else None
        if name is None or rest is None:
            ended = ended or (name is not None and ">" in markup[position + 1 :])
            run.append("<")
            position += 1
            continue
        tag, end = markup[position : rest.end()], rest.end()
        action = judge.judge(tag)
        if action.op == Op.NOTHING:
            position = end
            continue
        if action.op in (Op.TEXT, Op.LINE):
            run.append(LINE if action.op == Op.LINE else tag.replace("<", "&lt;"))
            position = end
            continue
        if action.op == Op.SPAN:
            depth, position = depth + 1, end
            continue
        if action.op == Op.SPAN_END and not (named and named[-1] == depth):
            depth, position = max(depth - 1, 0), end
            continue
        skipped = (
            action.op in (Op.BLOCK, Op.PIECE)
            and action.kind in (Kind.SKIPPED, Kind.RENDERED)
            and action.name in _CLOSED
            and not action.mark
        )
        if skipped and action.name not in missing:
            close = _end_of(markup, action.name, end)
            if close is None:
                missing.add(action.name)
            else:
                if action.kind == Kind.RENDERED:
                    run += re.findall("(?s)\x02.*?\x03", markup[end : close.start()])
                elif action.op == Op.BLOCK:
                    run.append(BREAK)
                after = markup.find(">", close.start())
                position = after + 1 if after >= 0 else len(markup)
                continue
        if action.op == Op.SPAN_END:
            named.pop()
        elif action.op == Op.CLASSIFIER:
            depth += 1
        elif action.name == "span" and not skipped:
            named.append(depth)
        texts.append("".join(run))
        actions.append(action)
        run = []
        position = end
    return [*texts, "".join(run)], actions


def _end_of(markup: str, name: str, start: int) -> re.Match[str] | None:
    depth = 1
    for match in re.compile(rf"<(/?){re.escape(name)}(?=[\t-\r />])", re.IGNORECASE).finditer(markup, start):
        depth += -1 if match[1] else 1
        if depth == 0:
            return match
    return None


def mutated(draw: random.Random, pages: list[str]) -> str:
    """A piece of a page with other pieces put into it and parts taken out."""
    page = draw.choice(pages)
    start = draw.randrange(len(page))
    parts = list(page[start : start + draw.randint(0, 600)])
    for _ in range(draw.randint(0, 25)):
        at = draw.randrange(len(parts) + 1)
        if draw.random() < 0.3:
            del parts[at : at + draw.randint(1, 12)]
        else:
            parts.insert(at, draw.choice(PIECES))
    return "".join(parts)


def assert_same(scanner: Scanner, markup: str) -> None:
    texts, numbers, tags = scanner.scan(markup)
    wanted, actions = slow_scan(markup, scanner.judge)
    assert [scanner.actions[n] for n in numbers] == actions, markup
    assert texts == wanted, markup
    assert all(tag[0] == "<" and tag[-1] == ">" for tag in tags)


def test_native_scanner_reads_mutated_pages_as_the_slow_one_does() -> None:
    draw = random.Random(20261121)
    pages = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(PAGES.glob("*.html"))]
    for has_scripts in (False, True):
        scanner = Scanner(Judge(has_math_scripts=has_scripts, drop_comments=has_scripts))
        for page in pages:
            assert_same(scanner, page)
        for _ in range(400):
            assert_same(scanner, mutated(draw, pages))
        for _ in range(400):
            assert_same(scanner, "".join(draw.choice(PIECES) for _ in range(draw.randint(1, 40))))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('<span data-a="x class=nav y"b"c>', '<span data-a="x class=n y"b"c>'),
        ('<div data"class="nav">', '<div data"class="main">'),
        (f"<div data-a='{'x' * MAX_TAG_BYTES}' class=nav>", "<div data-a='x' class=nav>"),
        (f"<div data-a='{chr(233) * MAX_TAG_BYTES}' class=nav>", "<div data-a='x' class=nav>"),
    ],
)
def test_what_was_read_before_does_not_change_what_a_tag_means(first: str, second: str) -> None:
    """Values that are not remembered (data-*, titles) hid others that mattered: a text depended on the pages before."""
    for pair in ((first, second), (second, first)):
        scanner = Scanner(Judge(has_math_scripts=False, drop_comments=False))
        for tag in pair:
            assert_same(scanner, f"<p>one{tag}two</div></span></p>")


def test_scanner_forgets_judgements_rather_than_fill_its_table() -> None:
    """Every tag of a hostile page may be written in a way of its own."""
    scanner = Scanner(Judge(has_math_scripts=False, drop_comments=False))
    page = "".join(f"<div class=c{n}>x</div>" for n in range(40_000))
    texts, numbers, _ = scanner.scan(page)
    assert len(numbers) == 80_000 and "".join(texts) == "x" * 40_000
    assert num_known(scanner) < 40_000


def num_known(scanner: Scanner) -> int:
    return int((scanner._keys != 0).sum())


@pytest.mark.parametrize("markup", ["", "<", "<p", "<p a='", "a<b c", "<>", "</>", '<p a="x>y">z', EVENT])
def test_tags_go_and_all_else_stays_where_only_the_text_is_wanted(markup: str) -> None:
    wanted, position = "", 0
    while position < len(markup):
        name = _NAME.match(markup, position)
        rest = _REST.match(markup, name.end()) if name else None
        wanted += "" if rest else markup[position]
        position = rest.end() if rest else position + 1
    assert without_tags(markup) == wanted
