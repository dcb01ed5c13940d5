"""What an expression starts with: numerals, names, roots, fractions; functions and brackets have their own files."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from eval_tasks.answers import names
from eval_tasks.answers.brackets import read_bracket
from eval_tasks.answers.build import digits_of, make_quotient, scalar
from eval_tasks.answers.functions import BIG, make_root, read_arguments, read_big, read_call
from eval_tasks.answers.limits import UnreadableError
from eval_tasks.answers.values import (
    BaseNumeral,
    Call,
    Constant,
    Decimal,
    Matrix,
    Node,
    Quantity,
    SetOf,
    Symbol,
    Text,
    TupleOf,
    Value,
    contains_imaginary_unit,
    negated,
)
from eval_tasks.answers.wording import CONSTRUCTORS, base_numeral

if TYPE_CHECKING:
    from eval_tasks.answers.parse import Reader

_ACCENTS = frozenset(("overline", "bar", "dot", "widetilde", "tilde", "not"))
_UNKNOWN_FUNCTIONS = frozenset(("f", "g"))


def read_primary(reader: Reader, mixed: bool) -> Value:
    """The primary at the reader's place."""
    kind, value, _ = reader.tokens[reader.at]
    if kind == "n":
        reader.at += 1
        return _numeral(reader, value, mixed)
    if kind == "w":
        return _word(reader, value)
    if kind == "c":
        return _command(reader, value)
    if kind == "o":
        return read_bracket(reader, value)
    if kind == "t":
        return _text(reader, value)
    if kind == "h":
        reader.at += 1
        return Text(value)
    raise UnreadableError("something is missing at the end")


# --- numerals ---
def _numeral(reader: Reader, value: int | Decimal, mixed: bool) -> Value:
    kind, following, spaced = reader.tokens[reader.at]
    if kind == "c" and following == "frac" and type(value) is int and mixed:
        fraction = _literal_fraction(reader)
        return value if fraction is None else value + fraction
    if kind == "n" and spaced and type(value) is int and type(following) is int and mixed:
        tokens = reader.tokens
        if tokens[reader.at + 1][1] == "/" and tokens[reader.at + 2][0] == "n":
            below = tokens[reader.at + 2][1]
            if type(below) is int and 0 < following < below:
                reader.at += 3
                return value + Fraction(following, below)
    if kind == "o" and following == "_" and type(value) is int:
        reader.at += 1
        return base_numeral(digits_of(value), _base(reader.subscript_text()))
    if kind == "w" and not spaced and reader.tokens[reader.at + 1][1] == "_" and type(value) is int:
        reader.at += 2  # digits and letters with a base: 1A4_{16}
        return base_numeral(f"{value}{following}", _base(reader.subscript_text()))
    if kind == "o" and following == "_" and type(value) is Decimal:
        reader.at += 1
        return _with_point(value, _base(reader.subscript_text()))
    if kind == "c" and following in _ACCENTS and type(value) is Decimal:
        return _repeating(reader, value)
    return value


def _with_point(value: Decimal, base: int) -> BaseNumeral:
    """A numeral with a point in a base: 0.11_2."""
    if value.places < 0:
        raise UnreadableError("an exponent in a numeral with a base")
    whole, part = divmod(Fraction(value) * 10**value.places, 10**value.places)
    decimals = digits_of(part).zfill(value.places) if value.places > 0 else ""
    numeral = base_numeral(digits_of(whole) + decimals, base)
    return BaseNumeral(f"{whole}.{decimals}", base, Fraction(numeral.value, base ** len(decimals)))


def _base(text: str) -> int:
    text = text.strip("()")
    if text.isdigit() and len(text) < 3:
        return int(text)
    value = names.NUMBER_WORDS.get(text.lower())
    if value is None:
        raise UnreadableError("not a base")
    return value


