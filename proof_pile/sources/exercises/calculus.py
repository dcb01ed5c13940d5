"""Limits, derivatives, integrals, series and recurrences."""

from __future__ import annotations

from fractions import Fraction
from random import Random

from proof_pile.sources.exercises.notation import (
    Exercise,
    Topic,
    braced,
    check,
    derivative,
    evaluate,
    multiply,
    nonzero,
    polynomial,
    signed,
    tex,
)


def _random_polynomial(rng: Random, degree: int, size: int = 7) -> list[Fraction]:
    return [Fraction(rng.randint(-size, size)) for _ in range(degree)] + [Fraction(nonzero(rng, -4, 5))]


def derivative_at_point(rng: Random) -> Exercise:
    """A derivative and the tangent at a point."""
    p = _random_polynomial(rng, rng.choice([2, 3, 4]))
    a = rng.randint(-3, 4)
    slope = evaluate(derivative(p), a)
    shifted = p  # the slope is the second coefficient of p(x + a), found by repeated Horner division
    values = [Fraction(0)] * len(p)
    for turn in range(2):
        carry, row = Fraction(0), []
        for value in reversed(shifted):
            carry = carry * a + value
            row.append(carry)
        values[turn] = row.pop()
        shifted = list(reversed(row))
    check(values[1] == slope, "derivative by Taylor shift")
    shown = polynomial(p)
    value = evaluate(p, a)
    tangent = polynomial([value - slope * a, slope])
    return Exercise(
        rng.choice(
            [
                f"Find the slope of the graph of $f(x) = {shown}$ at $x = {a}$, and the tangent there.",
                f"Let $f(x) = {shown}$. Compute $f'({a})$ and write down the tangent line at that point.",
                f"Determine the tangent to the curve $y = {shown}$ at the point with $x = {a}$.",
            ]
        ),
        (
            f"Differentiating term by term, $f'(x) = {polynomial(derivative(p))}$.",
            f"At $x = {a}$ this is $f'({a}) = {tex(slope)}$, and $f({a}) = {tex(value)}$.",
            f"The tangent is $y = {tex(value)} + {braced(slope)}(x {signed(-a)})$.",
        ),
        f"$y = {tangent}$",
    )


def product_rule(rng: Random) -> Exercise:
    """The derivative of a product of polynomials."""
    u, v = _random_polynomial(rng, 1, 6), _random_polynomial(rng, 2, 5)
    du, dv = derivative(u), derivative(v)
    left, right = multiply(du, v), multiply(u, dv)
    size = max(len(left), len(right))
    total = [(left[i] if i < len(left) else 0) + (right[i] if i < len(right) else 0) for i in range(size)]
    check(all(evaluate(total, x) == evaluate(derivative(multiply(u, v)), x) for x in range(-2, 3)), "product rule")
    return Exercise(
        rng.choice(
            [
                f"Differentiate $g(x) = ({polynomial(u)})({polynomial(v)})$ by the product rule.",
                f"Use $(uv)' = u'v + uv'$ to find the derivative of $({polynomial(u)})({polynomial(v)})$.",
            ]
        ),
        (
            f"Here $u = {polynomial(u)}$ with $u' = {polynomial(du)}$, and $v = {polynomial(v)}$ with $v' "
            f"= {polynomial(dv)}$.",
            f"So $g'(x) = {braced(du[0])}({polynomial(v)}) + ({polynomial(u)})({polynomial(dv)})$.",
            "Expanding and collecting like powers gives the result.",
        ),
        f"$g'(x) = {polynomial(total)}$",
    )


def definite_integral(rng: Random) -> Exercise:
    """The integral of a polynomial over an interval."""
    p = _random_polynomial(rng, rng.choice([1, 2, 3]), 6)
    low = rng.randint(-3, 2)
    high = low + rng.randint(1, 4)
    primitive = [Fraction(0)] + [value / (power + 1) for power, value in enumerate(p)]
    value = evaluate(primitive, high) - evaluate(primitive, low)
    middle = Fraction(low + high, 2)  # Simpson's rule is exact up to degree 3
    simpson = Fraction(high - low, 6) * (evaluate(p, low) + 4 * evaluate(p, middle) + evaluate(p, high))
    check(simpson == value, "integral by Simpson's rule")
    integral = f"\\int_{{{low}}}^{{{high}}} \\left({polynomial(p)}\\right) dx"
    return Exercise(
        rng.choice(
            [
                f"Evaluate ${integral}$.",
                f"Compute the integral ${integral}$ with the fundamental theorem of calculus.",
                f"What is the signed area between the graph of $y = {polynomial(p)}$ and the $x$-axis from "
                f"$x = {low}$ to $x = {high}$?",
            ]
        ),
        (
            f"A primitive is $F(x) = {polynomial(primitive)}$.",
            f"Its values at the ends are $F({high}) = {tex(evaluate(primitive, high))}$ and "
            f"$F({low}) = {tex(evaluate(primitive, low))}$.",
            f"The difference is ${tex(value)}$. (Simpson's rule, exact for cubics, agrees.)",
        ),
        f"${tex(value)}$",
    )


