"""HTML pages: equations in every form stay, boilerplate goes, bad pages are quarantined."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser

from proof_pile.documents import Document, Quarantined
from proof_pile.sources import html
from proof_pile.sources.html_text import PageRules, extract_page, fragment_text
from proof_pile.sources.inputs import SourceFile
from proof_pile.sources.web import equations
from proof_pile.sources.web.equations import Delimiters, lift_delimited
from proof_pile.sources.web.markup import Lifted

FILLER = "<p>" + "Some words that make the page long enough to count as content. " * 5 + "</p>"

# (markup, what must stand in the text).  Forms as MathJax 2 and 3, KaTeX, LaTeXML, MediaWiki and WordPress write them.
EQUATIONS = [
    (r"<p>so \(a+b\) holds</p>", "so $a+b$ holds"),
    (r"<p>so \[a+b\] holds</p>", "so\n\n$$a+b$$\n\nholds"),
    (r"<p>so $$a+b$$ holds</p>", "so\n\n$$a+b$$\n\nholds"),
    ("<p>so $$a+b$$.</p>", "so\n\n$$a+b$$.\n"),
    (r"<p>so \(a &lt; b\) holds</p>", "so $a < b$ holds"),
    (r"<p>so [itex]x_1[/itex] and [tex]y[/tex] hold</p>", "so $x_1$ and $y$ hold"),
    (r"<p>so $latex \pi r^2&amp;s=2$ holds</p>", r"so $\pi r^2$ holds"),
    (r'<span class="math inline">x^2</span>', "$x^2$"),
    (r'<div class="math">\sum_k a_k</div>', r"$$\sum_k a_k$$"),
    (r'<span class="math-container">$q_1$</span>', "$q_1$"),
    (r'<span class="math notranslate nohighlight">\(\alpha\)</span>', r"$\alpha$"),
    ('<script type="math/asciimath">x/2</script>', r"$\frac{x}{2}$"),
    ('<script type="math/mml"><math><mi>x</mi></math></script>', "$x$"),
    ('<script type="math/tex">% <![CDATA[\na<b %]]></script>', "$a<b$"),
    ("<MATH><MI>x</MI></MATH>", "$x$"),
    ('<img alt="$\\displaystyle{a<b}$" src="img1.png">', "$a<b$"),
    ('<img src="/cgi-bin/mimetex.cgi?%5Cfrac%7Ba%7D%7B2%7D">', r"$\frac{a}{2}$"),
    (
        '<img src="http://s0.wp.com/latex.php?latex=%5Cpi+r%5E2&bg=ffffff&fg=000&s=0" alt="\\pi r^2" class="latex">',
        r"$\pi r^2$",
    ),
    ('<img class="tex" alt="x^2 + 1" src="//upload.example.org/math/1.png">', "$x^2 + 1$"),
    (
        '<span class="mwe-math-element"><span style="display: none;" class="mwe-math-mathml-inline"><math alttext='
        '"{\\displaystyle y}"><mi>y</mi></math></span><img src="a.svg" class="mwe-math-fallback-image-inline" alt='
        '"{\\displaystyle y}"></span>',
        "$y$",
    ),
    (
        '<span class="MathJax" data-mathml="&lt;math&gt;&lt;mi&gt;w&lt;/mi&gt;&lt;/math&gt;"><span class="math">w</span>'
        "</span>",
        "$w$",
    ),
    ('<script type="math/tex">a_1</script>', "$a_1$"),
    ('<script type="math/tex; mode=display">a_1</script>', "$$a_1$$"),
    ('<span class="MathJax_Preview">a1</span><script type="math/tex">a_1</script>', "$a_1$"),
    (
        '<span class="katex"><span class="katex-mathml"><math><semantics><mi>q</mi><annotation encoding='
        '"application/x-tex">\\sqrt{q}</annotation></semantics></math></span><span class="katex-html">q</span></span>',
        r"$\sqrt{q}$",
    ),
    ('<math alttext="x^{2}"><mi>y</mi></math>', "$x^{2}$"),
    ('<math alttext="{\\displaystyle x^{2}}" display="block"><mi>y</mi></math>', "$$x^{2}$$"),
    ("<math><mfrac><mi>a</mi><mn>2</mn></mfrac></math>", r"$\frac{a}{2}$"),
    ("<math><mi>x</mi><mo>&le;</mo><mi>&pi;</mi></math>", r"$x \le \pi$"),
    ('<img class="latex" src="x.png" alt="e^{i\\pi}">', r"$e^{i\pi}$"),
    ('<img src="https://latex.codecogs.com/gif.latex?a%5E2" alt="">', "$a^2$"),
    ("<p>r<sup>2</sup> and a<sub>ij</sub></p>", "r^2 and a_{ij}"),
    (r"<mjx-container><mjx-assistive-mml><math><mi>z</mi></math></mjx-assistive-mml></mjx-container>", "$z$"),
    (r"<p>\begin{align}a&amp;=b\\ c&amp;=d\end{align}</p>", r"\begin{align}a&=b\\ c&=d\end{align}"),
]


@pytest.mark.parametrize(("markup", "wanted"), EQUATIONS)
def test_equation_comes_out_delimited(markup: str, wanted: str) -> None:
    text = extract_page(f"<html><body>{FILLER}{markup}{FILLER}</body></html>").text
    assert wanted in text
    assert text.count(wanted.split("\n\n")[-1]) >= 1 and text.count("$") - 2 * text.count("$$") in (0, 2, 4)
    assert "katex" not in text


def test_rendering_of_an_equation_is_not_written_a_second_time() -> None:
    page = '<p>Let <span class="MathJax" aria-hidden="true">RENDERED</span><script type="math/tex">n</script> be</p>'
    assert extract_page(page).text == "Let $n$ be\n"


def test_dollars_are_escaped_unless_the_page_uses_them_as_delimiters() -> None:
    assert "costs \\$5 or \\$6" in extract_page("<p>costs $5 or $6</p>").text
    config = "<script>MathJax = {tex: {inlineMath: [['$', '$']]}}</script>"
    assert "let $x$ be" in extract_page(f"{config}<p>let $x$ be</p>").text


def test_boilerplate_goes_and_content_stays() -> None:
    page = (
        "<body><nav>Menu words</nav><div class='sidebar'>Side words</div><header role='banner'>Banner</header>"
        f"<main><h2>Title</h2>{FILLER}<ul><li><a href=a>one link</a><li><a href=b>two links</a><li><a href=c>three"
        "</a></ul><table><tr><td>1</td><td>2</td></tr></table><pre>a\n  b</pre></main>"
        "<footer>Foot words</footer><script>var x = 1</script></body>"
    )
    text = extract_page(page).text
    for gone in ("Menu", "Side", "Banner", "link", "Foot", "var x"):
        assert gone not in text
    for kept in ("## Title", "Some words", "1 2", "```\na\n  b\n```"):
        assert kept in text


def test_dollars_read_as_formulas_only_where_they_can_be_none_else() -> None:
    """Without a configuration that says so, a dollar is money unless what follows is TeX."""
    page = "<p>From $5 to $10, but $\\alpha_1$ and $x^2$ hold; it costs $3.</p>"
    assert extract_page(page).text == "From \\$5 to \\$10, but $\\alpha_1$ and $x^2$ hold; it costs \\$3.\n"


def test_tag_like_letters_in_a_formula_stay() -> None:
    r"""Browsers read the "<b" of $a<b$ as a tag and lose the rest of the paragraph."""
    assert extract_page("<p>if $a<b$ and \\(c<d\\) then</p>").text == "if $a<b$ and $c<d$ then\n"


def test_formula_in_code_stays_code() -> None:
    page = "<p>write <code>\\(x\\)</code> or <code>$x$</code></p><pre>a &lt; $b$\n  c</pre>"
    assert extract_page(page).text == "write `\\(x\\)` or `$x$`\n\n```\na < $b$\n  c\n```\n"


def test_backquotes_are_formulas_only_where_the_page_loads_asciimath() -> None:
    page = "<p>so `x/2` holds</p>"
    assert "so `x/2` holds" in extract_page(page).text
    script = '<script src="ASCIIMathML.js"></script>'
    assert r"so $\frac{x}{2}$ holds" in extract_page(script + page).text


def test_preview_and_rendering_of_mathjax_2_go_where_the_script_stands() -> None:
    page = (
        '<p>Let <span class="MathJax_Preview">PREVIEW</span><span class="MathJax"><nobr>n</nobr><span class='
        '"MJX_Assistive_MathML"><math><mi>n</mi></math></span></span><script type="math/tex">n</script> be</p>'
    )
    assert extract_page(page).text == "Let $n$ be\n"


def test_large_table_becomes_rows_and_a_layout_table_blocks() -> None:
    cells = "".join(f"<tr><td>{n}<td>{n * n}<td>{n**3}</tr>" for n in range(2))
    assert "| 0 | 0 | 0 |\n| --- | --- | --- |\n| 1 | 1 | 1 |" in extract_page(f"<table>{cells}</table>").text
    layout = f"<table><tr><td><p>left</p><p>side</p></td><td>{FILLER}</td></tr></table>"
    assert extract_page(layout).text.startswith("left\n\nside\n\nSome words")


def test_list_items_stand_together_and_are_counted() -> None:
    page = "<ol><li>one<li>two<ul><li>inner</ul></ol>"
    assert extract_page(page).text == "1. one\n2. two\n- inner\n"


def test_comments_are_kept_or_dropped_as_the_rules_say() -> None:
    page = f"<body>{FILLER}<div id='comments'>A remark on \\(x\\).</div></body>"
    assert "remark on $x$" in extract_page(page).text
    assert "remark" not in extract_page(page, PageRules(comments="drop")).text


def test_heading_without_text_goes() -> None:
    text = extract_page(f"<h1>Roots</h1>{FILLER}<h2>See also</h2><h2>External links</h2>").text
    assert "# Roots" in text and "See also" not in text and "External" not in text


def test_lines_that_no_author_wrote_go() -> None:
    page = (
        f"<p>Share this page</p>{FILLER}<p>\u00a9 2020 Example. All rights reserved.</p><p>Next</p><p>[MathJax on]</p>"
    )
    assert extract_page(page).text.startswith("Some words")
    assert extract_page(page).text.endswith("content.\n")


@pytest.mark.parametrize(
    "line",
    [
        "Previous: Introduction to hompack &nbsp; [Contents][Index]",  # Texinfo, as in Maxima's manual
        "[Contents][Index]",
        'generated by <a href="http://example.org/GAPDoc">GAPDoc2HTML</a>',  # GAP's manuals
    ],
)
def test_line_that_a_manuals_program_wrote_goes(line: str) -> None:
    page = f"<p>{line}</p>{FILLER}<p>{line}</p>"
    assert extract_page(page).text == extract_page(FILLER).text


def test_drawing_with_drawings_in_it_goes_whole() -> None:
    """SymPy's pages begin with a store of icons: what stood behind its first one came out as text."""
    icon = '<symbol id="{0}"><title>{0}</title><svg viewBox="0 0 1 1"><path d="M0 0"/></svg></symbol>'
    icons = "".join(icon.format(name) for name in ("menu", "sun", "moon"))
    assert (
        extract_page(f"<h1>Guides</h1><svg>{icons}</svg>" + FILLER).text == "# Guides\n\n" + extract_page(FILLER).text
    )
    unclosed = "<svg><svg></svg>" * 20_000 + FILLER  # a walk to the end for each would take minutes
    assert "Some words" in extract_page(unclosed).text


