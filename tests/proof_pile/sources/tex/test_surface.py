r"""Comments, verbatim parts and marks of the first scan."""

from __future__ import annotations

import pytest

from proof_pile.sources.tex import names, surface

COMMENTS = [
    ("a % note\nb\n", "a\nb\n"),
    ("a% note\nb\n", "ab\n"),  # TeX: the comment takes the line end with it
    ("a%\n   b\n", "ab\n"),  # ... and blanks that begin a line never count
    ("a%\n%\n  %\nb\n", "ab\n"),
    ("a%\n\nb\n", "a\n\nb\n"),  # a blank line still ends the paragraph
    ("\\foo%\nbar\n", "\\foo\nbar\n"),  # \foo and bar are two tokens
    ("\\\\% break\nb\n", "\\\\\nb\n"),
    ("% whole line\nb\n", "b\n"),
    ("a\n   % whole line\n  b\n", "a\n  b\n"),
    ("a\n%\n\nb\n", "a\n\nb\n"),
    ("50\\% of\n", "50\\% of\n"),
    ("50\\\\% of\n", "50\\\\\n"),  # \\ is a token of its own, so the % begins a comment
    ("x\\\\\\% y\n", "x\\\\\\% y\n"),
    ("\\verb|%|% c\nb\n", "\\verb|%|b\n"),
    ("\\verb*!100%! b\n", "\\verb*!100%! b\n"),
    ("\\verb\u00a7%\u00a7 b\n", "\\verb\u00a7%\u00a7 b\n"),
    ("\\verb+open % c\nb\n", "\\verb+open\nb\n"),  # no \verb goes beyond its line
    ("\\lstinline[language=C]{a % b} c\n", "\\lstinline[language=C]{a % b} c\n"),
    ("\\mintinline{c}|a % b| c\n", "\\mintinline{c}|a % b| c\n"),
    ("\\url{http://a/b%20c} d\n", "\\url{http://a/b%20c} d\n"),
    ("\\href{http://a/%7Eb}{text} % c\nd\n", "\\href{http://a/%7Eb}{text}\nd\n"),
    ("\\begin{verbatim}\n% kept\n\\end{verbatim}\n", "\\begin{verbatim}\n% kept\n\\end{verbatim}\n"),
    ("\\begin{lstlisting}[a]\n% k\n\\end{lstlisting}% c\nd", "\\begin{lstlisting}[a]\n% k\n\\end{lstlisting}\nd"),
    ("a\n\\begin{comment}\nb % c\n\\end{comment}\nd\n", "a\nd\n"),
    ("\\begin{verbatim} % never closed\nb\n", "\\begin{verbatim}\nb\n"),
    ("a\r\nb\rc\r\n% x\r\nd", "a\nb\nc\nd"),
    ("a\fb\x00\x07c\n", "a\nbc\n"),
    ("a\n\\endinput\nb\n", "a\n"),
    ("\\ifx\\a\\b\n\\endinput\n\\fi\nb\n", "\\ifx\\a\\b\n\\endinput\n\\fi\nb\n"),  # who knows
]


@pytest.mark.parametrize(("source", "wanted"), COMMENTS)
def test_comment_goes_and_nothing_else(source: str, wanted: str) -> None:
    assert surface.clean(source.encode()).text.decode() == wanted


def test_character_before_a_comment_is_kept() -> None:
    """RedPajama's inline rule takes one character more than the comment: "text% note" loses its last letter."""
    assert surface.clean(b"One text% note\nend\n").text == b"One textend\n"
    assert surface.clean(b"$x^2$% square\n").text == b"$x^2$"


def test_environments_that_the_paper_makes_verbatim_are_left_alone() -> None:
    data = (
        b"\\lstnewenvironment{code}{}{}\\excludecomment{answer}\\MakeShortVerb{\\|}\n"
        b"|50%| % c\n\\begin{code}\n% kept\n\\end{code}\n\\begin{answer}gone\\end{answer}\n"
    )
    assert surface.clean(data).defines_verbatim
    text = surface.clean(data, verbatim=surface.verbatim_of(data)).text
    assert text.endswith(b"|50%|\n\\begin{code}\n% kept\n\\end{code}\n")


def test_marks_name_what_a_file_reads_in() -> None:
    text = b"\\input{a}\\include {b}\n%\\input{no}\n\\verb|\\input{no}| \\input c \\import{d/}{e}\\usepackage[x]{f,g}"
    found = surface.clean(text)
    shown = [(code, found.text[start:stop]) for code, start, stop in found.marks]
    assert shown == [
        (names.INPUT, b"\\input{a}"),
        (names.INPUT, b"\\include {b}"),
        (names.INPUT, b"\\input c"),
        (names.IMPORT, b"\\import{d/}{e}"),
        (names.PACKAGE, b"\\usepackage[x]{f,g}"),
    ]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5])
def test_every_short_string_of_special_bytes_is_scanned_without_reading_beyond_its_end(size: int) -> None:
    """Compiled code does not check its bounds: all strings of these bytes, up to five, must give sound output."""
    import itertools

    for parts in itertools.islice(itertools.product(b"\\%{}\n\r v", repeat=size), 40_000):
        out = surface.clean(bytes(parts)).text
        assert len(out) <= size + 1
