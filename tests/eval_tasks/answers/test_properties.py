"""Properties that hold for every value and every text, looked for by hypothesis."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import prod

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eval_tasks.answers import Outcome, extract, judge
from eval_tasks.answers.judge import FAULT
from eval_tasks.answers.names import words

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
NUMBERS = st.fractions(min_value=-10_000, max_value=10_000, max_denominator=999)
COEFFICIENTS = st.lists(st.integers(-20, 20), min_size=2, max_size=5)


@st.composite
def spellings(draw: st.DrawFn, value: Fraction) -> str:
    """One way to write a rational number."""
    above, below = value.numerator, value.denominator
    factor = draw(st.integers(1, 9))
    sign, size = ("-", -value) if value < 0 else ("", value)
    ways = [
        f"{above}/{below}",
        rf"\frac{{{above}}}{{{below}}}",
        rf"\dfrac{{{above * factor}}}{{{below * factor}}}",
        rf"{sign}\frac{{{abs(above)}}}{{{below}}}",
        rf"\left({above}\right) \div {below}",
        rf"{above} \cdot {{1 \over {below}}}",
        f"${above}/{below}$",
        rf"\frac{{{above - below}}}{{{below}}} + 1",
    ]
    if below == 1:
        ways += [f"{above}", f"{above}.0", f"{above:,}", rf"\text{{{above}}}"]
    if size > 1 and below > 1:
        whole = size.numerator // below
        ways += [rf"{sign}{whole}\frac{{{size.numerator - whole * below}}}{{{below}}}"]
    if all(below % prime for prime in (3, 7, 11, 13)) and 10**12 % below == 0:
        digits = str(abs(above) * (10**12 // below)).rjust(13, "0")
        ways += [f"{sign}{digits[:-12]}.{digits[-12:].rstrip('0') or '0'}"]
    return draw(st.sampled_from(ways))


@QUICK
@given(st.data(), NUMBERS)
def test_number_written_in_two_ways_is_equal(data: st.DataObject, value: Fraction) -> None:
    assert judge(data.draw(spellings(value)), data.draw(spellings(value))).outcome is Outcome.EQUAL


@QUICK
@given(st.data(), NUMBERS, NUMBERS)
def test_different_numbers_are_never_equal(data: st.DataObject, one: Fraction, other: Fraction) -> None:
    first, second = data.draw(spellings(one)), data.draw(spellings(other))
    assert judge(first, second).is_equal == (one == other)


@QUICK
@given(COEFFICIENTS, COEFFICIENTS, st.sampled_from("xyt"))
def test_product_of_polynomials_equals_its_expansion_and_nothing_else(a: list[int], b: list[int], name: str) -> None:
    product = [0] * (len(a) + len(b) - 1)
    for i, first in enumerate(a):
        for j, second in enumerate(b):
            product[i + j] += first * second
    factored = f"({_polynomial(a, name)})({_polynomial(b, name)})"
    assert judge(factored, _polynomial(product, name)).is_equal
    product[0] += 1
    assert not judge(factored, _polynomial(product, name)).is_equal


def _polynomial(coefficients: list[int], name: str) -> str:
    return " + ".join(f"({c}){name}^{{{power}}}" for power, c in enumerate(coefficients))


@QUICK
@given(st.lists(NUMBERS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_set_in_another_order_is_equal_and_without_a_member_is_not(values: list[Fraction], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    written, other = (r"\{" + ", ".join(map(str, items)) + r"\}" for items in (values, shuffled))
    assert judge(written, other).is_equal
    fewer = set(values) - {values[0]}
    assert not judge(written, r"\{" + ", ".join(map(str, sorted(fewer))) + r"\}").is_equal


@QUICK
@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.sampled_from("[("), st.sampled_from("])")), min_size=1, max_size=4))
def test_union_of_intervals_holds_the_same_points_as_its_parts(
    parts: list[tuple[Fraction, Fraction, str, str]],
) -> None:
    """Against membership tests at all ends and between them, the slow way."""
    ordered = [(min(a, b), max(a, b), left, right) for a, b, left, right in parts if a != b]
    if not ordered:
        return
    ends = sorted({end for a, b, _, _ in ordered for end in (a, b)})
    probes = ends + [(a + b) / 2 for a, b in pairwise(ends)] + [ends[0] - 1, ends[-1] + 1]
    inside = {point for point in probes if any(_holds(part, point) for part in ordered)}
    whole = r" \cup ".join(f"{left}{a}, {b}{right}" for a, b, left, right in ordered)
    for left_out in ordered:
        rest = [part for part in ordered if part is not left_out]
        if not rest:
            continue
        smaller = r" \cup ".join(f"{left}{a}, {b}{right}" for a, b, left, right in rest)
        kept = {point for point in probes if any(_holds(part, point) for part in rest)}
        assert judge(whole, smaller).is_equal == (kept == inside)


def _holds(part: tuple[Fraction, Fraction, str, str], point: Fraction) -> bool:
    a, b, left, right = part
    return a < point < b or (point == a and left == "[") or (point == b and right == "]")


@QUICK
@given(
    st.lists(st.integers(-9, 9), min_size=1, max_size=4), st.integers(0, 2), st.sampled_from(("<", ">", r"\le", r"\ge"))
)
def test_inequality_with_known_roots_and_poles_holds_where_the_sign_does(
    numbers: list[int], num_poles: int, operator: str
) -> None:
    """Against the sign at every root and between any two, the slow way."""
    poles = numbers[:num_poles]
    roots = [number for number in numbers if number not in poles]
    ends = sorted(set(numbers))
    cells = [(rf"(-\infty, {ends[0]})", Fraction(ends[0] - 1)), (rf"({ends[-1]}, \infty)", Fraction(ends[-1] + 1))]
    cells += [(rf"\{{{end}\}}", Fraction(end)) for end in ends]
    cells += [(f"({low}, {high})", Fraction(low + high, 2)) for low, high in pairwise(ends)]
    holds: dict[bool, list[str]] = {True: [], False: []}
    for text, probe in cells:
        above, below = prod(probe - root for root in roots), prod(probe - pole for pole in poles)
        signs = {"<": (-1,), ">": (1,), r"\le": (-1, 0), r"\ge": (0, 1)}[operator]
        holds[below != 0 and (above * below > 0) - (above * below < 0) in signs].append(text)
    factors = ["".join(f"(x - ({number}))" for number in part) or "1" for part in (roots, poles)]
    inequality = rf"\frac{{{factors[0]}}}{{{factors[1]}}} + 0x {operator} 0"
    where, elsewhere = (r" \cup ".join(holds[key]) or r"\emptyset" for key in (True, False))
    assert judge(inequality, where).is_equal
    assert not judge(inequality, elsewhere).is_equal


PIECES = st.sampled_from(
    words(
        r"1 2 0 x y i e n \pi \frac \sqrt { } ( ) [ ] \{ \} + - * / ^ _ , ; = < > \le \in \cup \pm \sin \log \text{a} "
        r"% $ \\ & \begin{pmatrix} \end{pmatrix} | ! ' . : \circ \infty \sum_{k=1}^{3} \int dx ° √ ² ± ≤ cm am or and "
        r"\overline \bar \binom ... 1,234 1e5 1e510 1e5_2 2^{9999} \over \mathbb{R} \lfloor"
    )
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(PIECES, max_size=14).map("".join), st.lists(PIECES, max_size=10).map(" ".join))
def test_judge_of_any_heap_of_symbols_raises_nothing_and_is_symmetric(gold: str, prediction: str) -> None:
    one, other = judge(gold, prediction, decimal_comma=False), judge(prediction, gold, decimal_comma=False)
    assert FAULT not in one.reason + other.reason
    if gold.strip() and prediction.strip() and Outcome.NO_ANSWER not in (one.outcome, other.outcome):
        assert one.is_equal == other.is_equal
    extract(gold + prediction)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_judge_of_any_text_raises_nothing_and_equals_itself(text: str) -> None:
    judgement = judge(text, text)
    assert FAULT not in judgement.reason
    assert judgement.outcome in (Outcome.EQUAL, Outcome.NO_ANSWER, Outcome.UNPARSED)
    for policy in ("strict", "lenient", "hendrycks"):
        assert FAULT not in judge("5", text, policy).reason + judge(text, "5", policy).reason
    extract(text)