def rational_limit(rng: Random) -> Exercise:
    """The limit of a rational function where a factor cancels."""
    a, b, c = rng.randint(-6, 6), rng.randint(-9, 9), rng.randint(-9, 9)
    while a in (-b, -c) or b == c or a == -c:
        a, b, c = rng.randint(-6, 6), rng.randint(-9, 9), rng.randint(-9, 9)
    top, bottom = multiply([-a, 1], [b, 1]), multiply([-a, 1], [c, 1])
    value = Fraction(a + b, a + c)
    near = a + Fraction(1, 1000)
    check(abs(evaluate(top, near) / evaluate(bottom, near) - value) < Fraction(1, 10), "limit")
    check(evaluate(derivative(top), a) / evaluate(derivative(bottom), a) == value, "limit by l'Hopital")
    fraction = f"\\frac{{{polynomial(top)}}}{{{polynomial(bottom)}}}"
    return Exercise(
        rng.choice(
            [
                f"Compute $\\lim_{{x \\to {a}}} {fraction}$.",
                f"The function ${fraction}$ is not defined at $x = {a}$. Does it have a limit there?",
            ]
        ),
        (
            f"Numerator and denominator both vanish at $x = {a}$, so each has the factor ${_shift(-a)}$.",
            f"Cancelling it leaves $\\frac{{{polynomial([b, 1])}}}{{{polynomial([c, 1])}}}$, which is "
            f"continuous at ${a}$.",
            f"Its value there is $\\frac{{{a + b}}}{{{a + c}}} = {tex(value)}$.",
        ),
        f"${tex(value)}$",
    )


def _shift(value: int) -> str:
    return "x" if value == 0 else f"x {signed(value)}"


def arithmetic_series(rng: Random) -> Exercise:
    """The sum of an arithmetic progression."""
    first, step, count = rng.randint(-20, 40), nonzero(rng, -7, 9), rng.randint(8, 60)
    last = first + (count - 1) * step
    total = sum(first + k * step for k in range(count))
    check(2 * total == count * (first + last), "arithmetic series")
    return Exercise(
        rng.choice(
            [
                f"An arithmetic progression begins ${first}, {first + step}, {first + 2 * step}, \\dots$. "
                f"Find the sum of its first ${count}$ terms.",
                f"Compute $\\sum_{{k=0}}^{{{count - 1}}} \\left({polynomial([first, step], 'k')}\\right)$.",
                f"The first term of an arithmetic sequence is ${first}$ and the common difference is ${step}$. "
                f"What do the first ${count}$ terms add up to?",
            ]
        ),
        (
            f"The last of the ${count}$ terms is ${first} + {count - 1} \\cdot {braced(step)} = {last}$.",
            f"Pairing the first with the last, the second with the last but one and so on, the sum is "
            f"$\\frac{{{count}({first} {signed(last)})}}{{2}}$.",
        ),
        f"${total}$",
    )


