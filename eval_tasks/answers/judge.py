"""The grader's door: two answers as text to a judgement."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from eval_tasks.answers import limits
from eval_tasks.answers.compare import Comparison
from eval_tasks.answers.exact import substituted
from eval_tasks.answers.extract import extract
from eval_tasks.answers.policies import Policy, policy_named
from eval_tasks.answers.reading import Reading, read
from eval_tasks.answers.values import (
    EXPRESSIONS,
    BaseNumeral,
    Constant,
    Decimal,
    ListOf,
    Symbol,
    Value,
    contains_imaginary_unit,
    symbols,
)

_DECIMAL_COMMA = re.compile(r"-?\d{1,30},\d{1,30}")
_LONG_DECIMAL_COMMA = re.compile(r"-?\d{1,30},\d{2,30}")  # in a gold answer, '1,2' is a list
_THOUSANDS = re.compile(r"-?[1-9]\d{0,2},\d{3}")
_FRACTION = re.compile(r"-?\\frac\{-?(\d{1,40})\}\{-?(\d{1,40})\}|-?(\d{1,40})/(\d{1,40})")


FAULT = "a fault of the grader"


class Outcome(enum.StrEnum):
    """What came of a comparison. Only EQUAL counts as right; the others say why not."""

    EQUAL = "EQUAL"
    DIFFERENT = "DIFFERENT"
    NO_ANSWER = "NO_ANSWER"  # the prediction holds no answer
    UNPARSED = "UNPARSED"  # one of the two cannot be read whole, or is beyond the bounds
    TIMED_OUT = "TIMED_OUT"  # the worker that holds SymPy did not finish in time


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome of one comparison and, in a few words, how it was found."""

    outcome: Outcome
    reason: str

    @property
    def is_equal(self) -> bool:
        return self.outcome is Outcome.EQUAL


def judge(
    gold: str, prediction: str | None, policy: str | Policy = "standard", **options: bool | int | float
) -> Judgement:
    """Whether an answer equals the gold answer. Never raises on any text; `options` change the policy's.

    Both are bare answers. Where they are not equal as they stand, one with a mark (a box, "####", "the answer is ...",
    a single formula among words) is taken for a completion; `extract` finds answers without a mark too.
    """
    chosen = policy if isinstance(policy, Policy) and not options else policy_named(policy, **options)
    if prediction is None or not prediction.strip():
        return Judgement(Outcome.NO_ANSWER, "the prediction is empty")
    if chosen.metric != "values":
        from eval_tasks.answers.published import judge_published

        return judge_published(gold, prediction, chosen.metric)
    try:
        judgement = _judge(gold, prediction, chosen)
        if judgement.outcome in (Outcome.DIFFERENT, Outcome.UNPARSED) and (marked := _marked(gold, prediction)):
            of_marked = _judge(*marked, chosen)
            return of_marked if of_marked.outcome in (Outcome.EQUAL, Outcome.DIFFERENT) else judgement
        return judgement
    except RecursionError:
        return Judgement(Outcome.UNPARSED, "nested too deeply")
    except Exception as error:  # a fault of ours must not end hours of evaluation; tests look for this reason
        return Judgement(Outcome.UNPARSED, f"{FAULT}: {type(error).__name__}")


def _marked(gold: str, prediction: str) -> tuple[str, str] | None:
    """Both with what is marked in them as the answer; None where nothing is."""
    found = [extract(text, "marked") for text in (gold, prediction)]
    return (found[0] or gold, found[1] or prediction) if any(found) else None


def judge_many(
    pairs: Iterable[tuple[str, str | None]], policy: str | Policy = "standard", **options: bool | int | float
) -> Iterator[Judgement]:
    """One judgement for each (gold, prediction), in order."""
    chosen = policy_named(policy, **options)
    for gold, prediction in pairs:
        yield judge(gold, prediction, chosen)