def test_hidden_text_goes_and_hidden_mathml_of_wikis_stays() -> None:
    page = '<p style="display:none">HIDDEN</p><p hidden>HIDDEN</p><span style="visibility: hidden">HIDDEN</span>seen'
    assert extract_page(page).text == "seen\n"


def test_page_with_more_links_than_allowed_is_refused(tmp_path: Path) -> None:
    (record,) = read_page(tmp_path, FILLER.encode() + b"<a href=x>y</a>" * 3001)
    assert isinstance(record, Quarantined) and record.reason == "more than 3000 links"


def test_stray_end_tag_in_a_cell_does_not_end_the_table() -> None:
    page = "<div><table><tr><td>a</div></td><td>b</td></tr></table></div><p>after</p>"
    assert extract_page(page).text == "a b\n\nafter\n"


def test_control_characters_cannot_stand_for_our_marks() -> None:
    assert extract_page("<p>a\x020\x03b\x01c &#2;0&#3; $$x$$</p>").text == "a0bc 0\n\n$$x$$\n"


def test_visible_words_are_those_of_a_real_parser() -> None:
    """selectolax (Lexbor) is the independent reading: same words on a page with nothing to drop."""
    page = (
        "<body><p>One <b>two<i>three</b>four</i> <div>five<p>six<table><tr><td>seven<td>eight</table>nine<li>ten"
        "<dl><dt>eleven<dd>twelve</dl><select><option>x</select><blockquote>thirteen</p></blockquote>fourteen"
    )
    wanted = LexborHTMLParser(page).body
    assert wanted is not None
    for node in wanted.css("select"):
        node.decompose()
    words = extract_page(page).text.replace("- ", "").split()
    assert "".join(words) == "".join(wanted.text().split())


