"""Wilson intervals against their definition, and the rules of the vote."""

from __future__ import annotations

import math

import pytest

from eval_tasks.intervals import Z_95, wilson_interval
from eval_tasks.scoring import vote_of
from eval_tasks.vote import majority_vote


@pytest.mark.parametrize(("right", "n"), [(1, 10), (5, 10), (9, 10), (37, 60), (1250, 5000)])
def test_wilson_ends_are_where_the_score_test_just_rejects(right: int, n: int) -> None:
    """Each end p solves |share - p| = z * sqrt(p (1 - p) / n), which is how Wilson defines the interval."""
    for end in wilson_interval(right, n):
        assert math.isclose(abs(right / n - end), Z_95 * math.sqrt(end * (1 - end) / n), rel_tol=1e-12)


def test_wilson_interval_of_none_or_all_right_ends_exactly_at_the_share() -> None:
    assert wilson_interval(0, 60)[0] == 0 and 0.05 < wilson_interval(0, 60)[1] < 0.07
    assert wilson_interval(60, 60)[1] == 1
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="num_right"):
        wilson_interval(3, 2)


def _same(a: str, b: str) -> bool:
    return a.strip() == b.strip()


def test_vote_joins_equal_answers_and_elects_the_largest_class() -> None:
    vote = majority_vote(["2", "1 ", "1", " 1", "2"], _same)
    assert (vote.answer, vote.num_votes, vote.num_valid, vote.k) == ("1 ", 3, 5, 5)


def test_vote_with_a_tie_elects_the_class_that_was_opened_first() -> None:
    assert majority_vote(["b", "a", "a", "b"], _same).answer == "b"
    assert majority_vote([None, "a", "b"], _same).answer == "a"


def test_vote_never_elects_a_missing_answer_but_counts_it_in_k() -> None:
    vote = majority_vote([None, None, None, "7"], _same)
    assert (vote.answer, vote.num_votes, vote.num_valid, vote.k) == ("7", 1, 1, 4)


def test_vote_without_any_answer_elects_nothing() -> None:
    """The harness that published maj@k broke here: it took the first of an empty list of votes."""
    assert majority_vote([None, None], _same).answer is None
    vote, verdict = vote_of("7", [None, None])
    assert (vote.k, vote.num_valid, verdict.outcome) == (2, 0, "NO_ANSWER")


def test_vote_through_the_grader_joins_different_spellings_of_a_value() -> None:
    vote, verdict = vote_of(r"\frac{1}{2}", ["3", "0.5", r"\frac{2}{4}", "3", "1/2"])
    assert (vote.answer, vote.num_votes, verdict.outcome) == ("0.5", 3, "EQUAL")


def test_vote_asks_for_each_pair_of_texts_once_at_most() -> None:
    asked: list[tuple[str, str]] = []

    def counted(first: str, other: str) -> bool:
        asked.append((first, other))
        return False

    majority_vote(["a", "b", "a", "b", "c", "c", "a"] * 20, counted)
    assert sorted(asked) == [("a", "b"), ("a", "c"), ("b", "c")]
