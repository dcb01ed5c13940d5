r"""Expansion of a paper's own macros, with arguments, under limits.

Understood: \newcommand, \renewcommand, \providecommand (also starred, with an optional first argument), \def with plain
parameters, \let to a known macro or a primitive, \DeclareMathOperator.  Definitions leave the text.  A macro whose body
programs TeX (\csname, \expandafter, \catcode, ...) is left as the author wrote it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from proof_pile.sources.tex_scanner import (
    MAX_VERB_CHARS,
    VERBATIM,
    read_argument,
    read_group,
    read_optional,
    skip_space,
)

_WORD = re.compile(
    rf"\\begin\s*\{{(?P<env>{VERBATIM})\}}|\\(?:verb|lstinline)\*?(?P<mark>[^a-zA-Z*\s\\])|\\(?P<word>[a-zA-Z@]+)\*?|\\.",
    re.DOTALL,
)
MAX_VERBATIM_CHARS = 100_000
_NAME = re.compile(r"\\(?:[a-zA-Z@]+|.)", re.DOTALL)
_PROGRAMMED = re.compile(
    r"\\(?:csname|expandafter|catcode|futurelet|edef|xdef|gdef|def|let|if[a-z@]*|loop|write|input|read|newcommand|"
    r"renewcommand|@ifnextchar|@ifstar|relax|noexpand|afterassignment|begingroup|verb|newcounter|setcounter)(?![a-zA-Z])"
)
_DEFINERS = frozenset({"newcommand", "renewcommand", "providecommand", "DeclareRobustCommand"})
_KEPT = frozenset({"begin", "end", "item", "section", "subsection", "label", "ref", "cite", "eqref", "title", "author"})


@dataclass(frozen=True, kw_only=True, slots=True)
class MacroLimits:
    """Bounds on the expansion of one paper, chosen by us; a paper of 10,000 macro calls is a heavy one."""

    max_macros: int = 2000
    max_expansions: int = 100_000
    max_failed: int = 500
    max_depth: int = 16
    max_body_chars: int = 5000
    max_growth_chars: int = 2_000_000


@dataclass(frozen=True, slots=True)
class Macro:
    """A definition: number of arguments, default of the first where that is optional, and the body."""

    num_args: int
    default: str | None
    body: str


@dataclass(slots=True)
class Expander:
    """Macros known so far and what of the limits is used up."""

    limits: MacroLimits = field(default_factory=MacroLimits)
    macros: dict[str, Macro] = field(default_factory=dict)
    num_expansions: int = 0
    num_chars: int = 0
    num_failed: int = 0
    stopped: str | None = None

    def expand(self, text: str) -> str:
        """The text with all definitions taken out and all calls replaced.

        `stopped` says which limit was met, if any.
        """
        return self._expand(text, 0, ())

    def _expand(self, text: str, depth: int, active: tuple[str, ...]) -> str:
        out: list[str] = []
        start = position = 0
        while (match := _WORD.search(text, position)) is not None:
            position = match.end()
            word = match["word"]
            if word is None:
                position = _after_verbatim(text, match)
                continue
            after = self._define(text, match, word) if depth == 0 else None
            if after is not None:
                out.append(text[start : match.start()])
                after = after + 1 if text.startswith("\n", after) and _at_line_start(text, match.start()) else after
                start = position = after
                continue
            macro = self.macros.get(word)
            if macro is None or word in active or text[position - 1] == "*":
                continue
            if self._exhausted(depth):
                continue
            call = self._call(macro, text, position)
            if call is None:
                self.num_failed += 1
                continue
            arguments, after = call
            self.num_expansions += 1
            # Arguments belong to the caller: \abs{\abs{x}} is no recursion.
            arguments = [self._expand(argument, depth + 1, active) for argument in arguments]
            if self._exhausted(depth):
                continue
            body = _filled(macro.body, arguments)
            self.num_chars += len(body)
            replacement = self._expand(body, depth + 1, (*active, word))
            out.append(text[start : match.start()])
            out.append(_fitted(replacement, text, match.start(), after))
            start = position = after
        out.append(text[start:])
        return "".join(out)

    def _exhausted(self, depth: int) -> bool:
        if self.num_expansions >= self.limits.max_expansions:
            self.stopped = f"more than {self.limits.max_expansions} expansions"
        elif self.num_chars >= self.limits.max_growth_chars:
            self.stopped = f"macros expand to more than {self.limits.max_growth_chars} characters"
        elif self.num_failed >= self.limits.max_failed:
            self.stopped = f"more than {self.limits.max_failed} calls without their arguments"
        elif depth >= self.limits.max_depth:
            self.stopped = f"macros nested deeper than {self.limits.max_depth}"
            return True
        else:
            return False
        return True

    def _call(self, macro: Macro, text: str, position: int) -> tuple[list[str], int] | None:
        """The arguments of a call and the position after them; None where they are missing."""
        arguments: list[str] = []
        if macro.default is not None:
            given = read_optional(text, skip_space(text, position))
            if given is not None:
                position = given[1]
            arguments.append(given[0] if given is not None else macro.default)
        while len(arguments) < macro.num_args:
            argument = read_argument(text, position)
            if argument is None:
                return None
            arguments.append(argument[0])
            position = argument[1]
        return arguments, position

    def _define(self, text: str, match: re.Match[str], word: str) -> int | None:
        """The position after a definition that begins at the match, None where it is none (or one we leave alone)."""
        position = match.end()
        if word in _DEFINERS:
            found = _read_newcommand(text, position)
        elif word == "def":
            found = _read_def(text, position)
        elif word == "DeclareMathOperator":
            found = _read_operator(text, position, starred=match[0].endswith("*"))
        elif word == "let":
            found = self._read_let(text, position)
        else:
            return None
        if found is None:
            return None
        name, macro, after = found
        wanted = (
            len(macro.body) <= self.limits.max_body_chars
            and not _PROGRAMMED.search(macro.body)
            and len(self.macros) < self.limits.max_macros
            and name not in _KEPT
            and name.isalpha()
        )
        if wanted and not (word == "providecommand" and name in self.macros):
            self.macros[name] = macro
        elif not wanted:
            self.macros.pop(name, None)
        return after

    def _read_let(self, text: str, position: int) -> tuple[str, Macro, int] | None:
        match = re.compile(r"\s*\\([a-zA-Z]+)\s*=?\s*(\\(?:[a-zA-Z@]+|.))").match(text, position)
        if match is None:
            return None
        target = self.macros.get(match[2][1:])
        return match[1], target or Macro(0, None, match[2]), match.end()


def _filled(body: str, arguments: list[str]) -> str:
    return re.sub(r"#([1-9])", lambda m: arguments[int(m[1]) - 1] if int(m[1]) <= len(arguments) else "", body)


def _after_verbatim(text: str, match: re.Match[str]) -> int:
    if match["env"]:
        end = text.find(f"\\end{{{match['env']}}}", match.end(), match.end() + MAX_VERBATIM_CHARS)
        return end if end >= 0 else match.end()
    if match["mark"]:
        end = text.find(match["mark"], match.end(), match.end() + MAX_VERB_CHARS)
        return end + 1 if end >= 0 else match.end()
    return match.end()


def _at_line_start(text: str, position: int) -> bool:
    return position == 0 or text[position - 1] == "\n"


def _fitted(replacement: str, text: str, before: int, after: int) -> str:
    r"""The replacement as it can stand there: braced after ^ or _.

    Apart from a letter that would join its last word.
    """
    replacement = replacement.replace("\\ensuremath", "")
    if replacement.endswith("\\xspace"):
        replacement = replacement.removesuffix("\\xspace")
        if text[after : after + 2] == "{}":
            return replacement
    if before > 0 and text[before - 1] in "^_" and len(replacement) > 1:
        return "{" + replacement + "}"
    if after < len(text) and text[after].isalpha() and re.search(r"\\[a-zA-Z]+$", replacement):
        return replacement + " "
    return replacement


def _read_newcommand(text: str, position: int) -> tuple[str, Macro, int] | None:
    name = _read_name(text, position)
    if name is None:
        return None
    position = skip_space(text, name[1])
    num_args, default = 0, None
    count = read_optional(text, position)
    if count is not None:
        if not count[0].strip().isdigit() or int(count[0]) > 9:
            return None
        num_args = int(count[0])
        position = skip_space(text, count[1])
        optional = read_optional(text, position)
        if optional is not None:
            default, position = optional[0], skip_space(text, optional[1])
    body = read_argument(text, position)
    return None if body is None else (name[0], Macro(num_args, default, body[0]), body[1])


def _read_def(text: str, position: int) -> tuple[str, Macro, int] | None:
    name = _NAME.match(text, skip_space(text, position))
    if name is None:
        return None
    parameters = re.compile(r"\s*((?:#[1-9])*)\s*(?=\{)").match(text, name.end())
    if parameters is None:
        return None  # delimited parameters program TeX
    body = read_group(text, parameters.end())
    if body is None:
        return None
    return name[0][1:], Macro(parameters[1].count("#"), None, body[0]), body[1]


def _read_operator(text: str, position: int, *, starred: bool) -> tuple[str, Macro, int] | None:
    name = _read_name(text, position)
    body = read_argument(text, name[1]) if name is not None else None
    if name is None or body is None:
        return None
    star = "*" if starred else ""
    return name[0], Macro(0, None, rf"\operatorname{star}{{{body[0]}}}"), body[1]


def _read_name(text: str, position: int) -> tuple[str, int] | None:
    """The name that a definition gives, with or without braces, without its backslash."""
    position = skip_space(text, position)
    group = read_group(text, position, 200)
    if group is not None:
        inner = group[0].strip()
        return (inner[1:], group[1]) if _NAME.fullmatch(inner) else None
    name = _NAME.match(text, position)
    return (name[0][1:], name.end()) if name else None
