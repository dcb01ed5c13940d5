"""A quoted problem is cut out with what belongs to it, and the rest of the document stays."""

from __future__ import annotations

from proof_pile.decontaminate.spans import MAX_WIDENED_BYTES, is_frame, spans_to_cut, without_spans


def cut(text: str, *quotes: str) -> str:
    data = text.encode()
    places = [(data.index(quote.encode()), data.index(quote.encode()) + len(quote.encode())) for quote in quotes]
    return without_spans(text, spans_to_cut(data, places))


def test_span_grows_to_the_paragraph() -> None:
    text = "Before.\n\nExercise 3. A farmer has\nten cows. How many?\n\nAfter.\n"
    assert cut(text, "farmer has\nten") == "Before.\n\nAfter.\n"


def test_span_in_a_latex_list_is_the_item_and_leaves_the_list_whole() -> None:
    """A sheet of problems is one paragraph of LaTeX: all went for one, or an \\end was left without its \\begin."""
    text = (
        "Before.\n\n\\begin{enumerate}\n\\item First.\n\\item A farmer has ten cows.\nHow many?\n\\item Third.\n"
        "\\end{enumerate}\n\n\\begin{exercise}[Hens] A farmer has\n\\[ x = 3 \\] hens.\n\nFind $x$.\n\\end{exercise}\n"
    )
    assert cut(text, "has ten", "hens") == (
        "Before.\n\n\\begin{enumerate}\n\\item First.\n\\item Third.\n\\end{enumerate}\n\n"
        "\\begin{exercise}[Hens] Find $x$.\n\\end{exercise}\n"
    )
    last = "\\begin{itemize}\n\\item One.\n\\item A farmer has ten cows.\n\\end{itemize}\n"
    assert cut(last, "farmer") == "\\begin{itemize}\n\\item One.\n\\end{itemize}\n"


def test_span_in_a_long_block_grows_to_the_line() -> None:
    lines = [f'{{"n": {number}, "text": "line of a long file without an empty line"}}' for number in range(100)]
    text = "\n".join(lines)
    assert cut(text, '"n": 50, "text"') == "\n".join(lines[:50] + lines[51:])


def test_span_in_one_long_line_grows_to_the_sentence() -> None:
    sentence = "This is a sentence of a page in one line. "
    text = sentence * 60 + "A farmer has ten cows. " + sentence * 60
    assert cut(text, "farmer has ten") == sentence * 120


def test_span_without_any_boundary_stays_what_was_quoted() -> None:
    text = "x" * 2 * MAX_WIDENED_BYTES + " ten cows " + "y" * 2 * MAX_WIDENED_BYTES
    assert cut(text, "ten cows") == text.replace("ten cows", "")


def test_spans_that_meet_are_one() -> None:
    text = "One.\n\nA farmer has ten cows and two dogs.\n\nThree."
    data = text.encode()
    assert len(spans_to_cut(data, [(8, 20), (25, 35), (10, 12)])) == 1
    assert cut(text, "farmer", "dogs") == "One.\n\nThree."


def test_cut_keeps_characters_beyond_ascii_whole() -> None:
    assert cut("Größe.\n\nπ ist ünendlich\n\nÜber", "ist") == "Größe.\n\nÜber"


def test_document_that_is_mostly_quoted_is_a_frame() -> None:
    text = ("Title\n\n" + "quoted words " * 20).encode()
    assert is_frame(text, [(7, len(text))])
    assert not is_frame(text + b"\n\n" + b"own words " * 40, [(7, len(text))])
    assert is_frame(b"  \n\nabc", [(4, 7)])
