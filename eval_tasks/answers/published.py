"""Metrics as published, with their known faults, so that old figures can be compared.

`minerva`: the normalization of Lewkowycz et al. 2022 (arXiv 2206.14858, appendix D) on both answers, then equality as
strings, else SymPy's parse_latex and simplify with 5 s, as Llemma scored MATH. Known faults kept: commas go first, so
that '3,5,7' is '357'; parse_latex reads '1,-3' as 1, so that it equals '1,-2'; a gold answer that reads as 0 equals
nothing but the same string; '2\\frac{1}{2}' is 1.
`hendrycks`: the string comparison of MATH (Hendrycks et al. 2021, arXiv 2103.03874): no algebra at all.
"""

from __future__ import annotations

import re

from eval_tasks.answers import limits
from eval_tasks.answers.judge import Judgement, Outcome
from eval_tasks.answers.limits import OutOfTimeError, UnsupportedError

PUBLISHED_SECONDS = 5.0
# (before, after), in this order: Lewkowycz et al. 2022, appendix D, listing 1
SUBSTITUTIONS = (
    ("an ", ""), ("a ", ""), (".$", "$"), ("\\$", ""), ("\\ ", ""), (" ", ""), ("mbox", "text"),
    (",\\text{and}", ","), ("\\text{and}", ","), ("\\text{m}", "\\text{}"),
)  # fmt: skip
# removed wherever they stand, in this order: the same listing
REMOVED = (
    "square", "ways", "integers", "dollars", "mph", "inches", "ft", "hours", "km", "units", "\\ldots", "sue",
    "points", "feet", "minutes", "digits", "cents", "degrees", "cm", "gm", "pounds", "meters", "meals", "edges",
    "students", "childrentickets", "multiples", "\\text{s}", "\\text{.}", "\\text{\ns}", "\\text{}^2", "\\text{}^3",
    "\\text{\n}", "\\text{}", "\\mathrm{th}", "^\\circ", "^{\\circ}", "\\;", ",\\!", "{,}", '"', "\\dots",
)  # fmt: skip
_FRAC = re.compile(r"frac([^{])(.)")
_SQRT = re.compile(r"sqrt([^{])")


def judge_published(gold: str, prediction: str, metric: str) -> Judgement:
    """The judgement by a published metric. DIFFERENT stands also for what that metric could not read."""
    if max(len(gold), len(prediction)) > limits.MAX_CHARS:
        return Judgement(Outcome.UNPARSED, "too long")
    if metric == "hendrycks":
        equal = hendrycks_normalized(gold) == hendrycks_normalized(prediction)
        return Judgement(Outcome.EQUAL if equal else Outcome.DIFFERENT, "strings")
    one, other = minerva_normalized(gold), minerva_normalized(prediction)
    if one == other:
        return Judgement(Outcome.EQUAL, "the same string")
    from eval_tasks.answers.symbolic import ask

    if max(one.count("{"), one.count("("), other.count("{"), other.count("(")) > 200:
        return Judgement(Outcome.UNPARSED, "nested too deeply")
    job = {"kind": "published", "gold": one, "prediction": other, "seconds": PUBLISHED_SECONDS}
    try:
        answer = ask(job)
    except OutOfTimeError:
        return Judgement(Outcome.TIMED_OUT, f"SymPy took more than {PUBLISHED_SECONDS} s")
    except UnsupportedError as error:
        return Judgement(Outcome.UNPARSED, str(error))
    if "error" in answer:
        return Judgement(Outcome.DIFFERENT, f"SymPy could not read it ({answer['error']})")
    return Judgement(Outcome.EQUAL if answer["verdict"] else Outcome.DIFFERENT, "SymPy")


def minerva_normalized(answer: str) -> str:
    """The final answer as Minerva's appendix D normalizes it."""
    answer = answer.rsplit("=", 1)[-1]
    for before, after in SUBSTITUTIONS:
        answer = answer.replace(before, after)
    for expression in REMOVED:
        answer = answer.replace(expression, "")
    first = answer.find("$")
    second = answer.find("$", first + 1) if first >= 0 else -1
    if second >= 0:
        answer = answer[first : second + 1]
    for command in ("\\text{", "\\textbf{", "\\overline{"):
        answer = _unwrapped(answer, command)
    answer = _unwrapped_to_last(answer, "\\boxed{")
    answer = _FRAC.sub(r"frac{\1}{\2}", answer)
    answer = _SQRT.sub(r"sqrt{\1}", answer)
    answer = answer.replace("$", "")
    if answer.replace(",", "").isdigit():
        answer = answer.replace(",", "")
    return answer


def _unwrapped(text: str, command: str) -> str:
    """Each `command ... }` without its command and the first brace that follows."""
    parts: list[str] = []
    place = 0
    while (start := text.find(command, place)) >= 0:
        end = text.find("}", start + len(command))
        if end < 0:
            break
        parts += [text[place:start], text[start + len(command) : end]]
        place = end + 1
    return "".join([*parts, text[place:]])


def _unwrapped_to_last(text: str, command: str) -> str:
    start, end = text.find(command), text.rfind("}")
    return text if start < 0 or end < start else text[:start] + text[start + len(command) : end] + text[end + 1 :]


def hendrycks_normalized(answer: str) -> str:
    """The final answer as the MATH dataset's own comparison spells it."""
    text = answer.replace("\n", "").replace("\\!", "").replace("\\\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac").replace("\\left", "").replace("\\right", "")
    text = text.replace("^{\\circ}", "").replace("^\\circ", "").replace("\\$", "")
    if "\\text{ " in text:
        pieces = text.split("\\text{ ")
        text = pieces[0] if len(pieces) == 2 else text
    text = text.replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.")
    if not text:
        return text
    if text[0] == ".":
        text = "0" + text
    sides = text.split("=")
    if len(sides) == 2 and len(sides[0]) <= 2:
        text = sides[1]
    text = re.sub(r"\\sqrt([^{])", r"\\sqrt{\1}", text).replace(" ", "")
    text = re.sub(r"\\frac([^{])([^{])", r"\\frac{\1}{\2}", text)
    if text == "0.5":
        text = "\\frac{1}{2}"
    match = re.fullmatch(r"(-?\d{1,40})/(-?\d{1,40})", text)
    return f"\\frac{{{match[1]}}}{{{match[2]}}}" if match else text
