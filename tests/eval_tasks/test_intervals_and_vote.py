"""Intervals, pass@k and the paired test against their definitions, and the rules of the vote."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest

from eval_tasks.intervals import Z_95, bootstrap_interval, compare_paired, mean_and_sd, pass_at_k, wilson_interval
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


def test_pass_at_k_is_the_share_of_all_draws_of_k_that_hold_a_right_sample() -> None:
    for n, right in ((4, 0), (4, 1), (5, 2), (6, 6), (7, 3)):
        for k in range(1, n + 1):
            draws = list(itertools.combinations([True] * right + [False] * (n - right), k))
            assert math.isclose(pass_at_k(n, right, k), sum(map(any, draws)) / len(draws), abs_tol=1e-15)
    assert pass_at_k(256, 1, 128) == 0.5
    with pytest.raises(ValueError, match="1 <= k"):
        pass_at_k(4, 1, 5)


def test_bootstrap_interval_comes_near_wilsons_and_repeats_itself() -> None:
    values = [1.0] * 300 + [0.0] * 700
    low, high = bootstrap_interval(values)
    wilson = wilson_interval(300, 1000)
    assert abs(low - wilson[0]) < 0.004 and abs(high - wilson[1]) < 0.004
    assert bootstrap_interval(values) == (low, high) == bootstrap_interval(values[::-1])
    assert bootstrap_interval([0.25] * 9) == (0.25, 0.25)
    # The standard error of the mean of values other than 0 and 1 is their s.d. over the root of n.
    spread = [0.0, 0.5, 1.0] * 300
    low, high = bootstrap_interval(spread)
    assert math.isclose(high - low, 2 * Z_95 * mean_and_sd(spread)[1] / math.sqrt(900), rel_tol=0.06)


def test_paired_comparison_counts_the_problems_that_one_alone_got_right() -> None:
    first = [True] * 9 + [False] * 2 + [True] * 50 + [False] * 39
    second = [False] * 9 + [True] * 2 + [True] * 50 + [False] * 39
    paired = compare_paired(first, second)
    assert (paired.n, paired.only_first, paired.only_second) == (100, 9, 2)
    assert math.isclose(paired.difference, 0.07)
    ways = sum(math.comb(11, wins) for wins in (0, 1, 2, 9, 10, 11))
    assert math.isclose(paired.p_value, float(Fraction(ways, 2**11)), rel_tol=1e-12)
    assert paired.bootstrap95[0] < 0.07 < paired.bootstrap95[1]
    assert compare_paired(first, first).p_value == 1.0
    assert 0 < compare_paired([True] * 3000, [False] * 1000 + [True] * 2000).p_value < 1e-300
    with pytest.raises(ValueError, match="same number"):
        compare_paired([True], [])


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
    vote, verdict = vote_of("builtin", "7", [None, None])
    assert (vote.k, vote.num_valid, verdict.outcome) == (2, 0, "NO_ANSWER")


def test_vote_through_the_grader_joins_different_spellings_of_a_value() -> None:
    vote, verdict = vote_of("builtin", r"\frac{1}{2}", ["3", "0.5", r"\frac{2}{4}", "3", "1/2"])
    assert (vote.answer, vote.num_votes, verdict.outcome) == ("0.5", 3, "EQUAL")


def test_vote_asks_for_each_pair_of_texts_once_at_most() -> None:
    asked: list[tuple[str, str]] = []

    def counted(first: str, other: str) -> bool:
        asked.append((first, other))
        return False

    majority_vote(["a", "b", "a", "b", "c", "c", "a"] * 20, counted)
    assert sorted(asked) == [("a", "b"), ("a", "c"), ("b", "c")]
