"""Median and spread of the last finite values of a series, which one wild value cannot move."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable

# The median absolute deviation of a normal distribution is 1 / 1.4826 of its standard deviation.
_MAD_TO_SIGMA = 1.4826


class RobustWindow:
    """The last `size` finite values of a series; a NaN or an infinity that is added is left out."""

    def __init__(self, size: int, values: Iterable[float] = ()) -> None:
        self._values: deque[float] = deque(maxlen=size)
        for value in values:
            self.add(value)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: float) -> None:
        """Takes in one value if it is finite."""
        if math.isfinite(value):
            self._values.append(value)

    def median(self) -> float:
        """The middle value. Raises ValueError where the window is empty."""
        return statistics.median(self._values)

    def sigma(self) -> float:
        """The standard deviation that a normal series of the same median absolute deviation would have."""
        middle = self.median()
        return _MAD_TO_SIGMA * statistics.median(abs(value - middle) for value in self._values)

    def values(self) -> list[float]:
        """The values, oldest first: what a checkpoint keeps."""
        return list(self._values)
