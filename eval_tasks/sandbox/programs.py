"""Programs that models write to answer a problem (MATH+Python, GSM8K+Python), run for their answer.

Against the published scripts: one namespace (there, functions did not see the program's own imports), a time limit for
both benchmarks (there, GSM8K had none), and no int() on answers (there, 2.5 became 2 and 1/2 became 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from eval_tasks.sandbox.results import Limits, Outcome, Result
from eval_tasks.sandbox.sandbox import Sandbox


class AnswerForm(StrEnum):
    """Where a program leaves its answer."""

    VARIABLE = "variable"  # a variable named `answer`: MATH+Python as published
    SOLUTION = "solution"  # what the function `solution()` returns: GSM8K+Python as published (PAL)
    EXPRESSION = "expression"  # the value of the last line, as in a notebook
    PRINTED = "printed"  # the last line that it printed


ANY_FORM = (AnswerForm.SOLUTION, AnswerForm.VARIABLE, AnswerForm.EXPRESSION, AnswerForm.PRINTED)


@dataclass(frozen=True, kw_only=True)
class ProgramAnswer:
    """The answer as text for the grader (None: there is none) and what came of the program."""

    text: str | None
    result: Result


def run_for_answer(
    sandbox: Sandbox, program: str, forms: Sequence[AnswerForm] = ANY_FORM, *, limits: Limits | None = None
) -> ProgramAnswer:
    """Runs a program and takes its answer from the first form that it has; none unless it reached its end."""
    if AnswerForm.PRINTED in forms[:-1]:
        raise ValueError("the form 'printed' can only be the last: any program may print on its way")
    result = sandbox.run(program, limits=limits, forms=forms)
    text = result.value
    if text is None and result.outcome is Outcome.OK and AnswerForm.PRINTED in forms:
        lines = [line.strip() for line in result.output.splitlines() if line.strip()]
        text = lines[-1] if lines else None
    return ProgramAnswer(text=text, result=result)
