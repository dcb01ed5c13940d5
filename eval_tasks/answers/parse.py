"""Tokens to a typed value: a recursive-descent reader with precedences, bounded in depth and size.

From loosest to tightest: list (, ; or and) - relation - set operation - ratio - sum - product, quotient and
juxtaposition - power and postfix (! % degree subscript) - primary. Every token must be consumed.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from eval_tasks.answers import limits, names, units
from eval_tasks.answers.build import (
    digits_of,
    expression,
    make_double_factorial,
    make_power,
    make_product,
    make_quotient,
    make_sum,
    scalar,
)
from eval_tasks.answers.limits import UnreadableError
from eval_tasks.answers.primaries import read_primary
from eval_tasks.answers.quantities import JOINING_WORDS, is_union_word, read_measure
from eval_tasks.answers.tokens import Token
from eval_tasks.answers.values import (
    Call,
    ListOf,
    Matrix,
    PlusMinus,
    Quantity,
    Relation,
    Residue,
    SetBuilder,
    SetOf,
    SetOperation,
    Symbol,
    Text,
    TupleOf,
    Value,
    negated,
)
from eval_tasks.answers.wording import base_numeral, is_word, text_value

_END: Token = ("end", "", False)
_SEPARATORS = frozenset((",", ";", "and", "or"))
_CLOSERS = frozenset((")", "]", "rb", ">>", "}", "&", "nl", "end", "|", "||", ":"))
_STARTING_OPERATORS = frozenset(("(", "[", "{", "lb", "<<", "lfloor", "lceil", "$", "begin"))
_SET_NAMES = frozenset(("mathbbR", "mathbbZ", "mathbbN", "mathbbQ", "mathbbC"))


class Reader:
    """Reads one answer from its tokens."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = [*tokens, _END]
        self.at = 0
        self.depth = 0
        self.bars = 0  # open | ... |, within which a bar closes
        self.builders = 0  # open { ... within which a bar or colon is "such that"
        self.integrals = 0
        self.spelled = False  # letters that may be a word were taken for a product of variables
        self.bound: list[str] = []

    # --- tokens ---
    def is_operator(self, *values: str) -> bool:
        token = self.tokens[self.at]
        return token[0] == "o" and token[1] in values

    def expect(self, value: str) -> None:
        token = self.tokens[self.at]
        if token[0] != "o" or token[1] != value:
            raise UnreadableError(f"expected {value!r}, found {token[1]!r}" if token[1] else f"expected {value!r}")
        self.at += 1

    def enter(self) -> None:
        self.depth += 1
        if self.depth > limits.MAX_DEPTH:
            raise UnreadableError("nested too deeply")

    # --- lists and relations ---
    def answer(self) -> Value:
        items, joiner, separated = self.items()
        if self.tokens[self.at] is not _END:
            raise UnreadableError(f"cannot read on at {self.tokens[self.at][1]!r}")
        if not items:
            raise UnreadableError("nothing to read")
        return items[0] if len(items) == 1 and not separated else ListOf(tuple(items), joiner)

    def items(self) -> tuple[list[Value], str, bool]:
        items: list[Value] = []
        joiner = ","
        separated = False
        groups: list[int] = []  # where semicolons part the items
        commas = False
        while True:
            kind, value, _ = self.tokens[self.at]
            if kind == "end" or (kind == "o" and value in _CLOSERS and not self.opens_bar(kind, value)):
                break
            items.append(self.item())
            if len(items) > limits.MAX_ITEMS:
                raise UnreadableError("too many items")
            found = False
            while (word := self.separator()) is not None:
                found = True
                if word == ";":
                    groups.append(len(items))
                commas = commas or word == ","
                if word in ("or", "and"):
                    joiner = word
            if not found:
                separated = False
                break
            separated = True
        if groups and commas:  # p = 5, q = 2; p = 7, q = 2
            bounds = [0, *groups, len(items)]
            parts = [items[a:b] for a, b in pairwise(bounds) if a < b]
            items = [part[0] if len(part) == 1 else ListOf(tuple(part), ",") for part in parts]
        return items, joiner, separated and len(items) > 1

    def separator(self) -> str | None:
        kind, value, _ = self.tokens[self.at]
        if kind == "o" and value in _SEPARATORS:
            self.at += 1
            return str(value)
        if kind in "tw":
            word = JOINING_WORDS.get(value.lower())
            if word is not None:
                self.at += 1
                return word
        return None

    def opens_bar(self, kind: str, value: str) -> bool:
        return kind == "o" and value in ("|", "||") and not self.bars and not self.builders

    def item(self) -> Value:
        start = self.at
        kind, value, _ = self.tokens[start]
        if ((kind == "t" and len(value) > 1) or (kind == "w" and is_word(value))) and self.tokens[start + 1][0] != "n":
            return self.words()
        if kind == "o" and value == "=":
            self.at += 1
            return self.set_expression()
        if kind == "o" and value in names.RELATIONS and value != "in":
            self.at += 1  # "> 5": the variable is left out
            return Relation((Symbol("?"), self.set_expression()), (value,), None)
        sides = [self.set_expression()]
        operators: list[str] = []
        first_end = self.at
        while True:
            kind, value, _ = self.tokens[self.at]
            if kind != "o" or value not in names.RELATIONS:
                break
            self.at += 1
            operators.append(value)
            sides.append(self.set_expression())
        if not operators:
            return self.residue(sides[0])
        if operators == ["=="]:
            return self.residue(sides[1])
        name = self.defined_name(start, first_end, sides[0])
        return Relation(tuple(sides), tuple(operators), name)

    def residue(self, value: Value) -> Value:
        kind, word, _ = self.tokens[self.at]
        bracket = self.is_operator("(") and self.tokens[self.at + 1][1] in ("mod", "bmod")
        if bracket:
            self.at += 1
            kind, word, _ = self.tokens[self.at]
        if (kind in "cw") and word in ("pmod", "bmod", "mod", "pod"):
            self.at += 1
            modulus = self.argument() if self.is_operator("{") else self.sum()
            if bracket:
                self.expect(")")
            return Residue(scalar(value), scalar(modulus))
        return value

    def defined_name(self, start: int, end: int, side: Value) -> str | None:
        """What the tokens before the first relation sign name: x, x_1, f(x), (x, y), Area; else None."""
        kind = type(side)
        if kind is Symbol:
            return str(side.name)
        if kind is TupleOf and all(type(item) is Symbol for item in side.items):
            return "(" + ",".join(item.name for item in side.items) + ")"
        tokens = self.tokens[start:end]
        if len(tokens) > 3 and tokens[0][0] in "wc" and tokens[-1][1] == ")" and not self.is_function(tokens[0][1]):
            head = 2 if tokens[1][1] == "'" else 1
            inside = tokens[head + 1 : -1]
            if tokens[head][1] == "(" and all(t[0] in "wn" or t[1] == "," for t in inside):
                return str(tokens[0][1]) + "()"
        if kind is Text:
            return str(side.words)
        return None

    @staticmethod
    def is_function(name: str) -> bool:
        return name in names.FUNCTIONS

    def words(self) -> Value:
        """Words up to the next separator; as the left side of '=' they are a name."""
        parts: list[str] = []
        start = self.at
        while True:
            kind, value, _ = self.tokens[self.at]
            if kind not in "tw" or (parts and value.lower() in JOINING_WORDS):
                break
            parts.append(value)
            self.at += 1
        if self.is_operator("=", "~", "in", ":") and not self.builders:
            operator = self.tokens[self.at][1]
            self.at += 1
            right = self.set_expression()
            return Relation((Symbol(" ".join(parts)), right), ("=" if operator == ":" else operator,), " ".join(parts))
        if self.is_operator("_") and len(parts) == 1:
            self.at = start
            return self.set_expression()
        kind, value, _ = self.tokens[self.at]
        if kind == "end" or (kind == "o" and (value in _SEPARATORS or value in _CLOSERS)):
            return text_value(" ".join(parts))
        raise UnreadableError("words within mathematics")

    # --- sets, ratios, sums, products ---
    def set_expression(self) -> Value:
        left = read_measure(self)
        while True:
            kind, value, _ = self.tokens[self.at]
            if kind == "o" and value in ("cup", "cap", "setminus"):
                operator = value
            elif kind in "wt" and is_union_word(self):
                operator = "cup"
            elif kind == "o" and value == "-" and isinstance(left, Symbol) and left.name in _SET_NAMES:
                operator = "setminus"
            else:
                return left
            self.at += 1
            left = SetOperation(operator, left, read_measure(self))

    def sum(self) -> Value:
        terms: list[Value] = []
        while True:
            sign = "+"
            kind, value, _ = self.tokens[self.at]
            if kind == "o" and value in ("+", "-", "pm", "mp"):
                sign = value
                self.at += 1
            elif terms:
                break
            if sign == "-" and len(terms) == 1 and type(terms[0]) is Symbol and terms[0].name in _SET_NAMES:
                self.at -= 1  # \mathbb{R} - \{0\} is a set without another
                break
            # "+-" and "--" in plain text
            flips = 0
            while self.is_operator("-", "+"):
                flips += self.tokens[self.at][1] == "-"
                self.at += 1
            term = self.product()
            if flips % 2:
                term = negated(term)
            if sign == "-":
                term = negated(term) if type(term) is not Matrix else make_product([-1, term])
            elif sign in ("pm", "mp"):
                if type(term) is Quantity:
                    term = Quantity(PlusMinus(term.amount, 1 if sign == "pm" else -1), term.unit)
                else:
                    term = PlusMinus(expression(term), 1 if sign == "pm" else -1)
            terms.append(term)
        return terms[0] if len(terms) == 1 else make_sum(terms)

    def product(self) -> Value:
        result = self.power()
        factors = [result]
        while True:
            kind, value, _ = self.tokens[self.at]
            if kind == "o":
                if value == "*":
                    self.at += 1
                    factors.append(self.signed_power())
                    continue
                if value == "/":
                    self.at += 1
                    divisor = self.signed_power()
                    factors = [make_quotient(make_product(factors), divisor)]
                    continue
                if value in ("over", "choose"):
                    raise UnreadableError(f"\\{value} outside braces")
                if value == "(" and self.tokens[self.at + 1][1] in ("mod", "bmod"):
                    break  # 3 (mod 7)
                if value in _STARTING_OPERATORS or (value in ("|", "||") and not self.bars and not self.builders):
                    factors.append(self.power())
                    continue
                break
            if kind == "c":
                if value in ("pmod", "bmod", "mod", "pod", "quad"):
                    break
                factors.append(self.power())
                continue
            if kind == "w":
                if self.stops_product(value, factors[-1]):
                    break
                factors.append(self.power())
                continue
            is_scale = value in ("C", "F") and type(factors[-1]) is Quantity
            if kind == "t" and not is_scale and self.is_factor(value):
                factors.append(self.power())
                continue
            if kind == "n" and self.tokens[self.at - 2][1] == "^" and self.tokens[self.at + 1][1] == "^":
                factors.append(self.power())  # 2^6 3^5
                continue
            if kind == "n" and self.tokens[self.at - 1][0] == "n":
                raise UnreadableError("two numbers side by side")
            if kind == "n" and type(factors[-1]) is Symbol and not self.tokens[self.at][2]:
                raise UnreadableError("a number after a letter")
            if kind == "n" and type(factors[-1]) is not Quantity:
                factors.append(self.power())
                continue
            break
        return factors[0] if len(factors) == 1 else make_product(factors)

    @staticmethod
    def is_letter(word: str) -> bool:
        """True for a variable or i in a text; the letters that are units count as units there."""
        return len(word) == 1 and word.isalpha() and word not in units.LETTER_UNITS

    def is_factor(self, word: str) -> bool:
        """True for a text that is a letter or a function; min and sec are units where no argument follows."""
        if self.is_letter(word) or word not in names.FUNCTIONS:
            return self.is_letter(word)
        kind, value, _ = self.tokens[self.at + 1]
        has_argument = kind in "wc" or (kind == "o" and (value in _STARTING_OPERATORS or value == "|"))
        return has_argument or units.unit_of(word) is None

    def stops_product(self, word: str, before: Value) -> bool:
        if self.integrals and ((word[0] == "d" and len(word) == 2) or word == "d"):
            return True
        if word in ("mod", "to") or word.lower() in JOINING_WORDS or is_union_word(self):
            return True
        if type(before) is Text:  # 3:05 pm
            return True
        if is_word(word):
            return True
        if word.lower() in ("am", "pm") and (
            self.tokens[self.at - 2][1] == ":" or (self.at == 1 and self.tokens[1][2] and type(before) is int)
        ):
            return True  # 3:00 pm, 3 pm
        if type(before) is Quantity:
            return before.unit == "deg" and word in ("C", "F")
        return (
            len(word) > 1
            and isinstance(before, (int, Fraction))
            and (units.unit_of(word) is not None or word in ("sq", "cu", "base"))
            and self.tokens[self.at + 1][1] != "("
        )

    def signed_power(self) -> Value:
        sign = 1
        while self.is_operator("-", "+"):
            if self.tokens[self.at][1] == "-":
                sign = -sign
            self.at += 1
        value = self.power()
        return value if sign == 1 else negated(value)

    # --- powers and postfix signs ---
    def power(self, mixed: bool = True) -> Value:
        self.enter()
        value = self.primary(mixed)
        while True:
            kind, operator, _ = self.tokens[self.at]
            if kind != "o":
                break
            if operator == "^":
                self.at += 1
                value = self.raised(value)
            elif operator == "!":
                self.at += 1
                doubled = self.is_operator("!")  # 5!! is 5 * 3 * 1, not (5!)!
                self.at += doubled
                if self.is_operator("!"):
                    raise UnreadableError("more than two signs of factorial")
                value = make_double_factorial(value) if doubled else Call("factorial", (scalar(value),))
            elif operator == "%":
                self.at += 1
                value = Quantity(scalar(value), "%")
            elif operator == "$" and not isinstance(value, (TupleOf, ListOf)):
                self.at += 1
                value = Quantity(scalar(value), "$")
            elif operator in ("deg", "circ"):
                self.at += 1
                value = Quantity(scalar(value), "deg")
            elif operator == "_":
                self.at += 1
                value = self.with_base(value)
            else:
                break
        self.depth -= 1
        return value

    def raised(self, base: Value) -> Value:
        if self.is_operator("circ", "deg"):
            self.at += 1
            return Quantity(scalar(base), "deg")
        tokens = self.tokens
        if self.is_operator("{") and tokens[self.at + 1][1] in ("circ", "deg") and tokens[self.at + 2][1] == "}":
            self.at += 3
            return Quantity(scalar(base), "deg")
        if self.is_operator("{"):
            exponent = self.argument()
        else:
            sign = 1
            while self.is_operator("-", "+"):
                sign = -sign if tokens[self.at][1] == "-" else sign
                self.at += 1
            exponent = self.power(mixed=False)
            if sign < 0:
                exponent = negated(exponent)
        if isinstance(base, (int, Fraction)) and exponent == Symbol("o"):  # 45^o
            return Quantity(base, "deg")
        return make_power(scalar(base), scalar(exponent))

    def with_base(self, value: Value) -> Value:
        """A numeral in brackets with its base: (1011)_2."""
        base = self.subscript_text()
        if type(value) is int and value >= 0 and base.isdigit():
            return base_numeral(digits_of(value), int(base[:3]))
        raise UnreadableError("a subscript on something that is no name")

    def subscript_text(self) -> str:
        """The subscript as written, without spaces."""
        kind, value, _ = self.tokens[self.at]
        if kind == "o" and value == "{":
            depth, parts = 0, []
            while True:
                kind, value, _ = self.tokens[self.at]
                if kind == "end":
                    raise UnreadableError("an open subscript")
                self.at += 1
                if value == "{" and kind == "o":
                    depth += 1
                elif value == "}" and kind == "o":
                    depth -= 1
                    if not depth:
                        break
                else:
                    parts.append(str(value))
            return "".join(parts).replace(" ", "")
        if kind in "nwtc":
            self.at += 1
            return str(value)
        raise UnreadableError("a strange subscript")

    def argument(self) -> Value:
        """A {...} group, or what TeX takes without braces: one digit of a number, or one primary."""
        kind, value, spaced = self.tokens[self.at]
        if kind == "o" and value == "{":
            return self.group()
        if kind == "n" and type(value) is int and value > 9:
            text = str(value)
            self.tokens[self.at] = ("n", int(text[1:]), False)
            return int(text[0])
        if kind == "n":
            self.at += 1
            return value
        if kind == "w" and len(value) > 1 and value not in names.FUNCTIONS:
            self.tokens[self.at : self.at + 1] = [("w", value[0], spaced), ("w", value[1:], False)]
        return self.primary(False)

    def group(self) -> Value:
        """{ ... }: the one value in it; several are a set in plain text."""
        self.enter()
        self.expect("{")
        bars, builders, self.bars, self.builders = self.bars, self.builders, 0, 0
        items, _, separated = self.items()
        if self.is_operator("|", ":") and len(items) == 1:
            value: Value = self.builder(items[0], "}")
        elif self.is_operator("end") or not items:
            raise UnreadableError("an empty group")
        else:
            self.expect("}")
            value = items[0] if len(items) == 1 and not separated else SetOf(tuple(items), plain=True)
        self.bars, self.builders = bars, builders
        self.depth -= 1
        return value

    def builder(self, element: Value, closing: str) -> Value:
        self.at += 1
        items, joiner, _ = self.items()
        self.expect(closing)
        condition = items[0] if len(items) == 1 else ListOf(tuple(items), "and" if joiner == "," else joiner)
        return SetBuilder(element, condition)

    def primary(self, mixed: bool = True) -> Value:
        return read_primary(self, mixed)
