"""Confidence intervals of a share of right answers."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054  # 97.5th percentile of the standard normal distribution


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