def test_fragment_is_read_without_judgement() -> None:
    post = '<p>Show that <span class="math-container">$x^2 \\ge 0$</span>:</p><ul><li><a href="a">a</a></ul><p>Next</p>'
    assert fragment_text(post) == "Show that $x^2 \\ge 0$:\n\n- a\n\nNext"
    assert fragment_text("<p>costs $5 or $6</p>", dollars=False) == "costs \\$5 or \\$6"


def read_page(tmp_path: Path, data: bytes) -> list[Document | Quarantined]:
    path = tmp_path / "page.html"
    path.write_bytes(data)
    file = SourceFile(name="page.html", paths=(str(path),), size=len(data))
    return list(html.read(html.Config(kind="html", path="."), file, "web"))


@pytest.mark.parametrize(
    ("end", "inside"),
    [
        (b'<a href="http://', "a tag"),
        (b"<!-- note", "a comment"),
        (b"<script>var x", "<script>"),
        (b"<math><mi>x", "<math>"),
    ],
)
def test_page_cut_in_the_middle_is_quarantined_with_the_construct(tmp_path: Path, end: bytes, inside: str) -> None:
    (record,) = read_page(tmp_path, f"<html><body>{FILLER}".encode() + end)
    assert isinstance(record, Quarantined) and record.reason == f"page is cut off inside {inside}"