def geometric_series(rng: Random) -> Exercise:
    """The sum of a convergent geometric series."""
    first = nonzero(rng, -6, 9)
    ratio = Fraction(nonzero(rng, -3, 3), rng.choice([2, 3, 4, 5]))
    while abs(ratio) >= 1:
        ratio = Fraction(nonzero(rng, -3, 3), rng.choice([2, 3, 4, 5]))
    value = first / (1 - ratio)
    check(value == first + ratio * value, "geometric series")
    count = rng.randint(3, 5)
    partial = sum((first * ratio**k for k in range(count)), Fraction(0))
    check(partial == first * (1 - ratio**count) / (1 - ratio), "partial sum")
    return Exercise(
        rng.choice(
            [
                f"Sum the series $\\sum_{{n=0}}^{{\\infty}} {braced(first)} \\left({tex(ratio)}\\right)^n$.",
                f"A geometric series has first term ${first}$ and ratio ${tex(ratio)}$. Find its sum and "
                "the sum of its first "
                f"${count}$ terms.",
            ]
        ),
        (
            f"The ratio has absolute value ${tex(abs(ratio))} < 1$, so the series converges.",
            f"With $S = \\frac{{a}}{{1 - r}}$ we get $S = \\frac{{{first}}}{{1 - {braced(ratio)}}} = {tex(value)}$.",
            f"For comparison, the first ${count}$ terms already give ${tex(partial)}$.",
        ),
        f"${tex(value)}$",
    )


def linear_recurrence(rng: Random) -> Exercise:
    """A recurrence of second order with integer characteristic roots."""
    p, q = nonzero(rng, -4, 4), nonzero(rng, -4, 5)
    while p == q:
        q = nonzero(rng, -4, 5)
    a, b = rng.randint(-4, 5), nonzero(rng, -4, 5)
    start, second = a + b, a * p + b * q
    terms = [start, second]
    for _ in range(4):
        terms.append((p + q) * terms[-1] - p * q * terms[-2])
    check(all(terms[n] == a * p**n + b * q**n for n in range(6)), "recurrence")
    rule = (
        f"a_{{n+2}} = {polynomial([0, p + q], 'a_{n+1}')} {signed(-p * q)} a_n"
        if p + q
        else f"a_{{n+2}} = {-p * q} a_n"
    )
    formula = " + ".join(
        f"{braced(c) if i else c} \\cdot {braced(r)}^n" for i, (c, r) in enumerate([(a, p), (b, q)]) if c
    )
    return Exercise(
        rng.choice(
            [
                f"Solve the recurrence ${rule}$ with $a_0 = {start}$ and $a_1 = {second}$.",
                f"A sequence satisfies $a_0 = {start}$, $a_1 = {second}$ and ${rule}$. Find a closed "
                "formula and compute $a_5$.",
            ]
        ),
        (
            f"The characteristic equation $t^2 {signed(-(p + q))} t {signed(p * q)} = 0$ has the roots "
            f"${p}$ and ${q}$.",
            f"So $a_n = A \\cdot {braced(p)}^n + B \\cdot {braced(q)}^n$, and the initial values require "
            f"$A + B = {start}$ and "
            f"${p}A {signed(q)}B = {second}$.",
            f"These give $A = {a}$ and $B = {b}$; in particular $a_5 = {terms[5]}$.",
        ),
        f"$a_n = {formula}$",
    )


def stationary_points(rng: Random) -> Exercise:
    """The extrema of a cubic."""
    p, q = rng.randint(-4, 4), rng.randint(-4, 4)
    while p == q or (p + q) % 2:
        p, q = rng.randint(-4, 4), rng.randint(-4, 4)
    low, high = sorted((p, q))
    c = rng.randint(-6, 6)
    f = [Fraction(c), Fraction(3 * p * q), Fraction(-3 * (p + q), 2), Fraction(1)]
    check(evaluate(derivative(f), low) == 0 == evaluate(derivative(f), high), "stationary points")
    check(evaluate(f, low) > evaluate(f, high), "maximum left of minimum")
    return Exercise(
        rng.choice(
            [
                f"Find the local extrema of $f(x) = {polynomial(f)}$.",
                f"Where is the cubic $f(x) = {polynomial(f)}$ increasing, and where are its turning points?",
            ]
        ),
        (
            f"$f'(x) = {polynomial(derivative(f))} = 3({_shift(-low)})({_shift(-high)})$.",
            f"The derivative is positive for $x < {low}$ and for $x > {high}$ and negative in between.",
            f"So $f$ rises up to $x = {low}$, falls to $x = {high}$ and rises again.",
        ),
        f"maximum ${tex(evaluate(f, low))}$ at $x = {low}$, minimum ${tex(evaluate(f, high))}$ at $x = {high}$",
    )


TOPICS: tuple[Topic, ...] = (
    derivative_at_point,
    product_rule,
    definite_integral,
    rational_limit,
    arithmetic_series,
    geometric_series,
    linear_recurrence,
    stationary_points,
)
