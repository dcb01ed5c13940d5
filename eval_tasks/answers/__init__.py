"""The grader: whether an answer equals the gold answer, and how to find the answer in a completion.

`judge(gold, prediction)` compares two bare answers; `extract(completion)` finds the answer in a completion.
"""

from __future__ import annotations

from eval_tasks.answers.extract import STYLES, extract
from eval_tasks.answers.judge import Judgement, Outcome, judge, judge_many
from eval_tasks.answers.policies import POLICIES, Policy

__all__ = ["POLICIES", "STYLES", "Judgement", "Outcome", "Policy", "extract", "judge", "judge_many"]