def _judge(gold: str, prediction: str, policy: Policy) -> Judgement:
    one, other = read(gold), read(prediction)
    if other.empty:
        if gold.strip() == prediction.strip() and other.text:
            return Judgement(Outcome.EQUAL, "the same text")
        return Judgement(Outcome.NO_ANSWER, "the prediction holds no answer")
    if one.text and (one.text == other.text or (one.tokens and one.tokens == other.tokens)):
        if not policy.unreduced and not _is_reduced(other.text):
            return Judgement(Outcome.DIFFERENT, "a fraction that is not in lowest terms")
        return Judgement(Outcome.EQUAL, "the same text")
    if policy.base_dropped and (_are_digits_of(one, other) or _are_digits_of(other, one)):
        return Judgement(Outcome.EQUAL, "digits without their base")
    if one.value is None:
        return Judgement(Outcome.UNPARSED, f"the gold answer: {one.problem or 'nothing to read'}")
    if other.value is None:
        return Judgement(Outcome.UNPARSED, f"the prediction: {other.problem}")
    judgement = _compare(one, other, policy)
    if judgement.outcome is Outcome.DIFFERENT:
        return _other_readings(one, other, policy) or judgement
    return judgement


def _are_digits_of(numeral: Reading, plain: Reading) -> bool:
    return type(numeral.value) is BaseNumeral and plain.text.upper() == numeral.value.digits


def _compare(gold: Reading, prediction: Reading, policy: Policy) -> Judgement:
    comparison = Comparison(policy)
    try:
        verdict = comparison.same(gold.value, prediction.value)
    except limits.TooLargeError as error:
        return Judgement(Outcome.UNPARSED, str(error))
    except limits.UndefinedError as error:
        return Judgement(Outcome.DIFFERENT, str(error))
    except limits.OutOfTimeError:
        return Judgement(Outcome.TIMED_OUT, f"SymPy took more than {limits.WORKER_SECONDS} s")
    except (limits.UnreadableError, limits.UnsupportedError) as error:
        return Judgement(Outcome.UNPARSED, str(error))
    if verdict and not policy.unreduced and not _is_reduced(prediction.text):
        return Judgement(Outcome.DIFFERENT, "a fraction that is not in lowest terms")
    return Judgement(Outcome.EQUAL if verdict else Outcome.DIFFERENT, comparison.reason)


def _other_readings(gold: Reading, prediction: Reading, policy: Policy) -> Judgement | None:
    """The second reading of an ambiguous comma, where the other side shows which one is meant."""
    if policy.decimal_comma:
        for decimal, comma, pattern in (
            (gold, prediction, _DECIMAL_COMMA),
            (prediction, gold, _LONG_DECIMAL_COMMA),
        ):
            if type(decimal.value) is not Decimal or _THOUSANDS.fullmatch(comma.text):
                continue
            if pattern.fullmatch(comma.text) and Fraction(comma.text.replace(",", ".")) == decimal.value:
                return Judgement(Outcome.EQUAL, "a decimal comma")
    for one, other in ((gold, prediction), (prediction, gold)):
        letter = _imaginary_letter(one.value, other.value)
        if letter:
            value = substituted(one.value, letter, Constant("i"))
            changed = Reading(one.text, one.tokens, value, "", False)
            judgement = _compare(*((changed, other) if one is gold else (other, changed)), policy)
            return judgement if judgement.is_equal else None
    one, other = gold, prediction
    if type(other.value) is ListOf and "," in one.text and type(one.value) is not ListOf:
        one = read(gold.text, split_thousands=True)
    elif type(one.value) is ListOf and "," in other.text and type(other.value) is not ListOf:
        other = read(prediction.text, split_thousands=True)
    if (one is gold and other is prediction) or one.value is None or other.value is None:
        return None
    judgement = _compare(one, other, policy)
    return judgement if judgement.is_equal else None


def _imaginary_letter(value: Value, other: Value) -> str:
    """'I' or 'j' where one side writes the imaginary unit so (SymPy, Python) and the other as i; else ''."""
    if not isinstance(value, EXPRESSIONS) or not isinstance(other, EXPRESSIONS) or type(value) is Symbol:
        return ""
    found = symbols(value) & {"I", "j"}
    if (
        len(found) != 1
        or found & symbols(other)
        or not contains_imaginary_unit(other)
        or contains_imaginary_unit(value)
    ):
        return ""
    return found.pop()


def _is_reduced(text: str) -> bool:
    """False for a fraction of two whole numbers that is not in lowest terms."""
    match = _FRACTION.fullmatch(text)
    if match is None:
        return True
    above, below = (int(part) for part in match.groups() if part is not None)
    return below != 0 and Fraction(above, below).denominator == below != 1
