"""HTML pages: equations in every form stay, boilerplate goes, bad pages are quarantined."""

from __future__ import annotations

from pathlib import Path

import pytest

from proof_pile.documents import Document, Quarantined
from proof_pile.sources import html
from proof_pile.sources.html_text import extract_page
from proof_pile.sources.inputs import SourceFile

FILLER = "<p>" + "Some words that make the page long enough to count as content. " * 5 + "</p>"

# (markup, what must stand in the text).  Forms as MathJax 2 and 3, KaTeX, LaTeXML, MediaWiki and WordPress write them.
EQUATIONS = [
    (r"<p>so \(a+b\) holds</p>", "so $a+b$ holds"),
    (r"<p>so \[a+b\] holds</p>", "so\n\n$$a+b$$\n\nholds"),
    (r"<p>so $$a+b$$ holds</p>", "so $$a+b$$ holds"),
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
    for kept in ("## Title", "Some words", "| 1 | 2 |", "```\na\n  b\n```"):
        assert kept in text


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
    """The parser needs minutes for 300,000 open elements: the nesting is counted before it sees the page."""
    (record,) = read_page(tmp_path, b"<div>" * 300_000 + b"x")
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
    "unit", [r"\(", r"\[", "$$", "<p>", "<a href=x>", "&lt;", "<math>", "<table>", "<sup>", "<!--x-->"]
)
def test_page_made_of_one_construct_is_read_or_quarantined(tmp_path: Path, unit: str) -> None:
    assert len(read_page(tmp_path, (FILLER + unit * (100_000 // len(unit))).encode())) == 1


def test_deeply_nested_page_whose_elements_are_closed_is_refused_too(tmp_path: Path) -> None:
    """End tags counted against twice as many start tags, so that a page in balance was never looked at: 24 s."""
    (record,) = read_page(tmp_path, b"<div>" * 100_000 + b"x" + b"</div>" * 100_000)
    assert isinstance(record, Quarantined) and "elements inside one another" in record.reason
    (wide,) = read_page(tmp_path, b"<div></div>" * 10_000 + FILLER.encode())
    assert isinstance(wide, Document)
