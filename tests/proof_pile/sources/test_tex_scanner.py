"""Comments, verbatim parts and arguments of TeX."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof_pile.sources.tex_scanner import read_argument, read_group, remove_comments, split_verbatim

# (source, as TeX reads it).  The first three are faults of RedPajama's expressions: they eat the character before %.
COMMENTS = [
    ("x=y% why\nz", "x=yz"),
    (r"100\% of it % note", r"100\% of it "),
    (r"a\\% break" + "\nb", r"a\\b"),
    ("one % note\ntwo", "one \ntwo"),
    ("% whole line\nnext", "next"),
    ("  % indented whole line\n  next", "  next"),
    ("first\n% between\nsecond", "first\nsecond"),
    ("end.% note\n\nNew paragraph", "end.\n\nNew paragraph"),
    ("% a\n% b\n% c\nd", "d"),
    (r"\verb|50%| stays % goes", r"\verb|50%| stays "),
    (r"\verb*+a%b+ c", r"\verb*+a%b+ c"),
    ("\\begin{verbatim}\n% kept\n\\end{verbatim}\n% gone\nx", "\\begin{verbatim}\n% kept\n\\end{verbatim}\nx"),
    (
        "\\begin{lstlisting}[language=C]\na % b;\n\\end{lstlisting}",
        "\\begin{lstlisting}[language=C]\na % b;\n\\end{lstlisting}",
    ),
    ("a\\begin{comment}\nlong\n\\end{comment}b", "ab"),
    ("a \\iffalse hidden \\ifx\\a\\b deep \\fi still hidden \\fi b", "a  b"),
    ("% \\begin{verbatim}\nnot verbatim % c\n", "not verbatim \n"),
    ("\\begin{verbatim} never closed % c\nx", "\\begin{verbatim} never closed \nx"),
]


@pytest.mark.parametrize(("source", "wanted"), COMMENTS)
def test_comment_goes_and_nothing_else(source: str, wanted: str) -> None:
    assert remove_comments(source) == wanted


@given(st.text(alphabet="ab%\\{}\n |", max_size=60))
def test_split_into_verbatim_and_other_pieces_joins_to_the_text(text: str) -> None:
    assert "".join(piece for _, piece in split_verbatim(text)) == text


@given(st.text(alphabet="ab \\{}%\n", max_size=60))
def test_text_without_percent_signs_is_left_alone(text: str) -> None:
    clean = text.replace("%", "")
    assert remove_comments(clean) == clean


def test_group_counts_braces_but_not_escaped_ones() -> None:
    assert read_group(r"{a{b}\}c}d", 0) == (r"a{b}\}c", 9)
    assert read_group("{never closed", 0) is None


def test_argument_is_a_group_a_command_or_one_character() -> None:
    assert read_argument(" {ab}c", 0) == ("ab", 5)
    assert read_argument(r"\alpha x", 0) == (r"\alpha", 6)
    assert read_argument("xy", 0) == ("x", 1)
    assert read_argument("\n\nx", 0) is None
