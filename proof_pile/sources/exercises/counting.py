"""Counting, probability and small samples."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import combinations, product
from random import Random

from proof_pile.sources.exercises.notation import Exercise, Topic, check, tex

_WORDS = [
    "BANANA", "TATTOO", "LEVEL", "COFFEE", "BALLOON", "PEPPER", "MISSISSIPPI", "LETTER", "SUCCESS",
    "PARALLEL", "ALGEBRA", "GEOMETRY", "COMMITTEE", "ABACUS", "LATTICE", "INFINITY", "TENSOR", "MATRIX",
    "ADDITION", "TANGENT", "CIRCLE", "DIVISOR", "THEOREM", "LEMMA", "REMAINDER"
]  # fmt: skip


def letters_of_a_word(rng: Random) -> Exercise:
    """Arrangements of letters, some of them equal."""
    word = rng.choice(_WORDS)
    counts = Counter(word)
    repeated = {k: v for k, v in sorted(counts.items()) if v > 1}
    value = math.factorial(len(word)) // math.prod(math.factorial(v) for v in counts.values())
    ways, left = 1, len(word)
    for number in counts.values():
        ways *= math.comb(left, number)
        left -= number
    check(ways == value, "letters")
    below = " \\, ".join(f"{v}!" for v in repeated.values())
    how = "; ".join(f"{k} occurs {v} times" for k, v in repeated.items())
    return Exercise(
        rng.choice(
            [
                f"How many different arrangements have the letters of the word {word}?",
                f"In how many ways can the letters of {word} be put in a row, if equal letters are not told apart?",
            ]
        ),
        (
            f"The word has ${len(word)}$ letters." + (f" Among them, {how}." if repeated else " All of them differ."),
            f"Exchanging equal letters changes nothing, so the number is $\\frac{{{len(word)}!}}{{{below}}}$."
            if repeated
            else f"So there are ${len(word)}!$ orders.",
        ),
        f"${value}$",
    )


def committee(rng: Random) -> Exercise:
    """Selections with at least so many of one kind."""
    women, men, size = rng.randint(4, 9), rng.randint(4, 9), rng.randint(3, 5)
    at_least = rng.randint(1, 2)
    terms = [(k, math.comb(women, k) * math.comb(men, size - k)) for k in range(at_least, min(women, size) + 1)]
    terms = [(k, v) for k, v in terms if v]
    value = sum(v for _, v in terms)
    people = [True] * women + [False] * men
    check(sum(1 for c in combinations(people, size) if sum(c) >= at_least) == value, "committee")
    group, one, other = rng.choice([
        ("committee", "women", "men"), ("team", "engineers", "designers"), ("choir", "sopranos", "altos"),
        ("delegation", "teachers", "students"), ("crew", "sailors", "passengers"),
    ])  # fmt: skip
    return Exercise(
        rng.choice(
            [
                f"A {group} of ${size}$ is chosen from ${women}$ {one} and ${men}$ {other}. In how many "
                "ways can this be done if at "
                f"least ${at_least}$ of the {one} must belong to it?",
                f"From ${women}$ {one} and ${men}$ {other} one selects a {group} of ${size}$ people with "
                f"at least ${at_least}$ of "
                f"the {one}. Count the possibilities.",
            ]
        ),
        (
            f"With exactly $k$ of the {one} there are $\\binom{{{women}}}{{k}}\\binom{{{men}}}{{{size}-k}}$ choices.",
            "For " + ", ".join(f"$k = {k}$ this is ${v}$" for k, v in terms) + ".",
            "The cases exclude one another, so the numbers are added.",
        ),
        f"${value}$",
    )


def drawing_balls(rng: Random) -> Exercise:
    """The probability of drawing one kind only."""
    red, blue = rng.randint(3, 9), rng.randint(3, 9)
    draws = rng.choice([2, 3])
    total = math.comb(red + blue, draws)
    same = math.comb(red, draws) + math.comb(blue, draws)
    value = Fraction(same, total)
    step_red = Fraction(1)
    step_blue = Fraction(1)
    for k in range(draws):
        step_red *= Fraction(red - k, red + blue - k)
        step_blue *= Fraction(blue - k, red + blue - k)
    check(step_red + step_blue == value, "balls")
    thing, first, second = rng.choice([
        ("balls", "red", "blue"), ("marbles", "green", "white"), ("socks", "black", "grey"), ("cards", "gold",
        "silver"),
        ("tickets", "winning", "losing"),
    ])  # fmt: skip
    return Exercise(
        rng.choice(
            [
                f"A bag holds ${red}$ {first} and ${blue}$ {second} {thing}. We draw ${draws}$ at once. "
                f"What is the probability that all are of one kind?",
                f"Of {red + blue} {thing}, ${red}$ are {first} and ${blue}$ are {second}. Someone takes "
                f"${draws}$ without looking. "
                f"How likely is it that they all match?",
            ]
        ),
        (
            f"There are $\\binom{{{red + blue}}}{{{draws}}} = {total}$ equally likely selections.",
            f"All {first}: $\\binom{{{red}}}{{{draws}}} = {math.comb(red, draws)}$; all {second}: "
            f"$\\binom{{{blue}}}{{{draws}}} = {math.comb(blue, draws)}$.",
            f"The probability is $\\frac{{{same}}}{{{total}}}$, in lowest terms ${tex(value)}$.",
        ),
        f"${tex(value)}$",
    )


def sum_of_dice(rng: Random) -> Exercise:
    """The probability of a sum of dice."""
    sides, target = rng.choice([4, 6, 6, 8]), 0
    num_dice = rng.choice([2, 2, 3])
    target = rng.randint(num_dice + 1, num_dice * sides - 1)
    good = sum(1 for roll in product(range(1, sides + 1), repeat=num_dice) if sum(roll) == target)
    ways = {0: 1}
    for _ in range(num_dice):
        ways = {s: sum(ways.get(s - d, 0) for d in range(1, sides + 1)) for s in range(num_dice * sides + 1)}
    check(ways[target] == good, "dice")
    value = Fraction(good, sides**num_dice)
    number = {2: "Two", 3: "Three"}[num_dice]
    return Exercise(
        rng.choice(
            [
                f"{number} fair dice with ${sides}$ sides each are thrown. Find the probability that the "
                f"sum is ${target}$.",
                f"{number} dice numbered from $1$ to ${sides}$ are rolled. With what probability do they "
                f"show ${target}$ in total?",
            ]
        ),
        (
            f"There are ${sides}^{num_dice} = {sides**num_dice}$ equally likely outcomes when the dice are told apart.",
            f"Exactly ${good}$ of them have the sum ${target}$, as a list by the first die shows.",
        ),
        f"${tex(value)}$",
    )


def inclusion_exclusion(rng: Random) -> Exercise:
    """Multiples of one number or another."""
    a, b = rng.sample([2, 3, 4, 5, 6, 7, 9, 10, 12], 2)
    limit = rng.randint(60, 600)
    common = math.lcm(a, b)
    value = limit // a + limit // b - limit // common
    check(value == sum(1 for k in range(1, limit + 1) if k % a == 0 or k % b == 0), "inclusion-exclusion")
    return Exercise(
        rng.choice(
            [
                f"How many of the integers from $1$ to ${limit}$ are divisible by ${a}$ or by ${b}$?",
                f"Count the positive integers not exceeding ${limit}$ that are multiples of at least one "
                f"of ${a}$ and ${b}$.",
            ]
        ),
        (
            f"There are $\\lfloor {limit}/{a} \\rfloor = {limit // a}$ multiples of ${a}$ and "
            f"$\\lfloor {limit}/{b} \\rfloor = {limit // b}$ multiples of ${b}$.",
            f"Those counted twice are the multiples of $\\operatorname{{lcm}}({a}, {b}) = {common}$, of "
            "which there are "
            f"${limit // common}$.",
            f"By inclusion and exclusion, ${limit // a} + {limit // b} - {limit // common} = {value}$.",
        ),
        f"${value}$",
    )


def lattice_paths(rng: Random) -> Exercise:
    """Grid paths through a point."""
    m, n = rng.randint(3, 8), rng.randint(3, 7)
    p, q = rng.randint(1, m - 1), rng.randint(1, n - 1)
    through = math.comb(p + q, p) * math.comb(m - p + n - q, m - p)
    grid = [[1] * (n + 1) for _ in range(m + 1)]
    for i in range(1, m + 1):
        for j in range(1, n + 1):
            grid[i][j] = grid[i - 1][j] + grid[i][j - 1]
    check(grid[p][q] * grid[m - p][n - q] == through and grid[m][n] == math.comb(m + n, n), "paths")
    return Exercise(
        rng.choice(
            [
                "A path on the grid leads from the origin by unit steps, each to the right or up, and "
                f"ends at $({m},{n})$. How many "
                f"of these paths visit the point $({p},{q})$?",
                f"In a town with square blocks, a walker goes ${m}$ blocks east and ${n}$ blocks north "
                "without detour and wants to "
                f"pass the bakery, ${p}$ blocks east and ${q}$ blocks north of the start. Count the routes.",
            ]
        ),
        (
            f"To the intermediate point there are $\\binom{{{p + q}}}{{{p}}} = {math.comb(p + q, p)}$ ways.",
            f"From there on, ${m - p}$ steps to the right and ${n - q}$ up remain, in any order: "
            f"$\\binom{{{m - p + n - q}}}{{{m - p}}} = {math.comb(m - p + n - q, m - p)}$ ways.",
            "Each first part goes with each second part. (Without the condition there are "
            f"${math.comb(m + n, n)}$ paths.)",
        ),
        f"${through}$",
    )


def mean_and_median(rng: Random) -> Exercise:
    """Mean, median and variance of a few numbers."""
    data = [rng.randint(1, 40) for _ in range(rng.choice([5, 6, 7, 8]))]
    ordered = sorted(data)
    half = len(data) // 2
    median = Fraction(ordered[half]) if len(data) % 2 else Fraction(ordered[half - 1] + ordered[half], 2)
    mean = Fraction(sum(data), len(data))
    variance = sum(((x - mean) ** 2 for x in data), Fraction(0)) / len(data)
    check(variance == Fraction(sum(x * x for x in data), len(data)) - mean**2, "variance")
    listed = ", ".join(map(str, data))
    return Exercise(
        rng.choice(
            [
                f"For the data ${listed}$ compute the mean, the median and the variance.",
                f"Measurements gave ${listed}$. What are their mean, their median and their (population) variance?",
            ]
        ),
        (
            f"The sum is ${sum(data)}$, so the mean of the ${len(data)}$ values is ${tex(mean)}$.",
            f"In order they read ${', '.join(map(str, ordered))}$; the middle gives the median ${tex(median)}$.",
            f"The mean of the squares minus the square of the mean is ${tex(variance)}$.",
        ),
        f"mean ${tex(mean)}$, median ${tex(median)}$, variance ${tex(variance)}$",
    )


def binomial_coefficient_of_power(rng: Random) -> Exercise:
    """A coefficient of a power of a binomial."""
    n, k = rng.randint(4, 10), 0
    k = rng.randint(1, n - 1)
    a, b = rng.choice([1, 2, 3, -1]), rng.choice([1, 2, 3, -2, -3, 5])
    value = math.comb(n, k) * a**k * b ** (n - k)
    row = [1]
    for _ in range(n):
        row = [x * b + y * a for x, y in zip([*row, 0], [0, *row], strict=True)]
    check(row[k] == value, "binomial")
    linear = f"{'' if a == 1 else '-' if a == -1 else a}x {'+' if b > 0 else '-'} {abs(b)}"
    return Exercise(
        rng.choice(
            [
                f"Find the coefficient of $x^{{{k}}}$ in $({linear})^{{{n}}}$.",
                f"When $({linear})^{{{n}}}$ is multiplied out, which number stands before $x^{{{k}}}$?",
            ]
        ),
        (
            f"By the binomial theorem the term is $\\binom{{{n}}}{{{k}}} ({a}x)^{{{k}}} \\cdot ({b})^{{{n - k}}}$.",
            f"Here $\\binom{{{n}}}{{{k}}} = {math.comb(n, k)}$, $({a})^{{{k}}} = {a**k}$ and "
            f"$({b})^{{{n - k}}} = {b ** (n - k)}$.",
        ),
        f"${value}$",
    )


TOPICS: tuple[Topic, ...] = (
    letters_of_a_word,
    committee,
    drawing_balls,
    sum_of_dice,
    inclusion_exclusion,
    lattice_paths,
    mean_and_median,
    binomial_coefficient_of_power,
)