def test_page_without_closing_tags_is_no_cut_page(tmp_path: Path) -> None:
    (record,) = read_page(tmp_path, f"<html><body>{FILLER}".encode())
    assert isinstance(record, Document)


def test_page_in_latin_1_is_read_by_its_declared_charset(tmp_path: Path) -> None:
    data = f"<meta charset=iso-8859-1>{FILLER}<p>M\u00f6bius</p>".encode("latin-1")
    (record,) = read_page(tmp_path, data)
    assert isinstance(record, Document) and "M\u00f6bius" in record.text


def test_deeply_nested_page_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    """The parser of before needed minutes for 300,000 open elements; no page that people read has so many."""
    (record,) = read_page(tmp_path, b"<div>" * 1_000_000 + b"x")
    assert isinstance(record, Quarantined) and "elements inside one another" in record.reason
    (shallow,) = read_page(tmp_path, b"<div>" * 2_000 + FILLER.encode())
    assert isinstance(shallow, Document) and "Some words" in shallow.text


def test_formula_nested_too_deeply_does_not_stop_the_page(tmp_path: Path) -> None:
    deep = "<math>" + "<mrow>" * 400 + "<mi>x</mi>" + "</mrow>" * 400 + "</math>"
    (record,) = read_page(tmp_path, f"{FILLER}{deep}<p>after it</p>".encode())
    assert isinstance(record, Document) and "after it" in record.text


