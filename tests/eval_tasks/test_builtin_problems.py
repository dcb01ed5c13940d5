"""Every built-in answer, found again by exact computation that knows nothing of how it was written down."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
from sympy.parsing.sympy_parser import implicit_multiplication_application, parse_expr, standard_transformations

import eval_tasks
from eval_tasks.answers import judge

PROBLEMS = [
    json.loads(line)
    for line in (Path(eval_tasks.__file__).parent / "tasks/builtin/problems.jsonl").read_text("utf-8").splitlines()
]
x, y, t, n, z = sp.symbols("x y t n z", real=True)
R = sp.Rational


def _real_set(condition: Any) -> Any:
    return condition.as_set() if hasattr(condition, "as_set") else sp.solveset(condition, x, sp.S.Reals)


def _permutations_without_fixed_point(size: int) -> int:
    return sum(all(p[i] != i for i in range(size)) for p in itertools.permutations(range(size)))


def _paths() -> int:
    """Paths from (0, 0) to (6, 4) through (2, 3), counted one by one."""
    total = 0
    for ups in itertools.combinations(range(10), 4):
        place, seen = [0, 0], False
        for step in range(10):
            place[1 if step in ups else 0] += 1
            seen = seen or place == [2, 3]
        total += seen
    return total


def _three_socks() -> Fraction:
    socks = "R" * 4 + "B" * 5 + "G" * 3
    draws = list(itertools.combinations(range(12), 3))
    return Fraction(sum(len({socks[i] for i in draw}) == 3 for draw in draws), len(draws))


def _shares_of_lamps() -> int:
    return sum(1 for a in range(1, 13) for b in range(1, 13) for c in range(1, 13) if 15 - a - b - c >= 1)


COMPUTED: dict[str, Callable[[], Any]] = {
    "alg-01": lambda: next(d for d in range(54) if 7 * d + 4 * (53 - d) == 293),
    "alg-02": lambda: sp.solve((3 * x - 1) / (x + 4) - R(3, 5), x)[0],
    "alg-03": lambda: sp.FiniteSet(*sp.solve(sp.Abs(2 * x - 9) - sp.Abs(x + 3), x)),
    "alg-04": lambda: _real_set((x - 3) * (x + 5) <= 9),
    "alg-05": lambda: sp.expand((2 * t - 3) ** 3),
    "alg-06": lambda: sp.Matrix([[3, 5], [1, 2]]).inv(),
    "alg-07": lambda: next(a * (a + 1) + a * (a + 2) + (a + 1) * (a + 2) for a in range(-99, 99) if 3 * a + 3 == 12),
    "alg-08": lambda: sp.Intersection(_real_set(7 - x >= 0), _real_set(x + 2 > 0)),
    "alg-09": lambda: _real_set((x**2 - 1) / (x - 4) > 0),
    "alg-10": lambda: sp.solve((4 * y + 1) / (y - 2) - x, y)[0],
    "alg-11": lambda: sp.Matrix([[1, 2], [0, -3]]) ** 3,
    "alg-12": lambda: sp.summation(
        18 * R(2, 3) ** sp.Symbol("k", integer=True), (sp.Symbol("k", integer=True), 0, sp.oo)
    ),
    "alg-13": lambda: sp.simplify(sum(a / b for a, b in itertools.permutations(sp.roots(2 * x**2 - 5 * x + 1, x), 2))),
    "alg-14": lambda: next(r for r in sp.solve((x - 1) * (x + 5) - 16, x) if r > 1),
    "alg-15": lambda: sp.expand_complex((3 + 2 * sp.I) / (1 - sp.I)),
    "alg-16": lambda: sp.Matrix([[2, 1], [0, 3]]) * sp.Matrix([[1, -1], [4, 2]]),
    "alg-17": lambda: tuple(sp.Matrix([1, 2, 0]).cross(sp.Matrix([0, 1, 3]))),
    "num-01": lambda: 7**100 % 13,
    "num-02": lambda: math.gcd(1764, 2310),
    "num-03": lambda: sum(7200 % d == 0 for d in range(1, 7201)),
    "num-04": lambda: sp.FiniteSet(*(k for k in range(1, 1000) if (3 * k + 20) % (k + 2) == 0)),
    "num-05": lambda: next(k for k in range(1000) if (k % 5, k % 7, k % 9) == (2, 3, 4)),
    "num-06": lambda: len(str(math.factorial(137))) - len(str(math.factorial(137)).rstrip("0")),
    "num-07": lambda: int("3102", 5),
    "num-08": lambda: next(k for k in range(1, 43) if 17 * k % 43 == 1),
    "num-09": lambda: 3**2025 % 100,
    "num-10": lambda: sp.FiniteSet(*(k for k in range(11) if k * k % 11 == 5)),
    "num-11": lambda: sum(d for d in range(1, 361) if 360 % d == 0),
    "num-12": lambda: sum(math.gcd(k, 1001) == 1 for k in range(1, 1002)),
    "num-13": lambda: sp.FiniteSet(*(a for a in range(1, 100) for b in range(1, a) if a * a - b * b == 45)),
    "num-14": lambda: Fraction(4, 10) + Fraction(27, 990),
    "cnt-01": lambda: sum(sum(player >= 7 for player in group) == 2 for group in itertools.combinations(range(13), 5)),
    "cnt-02": lambda: len(set(itertools.permutations("LANTERN"))),
    "cnt-03": lambda: Fraction(sum(a * b % 6 == 0 for a in range(1, 7) for b in range(1, 7)), 36),
    "cnt-04": _paths,
    "cnt-05": _three_socks,
    "cnt-06": lambda: sum((k % 4 == 0) != (k % 6 == 0) for k in range(1, 501)),
    "cnt-07": _shares_of_lamps,
    "cnt-08": lambda: _permutations_without_fixed_point(6),
    "cnt-09": lambda: Fraction(sum(bin(k).count("1") == 3 for k in range(256)), 256),
    "cnt-10": lambda: sum(list(str(k)) == sorted(set(str(k))) and "0" not in str(k) for k in range(10_000, 100_000)),
    "cnt-11": lambda: sum("11" not in f"{k:09b}" for k in range(512)),
    "cnt-12": lambda: sp.interpolate([(k, len(_diagonals(k))) for k in (3, 4, 5, 6, 7)], n),
    "cnt-13": lambda: Fraction(3, 5) / (Fraction(3, 5) + Fraction(1, 5)),
    "cnt-14": lambda: sum(len(set(way)) == 3 for way in itertools.product(range(3), repeat=5)),
    "cal-01": lambda: sp.limit(sp.sin(5 * x) / sp.tan(2 * x), x, 0),
    "cal-02": lambda: sp.diff(x**2 * sp.log(x), x),
    "cal-03": lambda: sp.integrate(t**2 - 2 * t + 4, (t, 0, 3)),
    "cal-04": lambda: sp.integrate(x**-3, (x, 1, 2)),
    "cal-05": lambda: _real_set(sp.diff(x**3 - 6 * x**2 - 15 * x + 2, x) < 0),
    "cal-06": lambda: sp.FiniteSet(*sp.solve(sp.diff(x**4 - 8 * x**2, x), x)),
    "cal-07": lambda: sp.expand(2 + sp.diff(sp.sqrt(x + 3), x).subs(x, 1) * (x - 1)),
    "cal-08": lambda: max(width * (60 - 2 * width) for width in sp.solve(sp.diff(x * (60 - 2 * x), x), x)),
    "cal-09": lambda: sp.diff(sp.exp(-(x**2)), x, 2),
    "cal-10": lambda: sp.integrate(x * sp.sin(x), (x, 0, sp.pi)),
    "cal-11": lambda: sp.limit(sp.sqrt(n**2 + 6 * n) - n, n, sp.oo),
    "cal-12": lambda: _interval_of_convergence(),
    "cal-13": lambda: sp.integrate(4 * x - x**2, (x, 0, 4)),
    "cal-14": lambda: sp.hessian(x**3 + 2 * x * y**2 - y, (x, y)).subs({x: 1, y: -1}),
    "cal-15": lambda: sp.integrate(sp.pi * x, (x, 0, 4)),
}


def _diagonals(corners: int) -> list[tuple[int, int]]:
    pairs = itertools.combinations(range(corners), 2)
    return [(a, b) for a, b in pairs if b - a not in (1, corners - 1)]


def _interval_of_convergence() -> Any:
    k = sp.Symbol("k", integer=True, positive=True)
    radius = 1 / sp.limit(((1 / ((k + 1) * 3 ** (k + 1))) / (1 / (k * 3**k))), k, sp.oo)
    ends = [2 - radius, 2 + radius]
    converges = [bool(sp.Sum(((end - 2) / 3) ** k / k, (k, 1, sp.oo)).is_convergent()) for end in ends]
    return sp.Interval(*ends, left_open=not converges[0], right_open=not converges[1])


def _read_gold(kind: str, text: str) -> Any:
    r"""A gold answer as SymPy's value, by rules for the few forms that occur in the file."""
    if kind == "set":
        return sp.FiniteSet(*(int(part) for part in text.removeprefix(r"\{").removesuffix(r"\}").split(",")))
    if kind == "interval":
        return sp.Union(*(_read_interval(part.strip()) for part in text.split(r"\cup")))
    if kind == "matrix":
        inner = text.removeprefix(r"\begin{pmatrix}").removesuffix(r"\end{pmatrix}")
        return sp.Matrix([[int(cell) for cell in row.split("&")] for row in inner.split(r"\\")])
    if kind == "tuple":
        return tuple(int(part) for part in text.strip("()").split(","))
    plain = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))", text)
    plain = re.sub(r"e\^\{([^{}]*)\}", r"exp(\1)", plain)
    plain = plain.replace("^", "**").replace("\\ln x", " log(x)").replace("\\pi", "pi")
    plain = re.sub(r"(?<=\))i$", "*I", plain)
    names = {"x": x, "t": t, "n": n, "pi": sp.pi, "I": sp.I, "log": sp.log, "exp": sp.exp}
    return parse_expr(plain, names, (*standard_transformations, implicit_multiplication_application))


