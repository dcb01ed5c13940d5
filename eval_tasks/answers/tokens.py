"""Text to tokens. One regular expression without backtracking traps reads each character once.

A token is (kind, value, spaced): kind is 'n' number, 'w' word of letters, 't' words in \\text{...}, 'c' LaTeX command,
'o' operator, 'k' ambiguous thousands, 'h' time of day; `spaced` says whether white space came before it.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from eval_tasks.answers import limits, names, units
from eval_tasks.answers.values import Decimal

Token = tuple[str, Any, bool]

_SCANNER = re.compile(
    r"(?P<space>(?:[ \t\r\n~]|\\[,;:>! ]|\\(?:left|right)\s*\.|\\q?quad)+)"
    r"|(?P<thousands>[1-9]\d{0,2}(?:(?:, ?\\! ?| ?\{, ?\}|,\\,|\\,|\\!|,| )\d{3})+(?![\d/]| /)(?:\.\d+)?)"
    r"|(?P<clock>\d{1,2}(?::[0-5]\d){1,2}(?![\d:.]))"
    r"|(?P<based>(?=[A-F]*\d)[0-9A-F]{1,60}_\{?(?:1[1-9]|[23]\d)(?!\d)\}?)"
    r"|(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+(?![A-Za-z\d]))?)"
    r"|\\(?P<textcommand>" + names.TEXT_COMMANDS + r")\s*\{(?P<text>[^{}]*)\}"
    r"|\\(?P<fontcommand>" + names.FONT_COMMANDS + r")\s*\{(?P<font>[^{}]*)\}"
    r"|\\(?:begin|end)\s*\{(?P<environment>[A-Za-z]+)\*?\}"
    r"|\\mathbb\s*\{?(?P<board>[A-Z])\}?"
    r"|\\(?P<command>[A-Za-z]+)"
    r"|\\(?P<escape>.)"
    r"|(?P<word>[A-Za-z]+)"
    r"|(?P<operator>\*\*|<=|>=|!=|==|->|=>|\.\.\.|[^\\])",
    re.DOTALL,
)
_SEPARATORS = re.compile(r"[^\d.]+")
_PLAIN_OPERATORS = {"**": "^", "*": "*", "==": "=", "->": "->"}


def tokenize(text: str, split_thousands: bool = False) -> list[Token]:
    """The tokens of a cleaned text; '1,234' is one number unless `split_thousands`.

    Raises UnreadableError at a character that means nothing.
    """
    tokens: list[Token] = []
    _scan(text, tokens, 0)
    if any(token[0] == "k" for token in tokens):
        tokens = _settle_thousands(tokens, split_thousands)
    return tokens


def _scan(text: str, tokens: list[Token], depth: int) -> None:
    spaced = False
    end = 0
    append = tokens.append
    for match in _SCANNER.finditer(text):
        if match.start() != end:
            break
        end = match.end()
        kind = match.lastgroup
        if kind == "space":
            spaced = True
            continue
        if len(tokens) > limits.MAX_TOKENS:
            raise limits.UnreadableError("too many tokens")
        value = match[kind] if kind else ""
        if kind == "number":
            append(("n", number(value), spaced))
        elif kind == "clock":
            _clock(value, tokens, spaced)
        elif kind == "operator":
            if value not in _KNOWN_OPERATORS:
                raise limits.UnreadableError(f"cannot read {value!r}")
            append(("o", _PLAIN_OPERATORS.get(value, value), spaced))
        elif kind == "word":
            if value[:2] == "or" and len(value) == 3 and value[2].isupper() and tokens:  # f(1)=2orF(1)=3
                append(("w", "or", spaced))
                value = value[2]
            append(("w", value, spaced))
        elif kind == "command":
            _command(value, tokens, spaced)
        elif kind == "based":
            digits, _, base = value.partition("_")
            append(("t", digits, spaced))
            append(("o", "_", False))
            append(("n", int(base.strip("{}")), False))
        elif kind == "thousands":
            append(("k", value, spaced))
        elif kind == "escape":
            meaning = names.ESCAPES.get(value)
            if meaning is None:
                raise limits.UnreadableError(f"unknown command \\{value}")
            if meaning:
                append(("o", meaning, spaced))
        elif kind == "text":
            _text(value, tokens, spaced, depth)
        elif kind == "font":
            words = value.replace("~", " ").strip()
            after_number = tokens and (tokens[-1][0] == "n" or tokens[-1][1] in ("}", ")"))
            if after_number and match["fontcommand"] == "mathrm" and units.unit_of(words) is not None:
                append(("t", words, spaced))
            elif depth < 3:
                before = len(tokens)
                _scan(value, tokens, depth + 1)
                if spaced and len(tokens) > before:
                    tokens[before] = (*tokens[before][:2], True)
        elif kind == "environment":
            if value not in names.ENVIRONMENTS:
                raise limits.UnreadableError(f"unknown environment {value!r}")
            append(("o", "begin" if text.startswith("\\begin", match.start()) else "end", spaced))
            append(("e", value, False))
        elif kind == "board":
            append(("c", "mathbb" + value, spaced))
        spaced = False
    if end != len(text):
        raise limits.UnreadableError("a backslash ends the text")


_KNOWN_OPERATORS = frozenset(names.words("** <= >= != == -> => ... + - * / ^ _ ! ' = < > : ; , | & % ( ) [ ] { } $"))


def _clock(text: str, tokens: list[Token], spaced: bool) -> None:
    """2:05 is a time of day and stays one; 2:15 may be a ratio as well."""
    first, *others = text.split(":")
    if any(part[0] == "0" for part in (first, *others)) and first != "0":
        tokens.append(("h", ":".join((str(int(first)), *others)), spaced))
        return
    tokens.append(("n", int(first), spaced))
    for part in others:
        tokens += [("o", ":", False), ("n", int(part), False)]


def _command(name: str, tokens: list[Token], spaced: bool) -> None:
    operator = names.OPERATORS.get(name)
    if operator is not None:
        tokens.append(("o", operator, spaced))
    elif name in names.IGNORED:
        return
    elif name in ("dfrac", "tfrac", "cfrac"):
        tokens.append(("c", "frac", spaced))
    else:
        tokens.append(("c", name, spaced))


def _text(content: str, tokens: list[Token], spaced: bool, depth: int) -> None:
    """Words stay text; what has no letter is read on as mathematics."""
    stripped = content.strip()
    if stripped in ("", "."):
        return
    if depth < 3 and not any(character.isalpha() for character in stripped.replace("\\", "")):
        _scan(content, tokens, depth + 1)
        return
    tokens.append(("t", stripped, spaced or content[0] == " "))


def number(text: str) -> int | Decimal:
    """The value of a numeral. Raises TooLargeError beyond the bounds of `limits`."""
    if len(text) > limits.MAX_DIGITS:
        raise limits.TooLargeError("a numeral has too many digits")
    if text.isdigit():
        return int(text)
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, decimals = mantissa.partition(".")
    scale = 0
    if exponent:
        scale = int(exponent) if len(exponent) < 7 else 10**7
        if abs(scale) > 2_000:
            raise limits.TooLargeError("an exponent is too large")
    digits = whole + decimals
    value = Fraction(int(digits or "0"), 10 ** len(decimals))
    if scale:
        value = value * Fraction(10) ** scale
    elif "." not in mantissa:
        return int(digits)
    return Decimal.of(value, len(decimals) - scale, len(digits.lstrip("0")))


def _settle_thousands(tokens: list[Token], split: bool) -> list[Token]:
    """Inside brackets '1,234' is two items unless a group is like '000'; outside it is one number."""
    settled: list[Token] = []
    depth = 0
    for token in tokens:
        kind, value, spaced = token
        if kind == "o" and value in _OPENING:
            depth += 1
        elif kind == "o" and value in _CLOSING:
            depth -= 1
        if kind != "k":
            settled.append(token)
            continue
        parts = value.split(",")
        bare = "\\" not in value and "{" not in value and " " not in value
        if bare and (depth > 0 or split) and not any(part.startswith("0") for part in parts[1:]):
            for place, part in enumerate(parts):
                if place:
                    settled.append(("o", ",", False))
                settled.append(("n", number(part), spaced and place == 0))
        else:
            settled.append(("n", number(_SEPARATORS.sub("", value)), spaced))
    return settled


_OPENING = frozenset(("(", "[", "lb", "<<"))
_CLOSING = frozenset((")", "]", "rb", ">>"))
