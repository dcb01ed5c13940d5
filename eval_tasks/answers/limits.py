"""Bounds on what the grader will look at, and the exceptions by which a bound or an unreadable text is told.

All numbers here are chosen by us: far above any honest answer, far below what could hurt.
"""

from __future__ import annotations

MAX_CHARS = 12_000  # characters of an answer
MAX_COMPLETION_CHARS = 400_000  # characters of a completion that `extract` looks at, from its end
MAX_TOKENS = 12_000
MAX_DIGITS = 1_000  # digits of one numeral (Python refuses above 4,300)
MAX_DEPTH = 40  # nesting of brackets, fractions, roots and powers
MAX_BITS = 60_000  # bits of an exact integer
MAX_BITS_WRITTEN = 12_000  # bits of a number that is written out in digits
MAX_TERMS = 1_500  # terms of an exact polynomial
MAX_STEPS = 60_000  # elementary steps of one comparison
MAX_ITEMS = 400  # members of a list, set or tuple; entries of a matrix
MAX_LIST_TO_MATCH = 60  # members of an unordered list
MAX_UNROLLED = 2_000  # terms of a finite sum or product
MAX_PLUS_MINUS = 3
WORKER_SECONDS = 0.5
WORKER_BYTES = 1_000_000_000  # address space of the worker that holds SymPy


class UnreadableError(Exception):
    """The text is not an answer that we can read whole."""


class TooLargeError(Exception):
    """A value or a computation is beyond the bounds above."""


class UndefinedError(Exception):
    """The expression has no value: a division by zero, the logarithm of zero."""


class UnsupportedError(Exception):
    """Neither exact arithmetic nor numeric evaluation can settle this; SymPy may."""


class OutOfTimeError(Exception):
    """The worker did not answer in time."""


class Budget:
    """Steps left for one comparison; `spend` raises TooLargeError when they are gone."""

    __slots__ = ("steps",)

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.steps = steps

    def spend(self, steps: int = 1) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise TooLargeError("the comparison takes too many steps")
