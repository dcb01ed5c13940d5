"""Runs programs that a model wrote, shut in.

    with Sandbox() as sandbox:
        run_for_answer(sandbox, "from sympy import *\\nanswer = sqrt(8)").text        # 2 \\sqrt{2}

What holds: a program reads the Python installation and nothing else, has no network, starts no other program, reaches
no other process, and leaves nothing behind; its time, memory, output and files are bounded; the next program meets the
packages as they were.  `backends` says which layers do this, `Sandbox.layers` which are at work here.
What does not: a fault in the kernel itself (the list of system calls keeps most of it out of reach); the time that a
program takes from others while it runs; and what a program says of itself.  Its answer is its own word.  It cannot
change the outcome of another, but one that searches our own frames in its memory for the key of its report can claim
to have reached its end.  Under `landlock` a program can ask whether a path exists and who owns it.
"""

from __future__ import annotations

from eval_tasks.sandbox.programs import ANY_FORM, AnswerForm, ProgramAnswer, run_for_answer
from eval_tasks.sandbox.results import Limits, Outcome, Result
from eval_tasks.sandbox.sandbox import Sandbox

__all__ = [
    "ANY_FORM",
    "AnswerForm",
    "Limits",
    "Outcome",
    "ProgramAnswer",
    "Result",
    "Sandbox",
    "run_for_answer",
]