def test_document_is_named_by_the_canonical_url(tmp_path: Path) -> None:
    head = '<link rel="canonical" href="https://example.org/a">'
    (record,) = read_page(tmp_path, f"<html><head>{head}</head><body>{FILLER}</body></html>".encode())
    assert isinstance(record, Document) and record.name == "https://example.org/a"


@pytest.mark.parametrize(
    "unit",
    [
        r"\(",
        r"\[",
        "$$",
        "$",
        "<p>",
        "<a href=x>",
        "&lt;",
        "<math>",
        "<table>",
        "<sup>",
        "<!--x-->",
        "<!--",
        "<script>",
        "<svg>",
        "</p>",
        "</div>",
        "<td>",
        "<li>",
        '<a b="',
        "<a ",
        "<",
        "`",
        r"\begin{align}",
        "[tex]",
        "<span>",
        "</span>",
        '<div class="nav">',
        '<span class="MathJax">',
        "<pre>",
        "<title>",
        "<img alt='$",
        "\0",
        "<code>",
        "|",
        "# ",
    ],
)
def test_page_made_of_one_construct_is_read_or_quarantined(tmp_path: Path, unit: str) -> None:
    assert len(read_page(tmp_path, (FILLER + unit * (100_000 // len(unit))).encode())) == 1


def test_page_of_one_line_is_read_up_to_its_bound_in_time_that_grows_with_its_length(tmp_path: Path) -> None:
    line = (FILLER + r"\(x_1\) <b>and</b> ").encode() * 8_000
    (record,) = read_page(tmp_path, line)
    assert isinstance(record, Document) and record.meta["num_formulas"] == 8_000
    (record,) = read_page(tmp_path, line * 5)
    assert isinstance(record, Quarantined) and record.reason == "page longer than 10000000 bytes"


def test_formula_is_read_whole_or_step_by_step_to_the_same_end() -> None:
    r"""Pages that set formulas take a short way for plain ones; what the short way passes over must not differ."""
    platform = Delimiters(platform=True, dollars=True, backquotes=False)
    draw = random.Random(7)
    pieces = [r"\(", r"\)", r"\[", r"\]", "$", "$$", "\\\\", r"\$", "{", "}", "x", r"\alpha", "_1", " ", "a word", "\x01",
              "\x04", "\n", "latex ", r"\begin{align}", r"\end{align}", "[tex]", "[/tex]", ")", "]", "&"]  # fmt: skip
    num_formulas = 0
    for _ in range(3000):
        text = "".join(draw.choice(pieces) for _ in range(draw.randint(1, 14)))
        short, long = Lifted(), Lifted()
        found = lift_delimited(text, platform, short, 1000)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(equations, "_WHOLE_OR_DOLLAR", re.compile(f"(?!)()()()()|{equations._OPENER.pattern}", re.I))
            assert (lift_delimited(text, platform, long, 1000), long.items) == (found, short.items), text
        num_formulas += len(short.items)
    assert num_formulas > 400


def test_deeply_nested_page_whose_elements_are_closed_is_refused_too(tmp_path: Path) -> None:
    """End tags counted against twice as many start tags, so that a page in balance was never looked at: 24 s."""
    (record,) = read_page(tmp_path, b"<div>" * 100_000 + b"x" + b"</div>" * 100_000)
    assert isinstance(record, Quarantined) and "elements inside one another" in record.reason
    (wide,) = read_page(tmp_path, b"<div></div>" * 10_000 + FILLER.encode())
    assert isinstance(wide, Document)
