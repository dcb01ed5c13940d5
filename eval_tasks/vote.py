"""Majority voting (maj@k) over the answers of k sampled completions.

The rules, each of which the older harness leaves open or breaks on:

- A completion without an answer is never elected, but stays in k: votes are never a share of the valid ones.
- An answer joins the first class whose first member it equals, and equality is the grader's.
- The class with the most votes is elected. Of classes with equally many votes the one that was opened first
  (whose first member has the smallest sample number) is elected.
- Where no completion has an answer nothing is elected: the vote is None, which scores as NO_ANSWER.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Vote:
    """The outcome of one vote: what was elected, by how many of k samples, of which so many had an answer."""

    answer: str | None
    num_votes: int
    num_valid: int
    k: int


def majority_vote(answers: Sequence[str | None], is_equal: Callable[[str, str], bool]) -> Vote:
    """The answer that most of the k samples agree on; None stands for a sample without an answer.

    `is_equal(first_of_class, answer)` is asked once for each pair of different strings at most.
    """
    votes: dict[str, int] = {}  # first member of a class -> its votes, in order of opening
    class_of: dict[str, str] = {}
    for answer in answers:
        if answer is None:
            continue
        if answer not in class_of:
            class_of[answer] = next((first for first in votes if is_equal(first, answer)), answer)
        first = class_of[answer]
        votes[first] = votes.get(first, 0) + 1
    num_valid = sum(votes.values())
    if not votes:
        return Vote(answer=None, num_votes=0, num_valid=0, k=len(answers))
    elected = max(votes, key=lambda first: votes[first])  # max takes the first of equals: the class opened first
    return Vote(answer=elected, num_votes=votes[elected], num_valid=num_valid, k=len(answers))
