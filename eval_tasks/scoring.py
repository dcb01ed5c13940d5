"""From a completion to a verdict: the one place where the evaluation meets the grader.

A verdict on the same text is asked for many times (repeated samples, votes), so verdicts are remembered.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from eval_tasks.answers import extract, judge
from eval_tasks.benchmarks import BENCHMARKS
from eval_tasks.vote import Vote, majority_vote

OUTCOMES = ("EQUAL", "DIFFERENT", "NO_ANSWER", "UNPARSED", "TIMED_OUT")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer found in a completion (None: there is none), the grader's outcome and its reason."""

    answer: str | None
    outcome: str
    reason: str


def judge_completion(benchmark: str, gold: str, completion: str) -> Verdict:
    """Finds the final answer of a completion, in the forms that the benchmark's prompt asks for, and judges it."""
    found = (extract(completion, style) for style in BENCHMARKS[benchmark].answer_styles)
    return judge_answer(gold, next((answer for answer in found if answer), None))


def judge_answer(gold: str, answer: str | None) -> Verdict:
    """The grader's verdict on an answer that was already found, or on there being none."""
    if answer is None or not answer.strip():
        return Verdict(answer=None, outcome="NO_ANSWER", reason="no final answer was found in the completion")
    outcome, reason = _judged(gold, answer)
    return Verdict(answer=None if outcome == "NO_ANSWER" else answer, outcome=outcome, reason=reason)


def vote_of(gold: str, answers: Sequence[str | None]) -> tuple[Vote, Verdict]:
    """The majority vote of sampled answers and the verdict on the elected one."""
    vote = majority_vote(answers, lambda first, other: _judged(first, other)[0] == "EQUAL")
    return vote, judge_answer(gold, vote.answer)


@functools.lru_cache(maxsize=1 << 16)
def _judged(gold: str, answer: str) -> tuple[str, str]:
    judgement = judge(gold, answer)
    return str(judgement.outcome), judgement.reason
