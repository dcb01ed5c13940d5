"""Which pages may hold mathematics, and how their bytes become text."""

from __future__ import annotations

import pytest

from proof_pile.sources.web.charset import decode_page
from proof_pile.sources.web.prefilter import mathematics_in

LONG = b"<p>" + b"a page of words without any formula in it " * 20 + b"</p>"


@pytest.mark.parametrize(
    ("page", "wanted"),
    [
        (b'<script src="x/MathJax.js">', "MathJax"),
        (b"<math><mi>x</mi></math>", "<math"),
        (b'<link href="katex.min.css">', "katex.min.css"),
        (b"<img src='http://latex.codecogs.com/gif.latex?x'>", "codecogs"),
        (rb"<p>let \frac{a}{b} be</p>", "latex"),
        (rb"<script>var a = '\frac{a}{b}'</script><p>nothing</p>", None),
        (rb"<p>C:\emacs and \unknowncommand</p>", None),
        (b"<p>words</p>", None),
    ],
)
def test_page_passes_by_what_its_bytes_hold(page: bytes, wanted: str | None) -> None:
    assert mathematics_in(page) == wanted


def test_page_without_latex_is_scored_where_a_model_is_given_and_the_text_is_long() -> None:
    assert mathematics_in(LONG, lambda text: 0.9) == "score"
    assert mathematics_in(LONG, lambda text: 0.9, min_score=0.95) is None
    assert mathematics_in(b"<p>short</p>", lambda text: 0.9) is None


@pytest.mark.parametrize(
    ("data", "http_charset", "wanted"),
    [
        ("\u00f6".encode(), "latin-1", ("\u00f6", "utf-8")),  # the bytes are UTF-8, whatever the server says
        ("\u00f6".encode("utf-16"), "", ("\u00f6", "utf-16")),
        (b"\xf6", "iso-8859-1", ("\u00f6", "cp1252")),
        (b"<?xml version='1.0' encoding='iso-8859-7'?>\xe1", "", (None, "iso8859-7")),
        (b"<meta charset=windows-1251>\xe6", "", (None, "cp1251")),
        (b"\x93\xf6", "no-such-charset", ("\u201c\u00f6", "windows-1252")),
        (b"\xf6 and more", "zip", ("\u00f6 and more", "windows-1252")),  # a codec, but none of text
        (b"<meta charset=utf-8>\xff text", "", (None, "utf-8 with errors")),
    ],
)
def test_charset_is_told_from_bytes_then_declarations(data: bytes, http_charset: str, wanted: tuple[str, str]) -> None:
    text, charset = decode_page(data, http_charset)
    assert charset == wanted[1] and wanted[0] in (None, text)
