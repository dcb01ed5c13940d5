"""Equations, polynomials, matrices and lines."""

from __future__ import annotations

from fractions import Fraction
from random import Random

from proof_pile.sources.exercises.notation import (
    Exercise,
    Topic,
    braced,
    check,
    evaluate,
    multiply,
    nonzero,
    polynomial,
    signed,
    split_square,
    tex,
)


def linear_equation(rng: Random) -> Exercise:
    """One linear equation with the unknown on both sides."""
    variable = rng.choice("xyztuw")
    root = Fraction(rng.randint(-12, 12), rng.choice([1, 1, 1, 2, 3, 4]))
    a, c = nonzero(rng, -9, 9), nonzero(rng, -9, 9)
    while a == c:
        c = nonzero(rng, -9, 9)
    b = rng.randint(-20, 20)
    d = (a - c) * root + b
    left, right = polynomial([b, a], variable), polynomial([d, c], variable)
    check(a * root + b == c * root + d, "linear equation")
    return Exercise(
        rng.choice(
            [
                f"Solve the equation ${left} = {right}$ for ${variable}$.",
                f"Find the number ${variable}$ for which ${left} = {right}$.",
                f"For which value of ${variable}$ do the expressions ${left}$ and ${right}$ agree?",
                f"Determine ${variable}$ from ${left} = {right}$ and check your result by substitution.",
            ]
        ),
        (
            rng.choice(
                [
                    f"Collect the terms with ${variable}$ on the left and the constants on the right: "
                    f"${polynomial([0, a - c], variable)} = {tex(d - b)}$.",
                    f"Subtract ${polynomial([0, c], variable)}$ and then ${tex(b)}$ from both sides, which leaves "
                    f"${polynomial([0, a - c], variable)} = {tex(d - b)}$.",
                    f"Moving everything with ${variable}$ to one side gives "
                    f"${polynomial([0, a - c], variable)} = {tex(d - b)}$.",
                ]
            ),
            f"Division by ${tex(a - c)}$ yields ${variable} = {tex(root)}$.",
            f"Check: both sides equal ${tex(a * root + b)}$ there.",
        ),
        f"${variable} = {tex(root)}$",
    )


def quadratic_by_factoring(rng: Random) -> Exercise:
    """A quadratic equation with integer roots."""
    p, q, scale = rng.randint(-11, 11), rng.randint(-11, 11), rng.choice([1, 1, 1, 2, 3, -1])
    while p == q:
        q = rng.randint(-11, 11)
    variable = rng.choice("xtyn")
    whole = [Fraction(scale * p * q), Fraction(-scale * (p + q)), Fraction(scale)]
    check(evaluate(whole, p) == 0 == evaluate(whole, q), "quadratic")
    steps = []
    monic = [Fraction(p * q), Fraction(-(p + q)), Fraction(1)]
    if scale != 1:
        steps.append(f"Divide by ${scale}$: ${polynomial(monic, variable)} = 0$.")
    steps.append(
        rng.choice(
            [
                f"We look for two numbers with sum ${p + q}$ and product ${p * q}$; they are ${p}$ and ${q}$.",
                f"The numbers ${p}$ and ${q}$ add up to ${p + q}$ and multiply to ${p * q}$.",
            ]
        )
    )
    steps.append(f"Hence ${polynomial(monic, variable)} = {_factor(p, variable)}{_factor(q, variable)}$.")
    steps.append("A product is zero exactly when one of its factors is zero.")
    low, high = sorted((p, q))
    return Exercise(
        rng.choice(
            [
                f"Solve ${polynomial(whole, variable)} = 0$.",
                f"Find all real solutions of ${polynomial(whole, variable)} = 0$ by factoring.",
                f"At which points does the parabola $y = {polynomial(whole, variable)}$ meet the horizontal axis?",
                f"Determine the roots of the quadratic ${polynomial(whole, variable)}$.",
            ]
        ),
        tuple(steps),
        f"${variable} = {low}$ or ${variable} = {high}$",
    )


def _factor(root: int, variable: str = "x") -> str:
    return variable if root == 0 else f"({variable} {signed(-root)})"


