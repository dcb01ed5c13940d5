"""What scores of a sample of problems say of all problems: intervals, pass@k, the spread over seeds, paired tests."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

Z_95 = 1.959963984540054  # 97.5th percentile of the standard normal distribution
NUM_RESAMPLES = 4_000  # chosen by us: the ends of an interval then move by about 2 % of its width


def wilson_interval(num_right: int, num_all: int, z: float = Z_95) -> tuple[float, float]:
    """Lower and upper end of the Wilson score interval of `num_right` successes in `num_all` trials.

    Unlike the normal interval it stays inside [0, 1] and does not shrink to a point at 0 or all right.
    With no trials at all nothing is known: (0, 1). Source: E. B. Wilson, JASA 22 (1927), 209-212.
    """
    if not 0 <= num_right <= num_all:
        raise ValueError(f"num_right must lie between 0 and num_all ({num_all}), got {num_right}")
    if num_all == 0:
        return (0.0, 1.0)
    share = num_right / num_all
    scale = 1 + z * z / num_all
    centre = (share + z * z / (2 * num_all)) / scale
    half = z * math.sqrt(share * (1 - share) / num_all + z * z / (4 * num_all * num_all)) / scale
    # At 0 or all right one end is exactly 0 or 1; rounding must not carry it past the share itself.
    low = 0.0 if num_right == 0 else max(0.0, centre - half)
    high = 1.0 if num_right == num_all else min(1.0, centre + half)
    return (low, high)


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Percentile interval (95 %) of the mean of `values`, one a problem, by resampling problems.

    Works for values other than 0 and 1 (pass@k, differences), where Wilson's does not. Always the same for the same
    values. Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    if not values:
        raise ValueError("there are no values to resample")
    means = _resampled_means(np.asarray(values, dtype=float), seed)
    low, high = np.quantile(means, [0.025, 0.975])
    return (float(low), float(high))


def pass_at_k(num_samples: int, num_right: int, k: int) -> float:
    """Unbiased estimate of the chance that one of k samples is right, from n samples of which c are.

    1 - C(n - c, k) / C(n, k). Source: Chen et al. 2021 (arXiv 2107.03374), section 2.1.
    """
    if not 0 <= num_right <= num_samples or not 1 <= k <= num_samples:
        raise ValueError(f"wanted 0 <= right <= samples and 1 <= k <= samples, got {num_right}, {num_samples}, {k}")
    return 1.0 - math.comb(num_samples - num_right, k) / math.comb(num_samples, k)


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1 below the line; 0 for a single value)."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Two models on the same n problems: the difference of their shares (first minus second) and how sure it is.

    p_value is that of the exact, two-sided McNemar test: the chance of so unequal a split of the problems that one
    alone got right, were both models equally good.
    """

    n: int
    difference: float
    bootstrap95: tuple[float, float]
    only_first: int
    only_second: int
    p_value: float


def compare_paired(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Compares two models by their right answers on the same problems in the same order."""
    if len(first) != len(second) or not first:
        raise ValueError(f"wanted the same number of problems for both, got {len(first)} and {len(second)}")
    only_first = sum(one and not other for one, other in zip(first, second, strict=True))
    only_second = sum(other and not one for one, other in zip(first, second, strict=True))
    differences = [float(one) - float(other) for one, other in zip(first, second, strict=True)]
    return Paired(
        n=len(first),
        difference=statistics.fmean(differences),
        bootstrap95=bootstrap_interval(differences),
        only_first=only_first,
        only_second=only_second,
        p_value=_sign_test(only_first, only_second),
    )


def _sign_test(wins: int, losses: int) -> float:
    n, fewer = wins + losses, min(wins, losses)
    tail = sum(math.comb(n, i) for i in range(fewer + 1))
    return float(min(Fraction(1), Fraction(2 * tail, 2**n)))  # beyond 1,024 problems 2**n is no float


def _resampled_means(values: np.ndarray, seed: int) -> np.ndarray:
    """Means of NUM_RESAMPLES samples with replacement, shape (NUM_RESAMPLES,)."""
    random = np.random.default_rng(seed)
    # Problems of equal value are interchangeable: counts of each value are drawn at once, however many problems.
    distinct, counts = np.unique(values, return_counts=True)
    draws = random.multinomial(len(values), counts / len(values), size=NUM_RESAMPLES)
    means: np.ndarray = draws @ distinct / len(values)
    return means