def _literal_fraction(reader: Reader) -> Fraction | None:
    """The proper fraction of two whole numerals at the reader's place, which it then passes; else None."""
    tokens, at = reader.tokens, reader.at + 1
    parts: list[int] = []
    while len(parts) < 2:
        kind, value, _ = tokens[at]
        if kind == "o" and value == "{" and tokens[at + 1][0] == "n" and tokens[at + 2][1] == "}":
            value = tokens[at + 1][1]
            at += 3
        elif kind == "n" and type(value) is int and value > 9 and not parts and value < 100:
            parts, value = [value // 10], value % 10
            at += 1
        elif kind == "n":
            at += 1
        else:
            return None
        if type(value) is not int:
            return None
        parts.append(value)
    if not 0 < parts[0] < parts[1]:
        return None
    reader.at = at
    return Fraction(parts[0], parts[1])


def _repeating(reader: Reader, value: Decimal) -> Fraction:
    """0.1\\overline{6}: the digits under the bar repeat for ever."""
    if value.places < 0:
        raise UnreadableError("a bar over what is no decimal")
    reader.at += 1
    digits = reader.subscript_text()
    if not digits.isdigit() or len(digits) > 100:
        raise UnreadableError("a bar over something that is not digits")
    return Fraction(value) + Fraction(int(digits), (10 ** len(digits) - 1) * 10**value.places)


# --- names ---
def _word(reader: Reader, word: str) -> Value:
    if word in CONSTRUCTORS and reader.tokens[reader.at + 1][1] == "(":
        return _computer_algebra(reader, word)
    if len(word) > 1:
        function = names.FUNCTIONS.get(word)
        if function is not None and not (word in ("re", "im") and reader.tokens[reader.at + 1][1] != "("):
            reader.at += 1
            return read_call(reader, function)
        if word in names.CONSTANTS:
            reader.at += 1
            return Constant(names.CONSTANTS[word])
        if word in names.GREEK:
            reader.at += 1
            return _named(reader, names.GREEK_VARIANTS.get(word, word))
        if _is_split(reader, word):
            return _word(reader, reader.tokens[reader.at][1])
        raise UnreadableError(f"cannot read the word {word!r}")
    reader.at += 1
    return _named(reader, word)


def _computer_algebra(reader: Reader, word: str) -> Value:
    """Constructors as SymPy prints them."""
    reader.at += 1
    items = read_arguments(reader)
    if word == "FiniteSet":
        return SetOf(tuple(items))
    if word == "Rational" and len(items) == 2:
        return make_quotient(items[0], items[1])
    if word == "Interval" and len(items) == 2:
        return TupleOf(tuple(items), "[", "]")
    if word == "Matrix" and len(items) == 1 and type(items[0]) is TupleOf:
        rows = [item.items if type(item) is TupleOf else (item,) for item in items[0].items]
        if len({len(row) for row in rows}) == 1:
            return Matrix(tuple(rows))
    raise UnreadableError(f"cannot read {word}")


def _is_split(reader: Reader, word: str) -> bool:
    """Breaks letters that stand for a product into tokens: sinx, xy, 2pir."""
    spaced = reader.tokens[reader.at][2]
    for name in ("sqrt", "sin", "cos", "tan", "log", "ln", "pi"):
        if word.startswith(name) and len(word) <= len(name) + 2:
            pieces = [name, *word[len(name) :]]
            break
    else:
        if reader.integrals and len(word) > 2 and word[-2] == "d":
            pieces = [*word[:-2], word[-2:]]
        elif len(word) > 3 or not (word.islower() or word.isupper()):
            return False
        else:
            pieces = list(word)
            reader.spelled = True
    reader.tokens[reader.at : reader.at + 1] = [
        ("w", piece, spaced if place == 0 else False) for place, piece in enumerate(pieces)
    ]
    return True


def _named(reader: Reader, name: str) -> Value:
    """A variable or constant with the subscript, primes and arguments that follow it."""
    token = reader.tokens[reader.at]
    if token[0] == "o" and token[1] == "_":
        reader.at += 1
        return Symbol(f"{name}_{reader.subscript_text()}")
    if name == "e" and name not in reader.bound:
        return Constant("e")
    if name == "i" and name not in reader.bound:
        return Constant("i")
    primes = 0
    while reader.is_operator("'"):
        reader.at += 1
        primes += 1
    name += "'" * primes
    if (name[0] in _UNKNOWN_FUNCTIONS and len(name) == 1 + primes) and reader.is_operator("("):
        items = read_arguments(reader)
        return Call(name, tuple(scalar(item) for item in items))
    if name == "C" and reader.is_operator("("):  # C(n, k), the number of combinations
        start = reader.at
        items = read_arguments(reader)
        if len(items) == 2:
            return Call("binom", (scalar(items[0]), scalar(items[1])))
        reader.at = start
    if len(name) == 1 and name.isupper() and reader.is_operator("("):  # A(1, 2), a point with its name
        start = reader.at
        items = read_arguments(reader)
        if len(items) > 1:
            return TupleOf(tuple(items), "(", ")")
        reader.at = start
    return Symbol(name)


def _text(reader: Reader, words: str) -> Value:
    if reader.tokens[reader.at + 1][1] == "_" and words.isalnum() and any(c.isdigit() for c in words):
        reader.at += 2
        return base_numeral(words, _base(reader.subscript_text()))
    if len(words) == 1 and words.isalpha():
        reader.at += 1
        return _named(reader, words)
    if words in names.FUNCTIONS:
        reader.at += 1
        return read_call(reader, names.FUNCTIONS[words])
    if reader.tokens[reader.at + 1][1] == "_":
        reader.at += 1
        return _named(reader, words)
    if words in ("euros", "gbp", "yen") and reader.tokens[reader.at + 1][0] == "n":
        reader.at += 1
        return Quantity(scalar(reader.power()), words)
    raise UnreadableError("words within mathematics")


def _command(reader: Reader, name: str) -> Value:
    reader.at += 1
    if name == "frac":
        return make_quotient(reader.argument(), reader.argument())
    if name == "sqrt":
        return _root(reader)
    if name == "binom" or name in ("dbinom", "tbinom"):
        return Call("binom", (scalar(reader.argument()), scalar(reader.argument())))
    if name in names.FUNCTIONS:
        return read_call(reader, names.FUNCTIONS[name])
    if name in names.CONSTANTS:
        return Constant(names.CONSTANTS[name])
    if name in names.GREEK:
        return _named(reader, names.GREEK_VARIANTS.get(name, name))
    if name in BIG:
        return read_big(reader, BIG[name])
    if name.startswith("mathbb"):
        return _number_set(reader, name)
    if name in ("emptyset", "varnothing"):
        return SetOf(())
    if name in ("overline", "bar"):
        inside = reader.argument()
        is_conjugate = type(inside) is Symbol or contains_imaginary_unit(inside)
        return Call("conj", (scalar(inside),)) if is_conjugate else inside
    if name in ("imath", "jmath"):
        return Constant("i") if name == "imath" else Symbol("j")
    raise UnreadableError(f"unknown command \\{name}")


def _number_set(reader: Reader, name: str) -> Value:
    r"""\mathbb{R} and its like, with the sign that leaves the positive or the negative ones."""
    signs = [token[1] for token in reader.tokens[reader.at : reader.at + 4]]
    for sign in ("+", "-"):
        for written in (["^", sign], ["^", "{", sign, "}"]):
            if signs[: len(written)] == written:
                reader.at += len(written)
                if name != "mathbbR":
                    return Symbol(name + sign)
                ends: tuple[Value, Value] = (0, Constant("inf"))
                return TupleOf(ends if sign == "+" else (negated(ends[1]), 0), "(", ")")
    return Symbol(name)


def _root(reader: Reader) -> Value:
    index: Node = 2
    if reader.is_operator("["):
        reader.at += 1
        index = scalar(reader.sum())
        reader.expect("]")
    kind, value, _ = reader.tokens[reader.at]
    if kind == "n":  # \sqrt10 is meant as the root of 10, though TeX would take the 1 alone
        reader.at += 1
        radicand: Value = value
    elif kind == "o" and value == "(":
        radicand = reader.primary(False)
    else:
        radicand = reader.argument()
    return make_root(scalar(radicand), index)