def quadratic_by_formula(rng: Random) -> Exercise:
    """A quadratic equation with two irrational roots."""
    while True:
        a, b, c = rng.randint(1, 5), rng.randint(-12, 12), rng.randint(-12, 12)
        discriminant = b * b - 4 * a * c
        if discriminant > 0 and split_square(discriminant)[1] > 1:
            break
    root, rest = split_square(discriminant)
    first, second = Fraction(-b, 2 * a), Fraction(root, 2 * a)
    # (first +- second*sqrt(rest)) is a root exactly when both the rational and the irrational part vanish
    check(
        a * (first**2 + second**2 * rest) + b * first + c == 0 and 2 * a * first * second + b * second == 0, "formula"
    )
    part = "" if second == 1 else tex(second)
    lead = tex(first) + " " if first else ""
    plain = polynomial([c, b, a])
    return Exercise(
        rng.choice(
            [
                f"Use the quadratic formula to solve ${plain} = 0$.",
                f"Find the exact solutions of the equation ${plain} = 0$.",
                f"Show that ${plain}$ has two irrational zeros and write them without decimals.",
            ]
        ),
        (
            f"The discriminant is $\\Delta = {braced(b)}^2 - 4 \\cdot {a} \\cdot {braced(c)} = {discriminant}$.",
            f"Since ${discriminant} = {root}^2 \\cdot {rest}$, we have "
            f"$\\sqrt{{\\Delta}} = {root if root > 1 else ''}\\sqrt{{{rest}}}$."
            if root > 1
            else f"It is positive and no square, so the roots are irrational and $\\sqrt{{{rest}}}$ stays.",
            f"The formula $x = \\frac{{-b \\pm \\sqrt{{\\Delta}}}}{{2a}}$ gives "
            f"$x = {lead}\\pm {part}\\sqrt{{{rest}}}$.",
        ),
        f"$x = {lead}\\pm {part}\\sqrt{{{rest}}}$",
    )


def completing_the_square(rng: Random) -> Exercise:
    """The vertex of a parabola."""
    h, k, a = nonzero(rng, -9, 9), rng.randint(-15, 15), rng.choice([1, 1, 2, 3, -1, -2])
    coefficients = [Fraction(a * h * h + k), Fraction(-2 * a * h), Fraction(a)]
    check(all(evaluate(coefficients, x) == a * (x - h) ** 2 + k for x in (-2, 0, 5)), "square")
    kind = "minimum" if a > 0 else "maximum"
    shown = polynomial(coefficients)
    front = "" if a == 1 else "-" if a == -1 else str(a)
    square = f"{front}(x {signed(-h)})^2" + (f" {signed(k)}" if k else "")
    return Exercise(
        rng.choice(
            [
                f"Complete the square in $f(x) = {shown}$ and state the {kind} of $f$.",
                f"Find the vertex of the parabola $y = {shown}$.",
                f"Where does $f(x) = {shown}$ take its {kind}, and what is the value there?",
            ]
        ),
        (
            f"Write $f(x) = {front}\\left(x^2 {signed(-2 * h)} x\\right) {signed(coefficients[0])}$."
            if a != 1
            else f"Half of the coefficient of $x$ is ${-h}$, and its square is ${h * h}$.",
            f"Adding and subtracting ${h * h}$ inside gives $f(x) = {square}$.",
            f"A square is never negative, so the {kind} is reached where it vanishes, at $x = {h}$.",
        ),
        f"{kind} ${k}$ at $x = {h}$",
    )


def linear_system(rng: Random) -> Exercise:
    """Two linear equations in two unknowns."""
    x, y = rng.randint(-9, 9), rng.randint(-9, 9)
    while True:
        a, b, c, d = (nonzero(rng, -7, 7) for _ in range(4))
        determinant = a * d - b * c
        if determinant:
            break
    e, f = a * x + b * y, c * x + d * y
    check(Fraction(e * d - b * f, determinant) == x and Fraction(a * f - e * c, determinant) == y, "system")
    first, second = f"{polynomial([0, a])} {_term(b, 'y')} = {e}", f"{polynomial([0, c])} {_term(d, 'y')} = {f}"
    return Exercise(
        rng.choice(
            [
                f"Solve the system ${first}$, ${second}$.",
                f"Find the point where the lines ${first}$ and ${second}$ cross.",
                f"Two numbers $x$ and $y$ satisfy ${first}$ and ${second}$. What are they?",
            ]
        ),
        (
            f"Multiply the first equation by ${d}$ and the second by ${b}$, then subtract; $y$ drops out and "
            f"${determinant}x = {e * d - b * f}$ remains.",
            f"Therefore $x = {x}$.",
            f"Put this into the first equation: ${_term(b, 'y', first=True)} = {e} - {braced(a)} \\cdot {braced(x)} = "
            f"{e - a * x}$, so $y = {y}$.",
        ),
        f"$(x, y) = ({x}, {y})$",
    )


