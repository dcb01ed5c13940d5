"""From a completion to a verdict: the one place where the evaluation meets the grader and the sandbox.

A verdict on the same text is asked for many times (repeated samples, votes), so verdicts are remembered.
"""

from __future__ import annotations

import atexit
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval_tasks.answers import extract, judge
from eval_tasks.benchmarks import BENCHMARKS, Method
from eval_tasks.sandbox import Sandbox, run_for_answer
from eval_tasks.vote import Vote, majority_vote

OUTCOMES = ("EQUAL", "DIFFERENT", "NO_ANSWER", "UNPARSED", "TIMED_OUT")
_FENCE = re.compile(r"```[ \t]*(?:python|py)?[ \t]*\n", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The answer found in a completion, or None and why there is none."""

    answer: str | None
    reason: str = "no final answer was found in the completion"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer found in a completion (None: there is none), the grader's outcome and its reason."""

    answer: str | None
    outcome: str
    reason: str


def judge_completion(benchmark: str, gold: str, completion: str) -> Verdict:
    """Finds the final answer of a completion, in the forms that the benchmark's prompt asks for, and judges it."""
    if BENCHMARKS[benchmark].method is Method.PROGRAM:
        return judge_found(benchmark, gold, answer_of_program(_shared_sandbox(), completion))
    return judge_found(benchmark, gold, find_answer(benchmark, completion))


def find_answer(benchmark: str, completion: str) -> Found:
    """The final answer that stands in a completion. Not for benchmarks that are answered by programs."""
    facts = BENCHMARKS[benchmark]
    if facts.method is Method.LIKELIHOOD:
        return Found(answer=completion.strip() or None)
    found = (extract(completion, style) for style in facts.answer_styles)
    return Found(answer=next((answer for answer in found if answer), None))


def program_in(completion: str) -> str | None:
    """The program of a completion: its first fenced block, up to the fence's end or the text's; None without one."""
    opening = _FENCE.search(completion)
    if opening is None:
        return None
    program = completion[opening.end() :].split("\n```", 1)[0]
    return program if program.strip() else None


def answer_of_program(sandbox: Sandbox, completion: str) -> Found:
    """Runs the program of a completion, shut in, and takes its answer."""
    program = program_in(completion)
    if program is None:
        return Found(answer=None, reason="the completion holds no program in a fenced block")
    ran = run_for_answer(sandbox, program)
    if ran.text is None:
        return Found(answer=None, reason=f"the program gave no answer: {ran.result.outcome}, {ran.result.reason}"[:500])
    return Found(answer=ran.text)


def judge_found(benchmark: str, gold: str, found: Found, policy: str = "standard") -> Verdict:
    """The grader's verdict, by one of its policies, on an answer that was found, or on there being none."""
    if found.answer is None or not found.answer.strip():
        return Verdict(answer=None, outcome="NO_ANSWER", reason=found.reason)
    outcome, reason = _judged(benchmark, gold, found.answer, policy)
    return Verdict(answer=None if outcome == "NO_ANSWER" else found.answer, outcome=outcome, reason=reason)


def vote_of(benchmark: str, gold: str, answers: Sequence[str | None], policy: str = "standard") -> tuple[Vote, Verdict]:
    """The majority vote of sampled answers and the verdict on the elected one."""
    vote = majority_vote(answers, lambda first, other: _judged(benchmark, first, other, policy)[0] == "EQUAL")
    return vote, judge_found(benchmark, gold, Found(answer=vote.answer, reason="no sample has an answer"), policy)


@functools.lru_cache(maxsize=1 << 16)
def _judged(benchmark: str, gold: str, answer: str, policy: str) -> tuple[str, str]:
    options: dict[str, Any] = dict(BENCHMARKS[benchmark].judge_options)
    judgement = judge(gold, answer, policy, **options)
    return str(judgement.outcome), judgement.reason


@functools.cache
def _shared_sandbox() -> Sandbox:
    """The sandbox of plain lm-eval runs, which have no place of their own to open and close one."""
    sandbox = Sandbox()
    atexit.register(sandbox.close)
    return sandbox
