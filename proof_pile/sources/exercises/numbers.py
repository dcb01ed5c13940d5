"""Fractions, divisibility, congruences and representations of integers."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

from proof_pile.sources.exercises.notation import Exercise, Topic, braced, check, nonzero, signed, tex


def fraction_sum(rng: Random) -> Exercise:
    """The sum of two fractions."""
    a, b = Fraction(nonzero(rng, -11, 11), rng.randint(2, 12)), Fraction(nonzero(rng, -11, 11), rng.randint(2, 15))
    common = math.lcm(a.denominator, b.denominator)
    value = a + b
    check(value - a == b, "fraction sum")
    return Exercise(
        rng.choice(
            [
                f"Calculate ${tex(a)} {signed(b)}$ and reduce the result.",
                f"Write ${tex(a)} {signed(b)}$ as a single fraction in lowest terms.",
                f"What is the sum of ${tex(a)}$ and ${tex(b)}$?",
            ]
        ),
        (
            f"The least common multiple of ${a.denominator}$ and ${b.denominator}$ is ${common}$.",
            f"Over this denominator the numerators are ${a.numerator * common // a.denominator}$ and "
            f"${b.numerator * common // b.denominator}$, with sum ${value.numerator * common // value.denominator}$.",
        ),
        f"${tex(value)}$",
    )


def fraction_quotient(rng: Random) -> Exercise:
    """The quotient of two fractions."""
    a, b = Fraction(rng.randint(2, 30), rng.randint(2, 12)), Fraction(rng.randint(2, 20), rng.randint(3, 14))
    value = a / b
    check(value * b == a, "fraction quotient")
    return Exercise(
        rng.choice(
            [
                f"Compute ${tex(a)} \\div {tex(b)}$.",
                f"How many times does ${tex(b)}$ go into ${tex(a)}$? Give an exact fraction.",
                f"By which number must one multiply ${tex(b)}$ to obtain ${tex(a)}$?",
            ]
        ),
        (
            f"Dividing by a fraction means multiplying by its reciprocal: ${tex(a)} \\cdot {tex(1 / b)}$.",
            f"Common factors cancel, and the value is ${tex(value)}$.",
        ),
        f"${tex(value)}$",
    )


def _euclid(a: int, b: int) -> list[str]:
    lines = []
    while b:
        lines.append(f"${a} = {a // b} \\cdot {b} + {a % b}$")
        a, b = b, a % b
    return lines


def greatest_common_divisor(rng: Random) -> Exercise:
    """The Euclidean algorithm."""
    g = rng.randint(2, 30)
    a, b = g * rng.randint(8, 60), g * rng.randint(8, 60)
    while a == b:
        b = g * rng.randint(8, 60)
    a, b = max(a, b), min(a, b)
    divisor = math.gcd(a, b)
    check(divisor == max(d for d in range(1, b + 1) if a % d == 0 and b % d == 0), "gcd")
    return Exercise(
        rng.choice(
            [
                f"Find $\\gcd({a}, {b})$ with the Euclidean algorithm.",
                f"Determine the greatest common divisor and the least common multiple of ${a}$ and ${b}$.",
                f"Reduce the fraction $\\frac{{{b}}}{{{a}}}$; by which number can it be cancelled?",
            ]
        ),
        (
            "Divide with remainder until the remainder is zero: " + ", ".join(_euclid(a, b)) + ".",
            f"The last remainder that is not zero is ${divisor}$.",
            f"It follows that $\\operatorname{{lcm}}({a}, {b}) = \\frac{{{a} \\cdot {b}}}{{{divisor}}} = "
            f"{a * b // divisor}$ and "
            f"$\\frac{{{b}}}{{{a}}} = {tex(Fraction(b, a))}$.",
        ),
        f"$\\gcd({a}, {b}) = {divisor}$",
    )


def modular_inverse(rng: Random) -> Exercise:
    """A linear congruence."""
    modulus = rng.choice([11, 13, 17, 19, 23, 29, 31, 35, 37, 41, 43, 47, 53, 59, 61, 64, 77, 81, 97, 100, 101])
    a = rng.randint(2, modulus - 2)
    while math.gcd(a, modulus) != 1:
        a = rng.randint(2, modulus - 2)
    inverse = next(k for k in range(1, modulus) if a * k % modulus == 1)
    check(pow(a, -1, modulus) == inverse, "inverse")
    c = rng.randint(2, modulus - 1)
    x = inverse * c % modulus
    return Exercise(
        rng.choice(
            [
                f"Solve the congruence ${a}x \\equiv {c} \\pmod{{{modulus}}}$.",
                f"Find the inverse of ${a}$ modulo ${modulus}$ and use it to solve ${a}x \\equiv {c} "
                f"\\pmod{{{modulus}}}$.",
            ]
        ),
        (
            f"Since $\\gcd({a}, {modulus}) = 1$, the number ${a}$ is invertible modulo ${modulus}$.",
            "The Euclidean algorithm reads " + ", ".join(_euclid(modulus, a)) + ".",
            f"Working backwards, ${a} \\cdot {inverse} = {a * inverse} = {a * inverse // modulus} \\cdot "
            f"{modulus} + 1$, "
            f"so the inverse is ${inverse}$.",
            f"Multiplying by it, $x \\equiv {inverse} \\cdot {c} = {inverse * c} \\equiv {x}$.",
        ),
        f"$x \\equiv {x} \\pmod{{{modulus}}}$",
    )


def modular_power(rng: Random) -> Exercise:
    """A power modulo a number by repeated squaring."""
    modulus, base, exponent = rng.randint(7, 60), rng.randint(2, 25), rng.randint(12, 99)
    value = pow(base, exponent, modulus)
    check(base**exponent % modulus == value, "modular power")
    squares, current, power = [], base % modulus, 1
    while power <= exponent:
        squares.append((power, current))
        current, power = current * current % modulus, power * 2
    listed = ", ".join(f"${base}^{{{k}}} \\equiv {v}$" for k, v in squares)
    used = " \\cdot ".join(str(v) for k, v in squares if exponent & k)
    return Exercise(
        rng.choice(
            [
                f"What is the remainder when ${base}^{{{exponent}}}$ is divided by ${modulus}$?",
                f"Compute ${base}^{{{exponent}}} \\bmod {modulus}$ by repeated squaring.",
            ]
        ),
        (
            f"Modulo ${modulus}$ we square again and again: {listed}.",
            f"In binary, ${exponent} = {exponent:b}_2$, so we multiply the powers whose binary digit is $1$: ${used}$.",
            f"Reducing after each product leaves ${value}$.",
        ),
        f"${value}$",
    )


def chinese_remainders(rng: Random) -> Exercise:
    """Two congruences at once."""
    m, n = rng.choice([(3, 5), (4, 7), (5, 7), (5, 9), (7, 9), (7, 11), (8, 11), (9, 13), (11, 13), (12, 17), (8, 15)])
    a, b = rng.randrange(m), rng.randrange(n)
    x = next(k for k in range(m * n) if k % m == a and k % n == b)
    k = (x - a) // m
    check(x == (a * n * pow(n, -1, m) + b * m * pow(m, -1, n)) % (m * n), "Chinese remainders")
    return Exercise(
        rng.choice(
            [
                f"Find the smallest non-negative integer $x$ with $x \\equiv {a} \\pmod{{{m}}}$ and $x "
                f"\\equiv {b} \\pmod{{{n}}}$.",
                f"A number leaves remainder ${a}$ on division by ${m}$ and ${b}$ on division by ${n}$. "
                f"What is the least such number?",
                f"When eggs are packed by ${m}$, ${a}$ are left over; packed by ${n}$, ${b}$ are left over. "
                f"What is the least possible number of eggs?",
            ]
        ),
        (
            f"From the first condition $x = {a} + {m}k$ for some integer $k$.",
            f"The second becomes ${m}k \\equiv {(b - a) % n} \\pmod{{{n}}}$.",
            f"As $\\gcd({m}, {n}) = 1$, ${m}$ has an inverse modulo ${n}$, namely ${pow(m, -1, n)}$, and "
            f"$k \\equiv {k % n}$.",
            f"So $x = {a} + {m} \\cdot {k} = {x}$, unique modulo ${m * n}$.",
        ),
        f"$x = {x}$",
    )


def number_of_divisors(rng: Random) -> Exercise:
    """Number and sum of the divisors of an integer."""
    primes = sorted(rng.sample([2, 3, 5, 7, 11, 13], rng.choice([2, 3])))
    exponents = [rng.randint(1, 4 if p < 5 else 2) for p in primes]
    n = math.prod(p**e for p, e in zip(primes, exponents, strict=True))
    count = math.prod(e + 1 for e in exponents)
    check(sum(1 for d in range(1, n + 1) if n % d == 0) == count if n < 20_000 else True, "divisors")
    total = math.prod((p ** (e + 1) - 1) // (p - 1) for p, e in zip(primes, exponents, strict=True))
    choices = " \\cdot ".join(f"({e}+1)" for e in exponents)
    shown = " \\cdot ".join(f"{p}^{e}" if e > 1 else str(p) for p, e in zip(primes, exponents, strict=True))
    return Exercise(
        rng.choice(
            [
                f"How many positive divisors does ${n}$ have?",
                f"Factor ${n}$ into primes, count its positive divisors and find their sum.",
            ]
        ),
        (
            f"The prime factorization is ${n} = {shown}$.",
            "A divisor is fixed by choosing each exponent from $0$ up to the one shown, which gives "
            f"${choices} = {count}$ choices.",
            f"The divisor sum is multiplicative: $\\sigma(n) = \\prod \\frac{{p^{{e+1}}-1}}{{p-1}}$, here ${total}$.",
        ),
        f"${count}$ divisors",
    )


def base_conversion(rng: Random) -> Exercise:
    """An integer in another base."""
    base, n = rng.choice([2, 3, 4, 5, 6, 7, 8, 9]), rng.randint(50, 3000)
    digits, divisions, rest = "", [], n
    while rest:
        divisions.append(f"${rest} = {rest // base} \\cdot {base} + {rest % base}$")
        digits, rest = str(rest % base) + digits, rest // base
    check(int(digits, base) == n, "base conversion")
    return Exercise(
        rng.choice(
            [
                f"Write the number ${n}$ in base ${base}$.",
                f"Convert ${n}$ from decimal notation to base ${base}$ by repeated division.",
            ]
        ),
        (
            "Divide repeatedly and keep the remainders: " + ", ".join(divisions) + ".",
            "Read from the last division to the first, the remainders are the digits.",
        ),
        f"${n} = {digits}_{{{base}}}$",
    )


def order_of_operations(rng: Random) -> Exercise:
    """An expression with brackets and a power."""
    a, b, c, d = rng.randint(2, 20), rng.randint(2, 12), nonzero(rng, -9, 9), rng.randint(2, 9)
    power = rng.choice([2, 3])
    inner = b + c
    value = a - d * inner**power
    check(value == eval_chain(a, d, inner, power), "order of operations")
    return Exercise(
        rng.choice(
            [
                f"Evaluate ${a} - {d}({b} {signed(c)})^{power}$.",
                f"In which order are the operations of ${a} - {d} \\cdot ({b} {signed(c)})^{power}$ "
                "carried out? Compute the value.",
            ]
        ),
        (
            f"The bracket comes first: ${b} {signed(c)} = {inner}$.",
            f"Then the power: ${braced(inner)}^{power} = {inner**power}$.",
            f"Then the product ${d} \\cdot {braced(inner**power)} = {d * inner**power}$, and last the subtraction.",
        ),
        f"${value}$",
    )


def eval_chain(a: int, d: int, inner: int, power: int) -> int:
    """a - d * inner^power by repeated addition and subtraction alone."""
    product = d
    for _ in range(power):
        product = sum([product] * abs(inner)) * (1 if inner >= 0 else -1)
    return a - product


TOPICS: tuple[Topic, ...] = (
    fraction_sum,
    fraction_quotient,
    greatest_common_divisor,
    modular_inverse,
    modular_power,
    chinese_remainders,
    number_of_divisors,
    base_conversion,
    order_of_operations,
)