def _term(value: int, symbol: str, *, first: bool = False) -> str:
    size = "" if abs(value) == 1 else str(abs(value))
    if first:
        return f"{'-' if value < 0 else ''}{size}{symbol}"
    return f"{'-' if value < 0 else '+'} {size}{symbol}"


def remainder_theorem(rng: Random) -> Exercise:
    """Division of a polynomial by a linear factor with Horner's scheme."""
    coefficients = [rng.randint(-9, 9) for _ in range(rng.choice([3, 4]))] + [rng.choice([1, 2, 3, -1])]
    a = nonzero(rng, -4, 4)
    quotient: list[Fraction] = []
    carry = Fraction(0)
    for value in reversed(coefficients):
        carry = carry * a + value
        quotient.insert(0, carry)
    remainder = quotient.pop(0)
    product = multiply(quotient, [-a, 1])
    check(product[0] + remainder == coefficients[0] and product[1:] == coefficients[1:], "division")
    shown = polynomial(coefficients)
    row = ", ".join(tex(v) for v in [*reversed(quotient), remainder])
    return Exercise(
        rng.choice(
            [
                f"Divide $p(x) = {shown}$ by ${_factor(a)}$ and give quotient and remainder.",
                f"What remainder does $p(x) = {shown}$ leave on division by ${_factor(a)}$?",
                f"Use Horner's scheme to evaluate $p(x) = {shown}$ at $x = {a}$, and read off the quotient "
                f"by ${_factor(a)}$.",
            ]
        ),
        (
            f"Horner's scheme with ${a}$ produces the numbers ${row}$.",
            f"Hence $p(x) = {_factor(a)}\\left({polynomial(quotient)}\\right) {signed(remainder)}$.",
            f"The last number is also the value $p({a}) = {tex(evaluate(coefficients, a))}$, by the remainder theorem.",
        ),
        f"quotient ${polynomial(quotient)}$, remainder ${tex(remainder)}$",
    )


def vieta_sums(rng: Random) -> Exercise:
    """A sum of powers of the roots of a quadratic equation."""
    s, p = nonzero(rng, -12, 12), nonzero(rng, -12, 12)
    coefficients = [p, -s, 1]
    power = rng.choice([2, 3])
    value = s * s - 2 * p if power == 2 else s**3 - 3 * s * p
    # Newton's recurrence p_n = s p_{n-1} - p p_{n-2} with p_0 = 2, p_1 = s
    sums = [2, s]
    while len(sums) <= power:
        sums.append(s * sums[-1] - p * sums[-2])
    check(sums[power] == value, "Vieta")
    identity = r"(\alpha+\beta)^2 - 2\alpha\beta" if power == 2 else r"(\alpha+\beta)^3 - 3\alpha\beta(\alpha+\beta)"
    numbers = (
        f"{braced(s)}^2 - 2 \\cdot {braced(p)}"
        if power == 2
        else f"{braced(s)}^3 - 3 \\cdot {braced(p)} \\cdot {braced(s)}"
    )
    return Exercise(
        rng.choice(
            [
                f"Let $\\alpha$ and $\\beta$ be the roots of ${polynomial(coefficients)} = 0$. "
                f"Compute $\\alpha^{power} + \\beta^{power}$ without solving the equation.",
                f"The equation ${polynomial(coefficients)} = 0$ has (complex) roots $\\alpha, \\beta$. "
                f"What is $\\alpha^{power} + \\beta^{power}$?",
            ]
        ),
        (
            f"By Vieta's formulas $\\alpha + \\beta = {s}$ and $\\alpha\\beta = {p}$.",
            f"We use the identity $\\alpha^{power} + \\beta^{power} = {identity}$.",
            f"So the sum equals ${numbers} = {value}$.",
        ),
        f"${value}$",
    )


