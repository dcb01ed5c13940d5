"""Word problems: percentages, speeds, work, mixtures, ages and figures."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

from proof_pile.sources.exercises.notation import Exercise, Topic, check, tex

_NAMES = [
    "Ada", "Bruno", "Chidi", "Dora", "Elif", "Farid", "Greta", "Hana", "Ivo", "Jamila", "Kofi", "Lena",
    "Mateo", "Nadia", "Olu", "Priya", "Quentin", "Rosa", "Sven", "Tala", "Umar", "Vera", "Wen",
    "Ximena", "Yusuf", "Zoe"
]  # fmt: skip


def _names(rng: Random, count: int) -> list[str]:
    return rng.sample(_NAMES, count)


def percentage_change(rng: Random) -> Exercise:
    """A rise and a discount, one after the other."""
    thing = rng.choice(["coat", "bicycle", "lamp", "telescope", "guitar", "desk", "tent", "pair of boots"])
    up, down = rng.choice([10, 15, 20, 25, 30, 40]), rng.choice([5, 10, 20, 25, 50])
    price = rng.randint(2, 40) * 20
    after = Fraction(price) * (100 + up) / 100 * (100 - down) / 100
    check(
        after == price + Fraction(price * up, 100) - (price + Fraction(price * up, 100)) * Fraction(down, 100),
        "percent",
    )
    change = (after / price - 1) * 100
    direction = "more" if change > 0 else "less"
    total = f"{tex(abs(change))}\\%" if change else "0\\%"
    return Exercise(
        rng.choice(
            [
                f"The price of a {thing}, ${price}$ crowns, is raised by ${up}\\%$ and later lowered by ${down}\\%$. "
                f"What does it cost in the end, and how does this compare with the first price?",
                f"A shop marks up a {thing} bought for ${price}$ crowns by ${up}\\%$ and then grants a "
                f"discount of ${down}\\%$ on the "
                f"marked price. Find the selling price.",
            ]
        ),
        (
            f"After the rise the price is ${price} \\cdot {tex(Fraction(100 + up, 100))} = "
            f"{tex(Fraction(price * (100 + up), 100))}$.",
            f"The reduction takes ${down}\\%$ of this larger amount: the factor is ${tex(Fraction(100 - down, 100))}$.",
            f"The result is ${tex(after)}$ crowns, which is ${total}$ {direction} than at first.",
        ),
        f"${tex(after)}$ crowns",
    )


def two_travellers(rng: Random) -> Exercise:
    """Two people who move towards each other."""
    first, second = _names(rng, 2)
    v, w = rng.randint(4, 30), rng.randint(4, 30)
    distance = rng.randint(20, 300)
    time = Fraction(distance, v + w)
    check(v * time + w * time == distance, "travellers")
    how = rng.choice(["cycles", "rides", "drives a cart", "skates"])
    return Exercise(
        rng.choice(
            [
                f"{first} and {second} live ${distance}$ km apart and set out towards each other at the "
                f"same time. {first} {how} at "
                f"${v}$ km/h and {second} at ${w}$ km/h. When do they meet, and how far from {first}'s home?",
                f"Two villages are ${distance}$ km apart. {first} leaves one of them at ${v}$ km/h just as "
                f"{second} leaves the other "
                f"at ${w}$ km/h on the same road. After how many hours do their ways cross?",
            ]
        ),
        (
            f"The gap of ${distance}$ km closes at ${v} + {w} = {v + w}$ km/h.",
            f"So they meet after $\\frac{{{distance}}}{{{v + w}}} = {tex(time)}$ hours.",
            f"By then {first} has covered ${v} \\cdot {tex(time)} = {tex(v * time)}$ km.",
        ),
        f"after ${tex(time)}$ hours, ${tex(v * time)}$ km from the start of {first}",
    )


def shared_work(rng: Random) -> Exercise:
    """Two workers at one task."""
    first, second = _names(rng, 2)
    a, b = rng.randint(2, 15), rng.randint(2, 15)
    together = 1 / (Fraction(1, a) + Fraction(1, b))
    check(together / a + together / b == 1, "work")
    task = rng.choice(
        ["paint the fence", "sort the archive", "dig the garden", "copy the manuscript", "clean the hall"]
    )
    return Exercise(
        rng.choice(
            [
                f"{first} needs ${a}$ hours to {task}, {second} needs ${b}$ hours. How long do they take together?",
                f"Alone, {first} would {task} in ${a}$ hours and {second} in ${b}$. They work side by side "
                "without hindering each "
                f"other. When are they done?",
            ]
        ),
        (
            f"In one hour {first} does $\\frac{{1}}{{{a}}}$ of the work and {second} $\\frac{{1}}{{{b}}}$.",
            f"Together this is $\\frac{{1}}{{{a}}} + \\frac{{1}}{{{b}}} = {tex(1 / together)}$ of it in an hour.",
            f"The whole takes the reciprocal, ${tex(together)}$ hours.",
        ),
        f"${tex(together)}$ hours",
    )


def mixture(rng: Random) -> Exercise:
    """Two solutions mixed to a third strength."""
    low, high = sorted(rng.sample(range(5, 91, 5), 2))
    target = rng.randint(low + 1, high - 1)
    amount = rng.randint(2, 40)
    strong = Fraction(amount * (target - low), high - low)
    weak = amount - strong
    check(weak * low + strong * high == amount * target, "mixture")
    fluid = rng.choice(["acid", "salt solution", "syrup", "alcohol", "vinegar"])
    return Exercise(
        rng.choice(
            [
                f"How much {fluid} of ${low}\\%$ and of ${high}\\%$ must be mixed to get ${amount}$ litres "
                f"of ${target}\\%$?",
                f"From two kinds of {fluid}, with ${low}\\%$ and ${high}\\%$, a chemist makes ${amount}$ "
                f"litres with ${target}\\%$. "
                f"Find the two amounts.",
            ]
        ),
        (
            f"Let $x$ be the litres of the stronger kind; then ${amount} - x$ litres of the weaker are used.",
            f"Comparing the dissolved parts: ${high}x + {low}({amount} - x) = {target} \\cdot {amount}$.",
            f"This gives ${high - low}x = {amount * (target - low)}$, so $x = {tex(strong)}$.",
        ),
        f"${tex(strong)}$ litres of ${high}\\%$ and ${tex(weak)}$ litres of ${low}\\%$",
    )


def ages(rng: Random) -> Exercise:
    """Ages now and later."""
    elder, younger = _names(rng, 2)
    now, factor, years = rng.randint(4, 20), rng.choice([2, 3, 4]), rng.randint(2, 12)
    other = factor * now
    later = Fraction(other + years, now + years)
    past = Fraction(other - now, 1)
    check(other + years - (now + years) == past, "ages")
    return Exercise(
        rng.choice(
            [
                f"{elder} is ${factor}$ times as old as {younger}. In ${years}$ years their ages will add up to "
                f"${now + other + 2 * years}$. How old are they now?",
                f"Today {elder}'s age is ${factor}$ times that of {younger}; ${years}$ years from now the two will be "
                f"${now + other + 2 * years}$ years old together. Find their present ages.",
            ]
        ),
        (
            f"Let $y$ be the present age of {younger}, so that {elder} is ${factor}y$.",
            f"In ${years}$ years: $(y + {years}) + ({factor}y + {years}) = {now + other + 2 * years}$, hence "
            f"${factor + 1}y = {now + other}$.",
            f"So $y = {now}$. (In ${years}$ years the ratio will be ${tex(later)}$ instead of ${factor}$; "
            "the difference stays "
            f"${tex(past)}$.)",
        ),
        f"{younger} is ${now}$ and {elder} is ${other}$",
    )


def right_triangle(rng: Random) -> Exercise:
    """Sides, area, altitude and inradius of a right triangle."""
    m, n = rng.randint(2, 7), 0
    n = rng.randint(1, m - 1)
    k = rng.randint(1, 4)
    a, b, c = k * (m * m - n * n), k * 2 * m * n, k * (m * m + n * n)
    check(a * a + b * b == c * c, "Pythagoras")
    height = Fraction(a * b, c)
    radius = Fraction(a + b - c, 2)
    check(radius * (a + b + c) == a * b, "inradius")
    return Exercise(
        rng.choice(
            [
                f"The legs of a right triangle measure ${a}$ and ${b}$. Find the hypotenuse, the area, the "
                "altitude on the hypotenuse "
                f"and the radius of the inscribed circle.",
                f"A right triangle has hypotenuse ${c}$ and one leg ${a}$. Determine the other leg, the "
                "area, the altitude on the "
                f"hypotenuse and the inradius.",
            ]
        ),
        (
            f"By Pythagoras, ${a}^2 + {b}^2 = {a * a} + {b * b} = {c * c} = {c}^2$.",
            f"The area is $\\frac{{{a} \\cdot {b}}}{{2}} = "
            f"{a * b // 2 if a * b % 2 == 0 else tex(Fraction(a * b, 2))}$; it also "
            f"equals half of ${c}$ times the altitude, which is therefore ${tex(height)}$.",
            f"The inradius is area over half the perimeter, $r = \\frac{{{a} + {b} - {c}}}{{2}} = {tex(radius)}$.",
        ),
        f"sides ${a}, {b}, {c}$, area ${tex(Fraction(a * b, 2))}$, altitude ${tex(height)}$, inradius ${tex(radius)}$",
    )


def proportional_sharing(rng: Random) -> Exercise:
    """A sum divided in a ratio."""
    people = _names(rng, 3)
    parts = [rng.randint(1, 9) for _ in range(3)]
    unit = rng.randint(3, 60)
    total = unit * sum(parts)
    shares = [unit * p for p in parts]
    check(sum(shares) == total and shares[0] * parts[1] == shares[1] * parts[0], "sharing")
    thing = rng.choice(["coins", "euros", "apples", "stamps", "points", "grams of gold"])
    ratio = " : ".join(map(str, parts))
    g = math.gcd(*parts)
    note = f" (or ${' : '.join(str(p // g) for p in parts)}$ in lowest terms)" if g > 1 else ""
    return Exercise(
        rng.choice(
            [
                f"{people[0]}, {people[1]} and {people[2]} divide ${total}$ {thing} in the ratio "
                f"${ratio}$. How much does each get?",
                f"A sum of ${total}$ {thing} is split between {people[0]}, {people[1]} and {people[2]} in "
                f"proportion to ${ratio}$. "
                f"Find the three shares.",
            ]
        ),
        (
            f"The ratio ${ratio}${note} has ${sum(parts)}$ parts in all.",
            f"One part is $\\frac{{{total}}}{{{sum(parts)}}} = {unit}$ {thing}.",
            f"Multiplying, the shares are ${shares[0]}$, ${shares[1]}$ and ${shares[2]}$, with sum ${total}$.",
        ),
        f"${shares[0]}$, ${shares[1]}$ and ${shares[2]}$ {thing}",
    )


def tank_with_leak(rng: Random) -> Exercise:
    """A tank that is filled while it leaks."""
    fill, leak = rng.randint(2, 9), rng.randint(10, 30)
    time = 1 / (Fraction(1, fill) - Fraction(1, leak))
    check(time / fill - time / leak == 1, "tank")
    part = rng.choice([Fraction(1, 2), Fraction(1, 3), Fraction(2, 3), Fraction(3, 4)])
    vessel = rng.choice(["tank", "pool", "cistern", "barrel"])
    return Exercise(
        rng.choice(
            [
                f"A pump fills a {vessel} in ${fill}$ hours; through a leak the full {vessel} would run "
                f"empty in ${leak}$ hours. How "
                f"long does the filling take while the leak is open?",
                f"Water enters a {vessel} at a rate that would fill it in ${fill}$ hours, and leaves "
                "through a crack at a rate that "
                f"would empty it in ${leak}$ hours. After what time is it full, and when is it filled to "
                f"${tex(part)}$?",
            ]
        ),
        (
            f"Per hour the content grows by $\\frac{{1}}{{{fill}}} - \\frac{{1}}{{{leak}}} = "
            f"{tex(1 / time)}$ of the {vessel}.",
            f"It is full after ${tex(time)}$ hours.",
            f"The fraction ${tex(part)}$ is reached after ${tex(part)} \\cdot {tex(time)} = {tex(part * time)}$ hours.",
        ),
        f"${tex(time)}$ hours",
    )


TOPICS: tuple[Topic, ...] = (
    percentage_change,
    two_travellers,
    shared_work,
    mixture,
    ages,
    right_triangle,
    proportional_sharing,
    tank_with_leak,
)
