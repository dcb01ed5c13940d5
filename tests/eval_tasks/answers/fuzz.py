"""A fuzzer for the grader: no text may raise, take long, or be judged one way forwards and another way backwards.

    pip install atheris
    python tests/eval_tasks/answers/fuzz.py -max_total_time=600 -timeout=5 -rss_limit_mb=2048 -max_len=200 [CORPUS]

It is no test of the suite: atheris (libFuzzer) guides itself by coverage and runs until it is stopped. A finding ends
it with a traceback and a file crash-*, which it takes again as an argument. Half of the input picks from the words that
the grader knows, since random bytes seldom get beyond the tokenizer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

with atheris.instrument_imports(include=["eval_tasks.answers"]):
    from eval_tasks.answers import Outcome, extract, judge
    from eval_tasks.answers.judge import FAULT
    from eval_tasks.answers.names import words

PIECES = words(
    r"1 2 0 -3 10 1.5 .5 1,234 12:05 3:15 x y i e n f(x) \pi \frac{ } \frac12 \sqrt { } ( ) [ ] \{ \} + - * / ^ _ , ; "
    r"= < > \le \ge \ne \in \cup \cap \setminus \pm \mp \sin \log_ \text{ \text{cm} % \% $ \$ \\ & \begin{pmatrix} "
    r"\end{pmatrix} \begin{cases} \end{cases} | ! ' . : ^\circ \circ \infty \sum_{k=1}^{ \int dx \lim_{x\to ° √ ² ± ≤ "
    r"½ cm am or and to th 5th \overline{ \binom{ ... 1e5 _2 \over \mathbb{R} \lfloor \rfloor \boxed{ \boxed{5} #### "
    r"million base twenty-one A. (B) May \left \right \pmod{ \mod \left] \emptyset The answer is"
)
ORDER_FREE = {"decimal_comma": False}


def test_one_input(data: bytes) -> None:
    """Judges two texts in both orders, under every policy of ours, and looks for an answer in them."""
    source = atheris.FuzzedDataProvider(data)
    texts = []
    for _ in range(2):
        parts = []
        for _ in range(source.ConsumeIntInRange(0, 14)):
            if source.ConsumeBool():
                parts.append(PIECES[source.ConsumeIntInRange(0, len(PIECES) - 1)])
            else:
                parts.append(source.ConsumeUnicode(source.ConsumeIntInRange(0, 6)))
        texts.append((" " if source.ConsumeBool() else "").join(parts))
    one, other = texts
    first, second = judge(one, other, **ORDER_FREE), judge(other, one, **ORDER_FREE)
    for judgement in (first, second, judge(one, one), judge(one, other, "strict"), judge(one, other, "lenient")):
        if FAULT in judgement.reason:
            raise RuntimeError(f"{judgement.reason}: {one!r} {other!r}")
    nothing = Outcome.NO_ANSWER in (first.outcome, second.outcome)
    if one.strip() and other.strip() and not nothing and first.is_equal != second.is_equal:
        raise RuntimeError(f"not symmetric: {one!r} {other!r} {first} {second}")
    judge(one, other, "hendrycks")
    extract(one + other)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