def determinant(rng: Random) -> Exercise:
    """The determinant of a 3 by 3 matrix."""
    rows = [[rng.randint(-6, 6) for _ in range(3)] for _ in range(3)]
    (a, b, c), (d, e, f), (g, h, i) = rows
    minors = (e * i - f * h, d * i - f * g, d * h - e * g)
    value = a * minors[0] - b * minors[1] + c * minors[2]
    check(value == a * e * i + b * f * g + c * d * h - c * e * g - b * d * i - a * f * h, "Sarrus")
    body = r" \\ ".join(" & ".join(map(str, row)) for row in rows)
    verdict = "The matrix is singular." if value == 0 else "As it is not zero, the matrix can be inverted."
    return Exercise(
        rng.choice(
            [
                f"Compute the determinant of $\\begin{{pmatrix}} {body} \\end{{pmatrix}}$.",
                f"Is the matrix $A = \\begin{{pmatrix}} {body} \\end{{pmatrix}}$ invertible? Find $\\det A$.",
            ]
        ),
        (
            f"Expand along the first row. The minors are ${minors[0]}$, ${minors[1]}$ and ${minors[2]}$.",
            f"Thus $\\det A = {a} \\cdot {braced(minors[0])} - {braced(b)} \\cdot {braced(minors[1])} "
            f"+ {braced(c)} \\cdot {braced(minors[2])} = {value}$.",
            verdict,
        ),
        f"$\\det A = {value}$",
    )


def matrix_product(rng: Random) -> Exercise:
    """The product of two 2 by 2 matrices."""
    a, b = ([[rng.randint(-5, 6) for _ in range(2)] for _ in range(2)] for _ in range(2))
    product = [[sum(a[i][k] * b[k][j] for k in range(2)) for j in range(2)] for i in range(2)]

    def det(m: list[list[int]]) -> int:
        return m[0][0] * m[1][1] - m[0][1] * m[1][0]

    check(det(product) == det(a) * det(b), "determinant of a product")
    shown = [
        r"\begin{pmatrix} " + r" \\ ".join(" & ".join(map(str, r)) for r in m) + r" \end{pmatrix}"
        for m in (a, b, product)
    ]
    return Exercise(
        rng.choice(
            [
                f"Let $A = {shown[0]}$ and $B = {shown[1]}$. Compute $AB$.",
                f"Multiply the matrices ${shown[0]}$ and ${shown[1]}$ in this order and verify $\\det(AB) "
                "= \\det A \\det B$.",
            ]
        ),
        (
            f"The entry in row $1$, column $1$ is ${a[0][0]} \\cdot {braced(b[0][0])} + {braced(a[0][1])} \\cdot "
            f"{braced(b[1][0])} = {product[0][0]}$; the other three are found in the same way.",
            f"$AB = {shown[2]}$.",
            f"As a check, $\\det A = {det(a)}$, $\\det B = {det(b)}$ and $\\det(AB) = {det(product)}$.",
        ),
        f"${shown[2]}$",
    )


def line_through_points(rng: Random) -> Exercise:
    """The line through two points."""
    x1, y1, x2, y2 = rng.randint(-8, 8), rng.randint(-8, 8), rng.randint(-8, 8), rng.randint(-8, 8)
    while x1 == x2:
        x2 = rng.randint(-8, 8)
    slope = Fraction(y2 - y1, x2 - x1)
    intercept = y1 - slope * x1
    check(slope * x2 + intercept == y2, "line")
    names = rng.choice([("P", "Q"), ("A", "B"), ("S", "T")])
    return Exercise(
        rng.choice(
            [
                f"Find the equation of the line through ${names[0]} = ({x1}, {y1})$ and ${names[1]} = ({x2}, {y2})$.",
                f"A line passes through $({x1}, {y1})$ and $({x2}, {y2})$. Where does it cross the $y$-axis?",
            ]
        ),
        (
            f"The slope is $m = \\frac{{{y2} - {braced(y1)}}}{{{x2} - {braced(x1)}}} = {tex(slope)}$.",
            f"From $y = mx + c$ at the first point, $c = {y1} - {braced(slope)} \\cdot {braced(x1)} = "
            f"{tex(intercept)}$.",
        ),
        f"$y = {polynomial([intercept, slope])}$, which meets the $y$-axis at $(0, {tex(intercept)})$",
    )