def _read_interval(text: str) -> Any:
    low, high = (sp.oo if part.strip() == r"\infty" else sp.Integer(part) for part in text[1:-1].split(","))
    return sp.Interval(low, high, left_open=text[0] == "(", right_open=text[-1] == ")")


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem["id"])
def test_builtin_answer_equals_an_independent_computation(problem: dict[str, Any]) -> None:
    gold = _read_gold(problem["kind"], problem["answer"])
    found = COMPUTED[problem["id"]]()
    if isinstance(found, Fraction):
        found = R(found.numerator, found.denominator)
    if problem["kind"] in ("set", "interval", "matrix", "tuple"):
        assert gold == found
    else:
        assert sp.simplify(gold - found) == 0


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem["id"])
def test_builtin_answer_is_read_by_the_grader_and_equal_to_no_other(problem: dict[str, Any]) -> None:
    assert judge(problem["answer"], problem["answer"]).outcome == "EQUAL"
    value = COMPUTED[problem["id"]]()
    written = sp.latex(value) if not isinstance(value, Fraction) else f"{value.numerator}/{value.denominator}"
    assert judge(problem["answer"], written).outcome == "EQUAL", written
    assert judge(problem["answer"], "1234567").outcome == "DIFFERENT"


def test_builtin_set_is_large_varied_and_worded_uniquely() -> None:
    assert len(PROBLEMS) >= 48
    assert set(COMPUTED) == {problem["id"] for problem in PROBLEMS}
    kinds = {problem["kind"] for problem in PROBLEMS}
    assert {"number", "fraction", "set", "interval", "expression", "matrix"} <= kinds
    assert {problem["subject"] for problem in PROBLEMS} == {"algebra", "number theory", "counting", "calculus"}
    grams: dict[tuple[str, ...], str] = {}
    for problem in PROBLEMS:
        words = re.findall(r"\w+", problem["problem"].lower())
        assert len(words) >= 12
        for gram in zip(*(words[start:] for start in range(8)), strict=False):
            assert grams.setdefault(gram, problem["id"]) == problem["id"], gram
