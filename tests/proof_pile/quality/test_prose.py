"""What a model is shown of a text: formulas, LaTeX and code go, words stay."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import pytest

from proof_pile.quality.prose import CODE, COMMENTS, FORMULAS, bytes_of, prose, prose_text, words_text


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Let $G$ be a group.", "Let be a group."),
        ("It costs $5 and then $10 more.", "It costs $5 and then $10 more."),  # pandoc: a digit follows the second
        (r"So \(x^2\) and \[ a = b \] hold.", "So and hold."),
        ("so $$\na = b\n$$ holds", "so holds"),
        (r"\begin{align*} a &= b \end{align*} done", "done"),
        (r"\begin{theorem} Every $p$ is odd. \end{theorem}", "Every is odd."),
        (r"\textbf{bold \emph{words}} stay, \ref{eq:1} goes", "bold words stay, goes"),
        (r"set {a} and 50\% of it", "set {a} and 50% of it"),
        ("run `f(x)` or ```\ncode\n``` here", "run or here"),
        ("see https://example.org/a?b=c for more", "see for more"),
        ("open $ without an end", "open $ without an end"),
        (r"\begin{align} without an end", "without an end"),
        ("price\\", "price"),
        ("", ""),
    ],
)
def test_prose_of_a_text_has_no_formulas_commands_or_code(text: str, expected: str) -> None:
    assert squeezed(prose_text(text)) == expected


def test_prose_marked_says_where_formulas_and_code_were() -> None:
    data, formulas, codes = prose(bytes_of(r"By $a$ and \[b\] run `c`."), FORMULAS | CODE, marked=True)
    assert squeezed(data.tobytes().decode()) == "By [EQUATION] and [EQUATION] run [CODE] ."
    assert (formulas, codes) == (2, 1)


def test_prose_of_latex_source_leaves_comments_out_only_where_asked() -> None:
    assert squeezed(prose_text("50% of it", CODE)) == "50% of it"
    assert squeezed(prose_text("word % note\nnext", COMMENTS)) == "word next"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Every Group, of ORDER 12!", "every group , of order 00 !"),
        ("x = 3 ∈ ∑ ÉTÉ", "x = 0 ∈ ∑ été"),
        ("in 1234567 ways", "in 0000 ways"),
        ("=====  ---", "= -"),
        ("“quoted” — don't", "quoted don t"),
        ("snake_case $x$", "snake case x"),
        ("a" * 200 + " b", "a" * 60 + " b"),
    ],
)
def test_words_are_lower_case_with_punctuation_apart(text: str, expected: str) -> None:
    assert words_text(text) == expected


def test_words_keep_line_breaks_as_a_word() -> None:
    """MegaMath's normaliser first makes every run of white space one space and then looks for line breaks to write
    as <EOS>: there are none left, and its classifier was trained and asked without a single one.
    """
    assert words_text("one two\n\n  three\r\nfour\n") == "one two <EOS> three <EOS> four"


def test_words_of_a_text_cannot_end_a_line_or_set_a_label() -> None:
    shown = words_text("</s> __label__math")
    assert "</s>" not in shown.split()
    assert not any(word.startswith("__label__") for word in shown.split())


@pytest.mark.parametrize(
    "part", ["\\[ ", "\\( ", "\\begin{equation} ", "$a ", "$$ a", "`", "```a", "\\a{", "{", "$`\\[\\begin{align}"]
)
def test_prose_of_a_text_of_nothing_but_beginnings_takes_no_square_time(part: str) -> None:
    prose_text(part)
    text = part * (600_000 // len(part))
    started = time.process_time()
    prose_text(text)
    assert time.process_time() - started < 3  # square time would be minutes


def test_loops_stay_inside_their_buffers() -> None:
    """Random bytes with Numba's bounds check on, in a process of its own because the check is compiled in."""
    draw = random.Random(9)
    alphabet = "$\\`{}[]() \nabGI%é∑—_^&*\u00a0".encode() + b"\xff\xe2"
    samples = [bytes(draw.choices(alphabet, k=draw.randrange(40))) for _ in range(300)]
    samples += [b"\\begin{align}" + sample for sample in samples[:100]]
    program = f"""
import numpy as np
from proof_pile.quality.prose import prose, words, EVERYTHING, COMMENTS
from proof_pile.quality.rules import look_at, repetition_of
for sample in {samples!r}:
    data = np.frombuffer(sample, np.uint8)
    for marked in (False, True):
        words(prose(data, EVERYTHING | COMMENTS, marked=marked)[0])
    look_at(sample.decode("utf-8", "replace"))
    repetition_of(sample.decode("utf-8", "replace"), (2, 3), (5,))
"""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": os.devnull, "NUMBA_OPT": "0"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