def linear_inequality(rng: Random) -> Exercise:
    """A linear inequality, its solution as an interval."""
    a, bound = nonzero(rng, -8, 8), rng.randint(-9, 9)
    b = rng.randint(-15, 15)
    right = a * bound + b
    sign, flipped = rng.choice([("<", ">"), (">", "<"), (r"\le", r"\ge"), (r"\ge", r"\le")])
    final = flipped if a < 0 else sign
    inside = bound + (1 if final in (">", r"\ge") else -1)
    check((a * inside + b < right) == (sign in ("<", r"\le")), "inequality")
    interval = {
        "<": f"(-\\infty, {bound})", ">": f"({bound}, \\infty)",
        r"\le": f"(-\\infty, {bound}]", r"\ge": f"[{bound}, \\infty)",
    }[final]  # fmt: skip
    return Exercise(
        rng.choice(
            [
                f"Solve the inequality ${polynomial([b, a])} {sign} {right}$.",
                f"Describe as an interval all $x$ with ${polynomial([b, a])} {sign} {right}$.",
            ]
        ),
        (
            f"Subtracting ${b}$ gives ${polynomial([0, a])} {sign} {right - b}$.",
            f"We divide by the {'negative' if a < 0 else 'positive'} number ${a}$, "
            + ("so the sign of the inequality turns round: " if a < 0 else "which keeps the sign of the inequality: ")
            + f"$x {final} {bound}$.",
        ),
        f"$x \\in {interval}$",
    )


def complex_quotient(rng: Random) -> Exercise:
    """The quotient of two complex numbers."""
    a, b, c, d = rng.randint(-6, 6), nonzero(rng, -6, 6), rng.randint(-5, 5), nonzero(rng, -5, 5)
    norm = c * c + d * d
    real, imaginary = Fraction(a * c + b * d, norm), Fraction(b * c - a * d, norm)
    check(real * c - imaginary * d == a and real * d + imaginary * c == b, "complex quotient")
    z, w = _complex(Fraction(a), Fraction(b)), _complex(Fraction(c), Fraction(d))
    return Exercise(
        rng.choice(
            [
                f"Write $\\frac{{{z}}}{{{w}}}$ in the form $u + vi$ with real $u$ and $v$.",
                f"Divide the complex number ${z}$ by ${w}$.",
            ]
        ),
        (
            f"Multiply numerator and denominator by the conjugate ${_complex(Fraction(c), Fraction(-d))}$; "
            f"the denominator becomes ${braced(c)}^2 + {braced(d)}^2 = {norm}$.",
            f"The numerator becomes ${_complex(Fraction(a * c + b * d), Fraction(b * c - a * d))}$.",
        ),
        f"${_complex(real, imaginary)}$",
    )


def _complex(real: Fraction, imaginary: Fraction) -> str:
    if imaginary == 0:
        return tex(real)
    size = abs(imaginary)
    part = "i" if size == 1 else f"{tex(size)}i"
    if real == 0:
        return ("-" if imaginary < 0 else "") + part
    return f"{tex(real)} {'-' if imaginary < 0 else '+'} {part}"


def exponent_equation(rng: Random) -> Exercise:
    """An equation between powers of one base."""
    base, m, n = rng.choice([2, 3, 5, 7]), rng.randint(2, 3), rng.randint(1, 3)
    x = rng.randint(-5, 9)
    shift = rng.randint(-4, 4)
    # (base^m)^(x+shift) = base^(n x + target)
    target = m * (x + shift) - n * x
    check(Fraction(base) ** (m * (x + shift)) == Fraction(base) ** (n * x + target), "exponents")
    if m == n:
        m += 1
        target = m * (x + shift) - n * x
    left = f"{base**m}^{{{polynomial([shift, 1])}}}"
    right = f"{base}^{{{polynomial([target, n])}}}"
    return Exercise(
        rng.choice(
            [
                f"Solve ${left} = {right}$.",
                f"For which real $x$ is ${left}$ equal to ${right}$?",
            ]
        ),
        (
            f"Both sides are powers of ${base}$, because ${base**m} = {base}^{m}$.",
            f"Powers of ${base}$ agree only if the exponents do, so ${m}({polynomial([shift, 1])}) = "
            f"{polynomial([target, n])}$.",
            f"This linear equation reads ${polynomial([0, m - n])} = {target - m * shift}$.",
        ),
        f"$x = {x}$",
    )


TOPICS: tuple[Topic, ...] = (
    linear_equation,
    quadratic_by_factoring,
    quadratic_by_formula,
    completing_the_square,
    linear_system,
    remainder_theorem,
    vieta_sums,
    determinant,
    matrix_product,
    line_through_points,
    linear_inequality,
    complex_quotient,
    exponent_equation,
)
