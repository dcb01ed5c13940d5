"""A sum with what follows it: units, scales (million), a named base, or the other parts of a ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval_tasks.answers import names, units
from eval_tasks.answers.build import digits_of, expression, make_product, make_sum
from eval_tasks.answers.limits import UnreadableError
from eval_tasks.answers.values import Quantity, Ratio, Symbol, Text, Value
from eval_tasks.answers.wording import base_numeral, is_spelled

if TYPE_CHECKING:
    from eval_tasks.answers.parse import Reader

JOINING_WORDS = {"and": "and", "or": "or", ", and": "and", ",and": "and", ", or": "or", "&": "and", ",": ","}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_HALVES_OF_DAY = ("am", "pm")
_DEGREE_SCALES = frozenset(("C", "F", "Celsius", "Fahrenheit", "celsius", "fahrenheit"))


def read_measure(reader: Reader) -> Value:
    """The sum at the reader's place with its unit, or the ratio that begins there."""
    value = reader.sum()
    if _is_ratio_sign(reader) and not reader.builders:
        items = [value]
        is_plain = reader.tokens[reader.at + 1][0] == "n"
        while _is_ratio_sign(reader):
            reader.at += 1
            items.append(reader.sum())
        return _ratio(reader, items, is_plain)
    if type(value) is Text and reader.tokens[reader.at][1].lower() in _HALVES_OF_DAY:
        reader.at += 1
        return Text(f"{value.words} {reader.tokens[reader.at - 1][1].lower()}")
    if reader.tokens[reader.at][0] in "tw":
        return _with_unit(reader, value)
    return value


def _ratio(reader: Reader, items: list[Value], is_plain: bool) -> Value:
    """The ratio, or the time of day that it is by the words after it."""
    kind, word, _ = reader.tokens[reader.at]
    if kind in "tw" and word.lower() in _HALVES_OF_DAY and all(type(item) is int for item in items):
        reader.at += 1
        minutes = "".join(f":{item:02d}" for item in items[1:])
        return Text(f"{items[0]}{minutes} {word.lower()}")
    return Ratio(tuple(items), is_plain and all(type(item) is int and 0 <= item < 60 for item in items))


def _is_ratio_sign(reader: Reader) -> bool:
    kind, value, _ = reader.tokens[reader.at]
    return (kind == "o" and value == ":") or (
        kind in "tw" and value == "to" and reader.tokens[reader.at + 1][0] in "nc"
    )


def is_union_word(reader: Reader) -> bool:
    """True for a letter U, or the word union, between two brackets."""
    before, word, after = reader.tokens[reader.at - 1], reader.tokens[reader.at], reader.tokens[reader.at + 1 :][:1]
    return (
        word[1] in ("U", "u", "union")
        and before[0] == "o"
        and before[1] in (")", "]", "rb", "}")
        and bool(after)
        and after[0][0] == "o"
        and after[0][1] in ("(", "[", "lb")
    )


def _with_unit(reader: Reader, value: Value) -> Value:
    """The value with the unit words that follow it, if any do."""
    parts: list[str] = []
    plain = reader.tokens[reader.at][0] == "w"
    while True:
        kind, word, _ = reader.tokens[reader.at]
        if kind not in "tw" or word.lower() in JOINING_WORDS or word == "mod" or is_union_word(reader):
            break
        reader.at += 1
        if word.lower() in _SCALES and not parts:
            value = make_product([expression(value), _SCALES[word.lower()]])
            continue
        if reader.is_operator("^"):
            reader.at += 1
            exponent = reader.argument()
            if type(exponent) is not int:
                raise UnreadableError("a unit with a strange exponent")
            word += f"^{exponent}"
        if reader.is_operator("/") and reader.tokens[reader.at + 1][0] in "tw":
            reader.at += 1
            word += "/"
        parts.append(word)
        if reader.is_operator("*") and reader.tokens[reader.at + 1][0] == "t":
            reader.at += 1  # \text{m} \cdot \text{s}^{-2}
    if not parts:
        return value
    if parts[0].strip("( ").startswith("base"):
        return _named_base(reader, value, parts)
    words = " ".join(" ".join(parts).split()).strip(" .")
    amount = expression(value)
    if reader.spelled and plain and is_spelled(amount) and "unit" not in words and not units.unit_of(words):
        raise UnreadableError("words")  # no solution, all integers: not n * o solutions
    if plain and type(amount) is Symbol and amount.name in "aA" and not units.unit_of(words):
        raise UnreadableError("words")  # a circle
    if type(amount) is Quantity:
        if amount.unit == "deg" and words in _DEGREE_SCALES:
            return Quantity(amount.amount, "deg" + words[0].upper())
        if amount.unit == "$" or amount.unit == "%":
            return amount
        amount = amount.amount
    known = units.canonical_word(words)
    unit = Quantity(amount, known if known in ("%", "deg", "$") else words)
    kind, _, _ = reader.tokens[reader.at]
    if kind == "n" and units.unit_of(words) is not None:
        return _compound(reader, unit)
    return unit


def _named_base(reader: Reader, value: Value, parts: list[str]) -> Value:
    """1011 base 2, 1011 (base two): the words after the numeral name its base."""
    base = " ".join(parts).replace("base", "").strip("() ")
    if not base and reader.tokens[reader.at][0] == "n":
        base = str(reader.tokens[reader.at][1])
        reader.at += 1
    number = names.NUMBER_WORDS.get(base.lower(), base)
    if type(value) is not int or not str(number).isdigit():
        raise UnreadableError("a base that is no number")
    return base_numeral(digits_of(value), int(str(number)[:3]))


def _compound(reader: Reader, first: Quantity) -> Value:
    """5 feet 3 inches, 2 hours 30 minutes: one quantity in the first unit."""
    second = read_measure(reader)
    if type(second) is not Quantity:
        raise UnreadableError("two numbers side by side")
    larger, smaller = units.unit_of(first.unit), units.unit_of(second.unit)
    if larger is None or smaller is None or larger[0] != smaller[0]:
        raise UnreadableError("two units side by side")
    return Quantity(make_sum([first.amount, make_product([second.amount, smaller[1] / larger[1]])]), first.unit)
