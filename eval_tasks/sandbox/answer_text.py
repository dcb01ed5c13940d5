"""The text of a value that a program found, as the grader reads it."""

from __future__ import annotations

import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any


def answer_text(value: Any) -> str | None:
    """The value as plain text or LaTeX, None for None.  Nothing is rounded and nothing is cut to an integer.

    A list, tuple, set or array of one element is its element (`solve` gives lists), a dictionary reads "x = 1, y = 2".
    """
    if value is None:
        return None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, (bool, int, float, Fraction, Decimal)):
        return str(value)
    numpy, sympy = sys.modules.get("numpy"), sys.modules.get("sympy")
    if numpy is not None and isinstance(value, numpy.generic):
        return answer_text(value.item())
    if numpy is not None and isinstance(value, numpy.ndarray):
        if value.ndim < 2 or sympy is None:
            return answer_text(value.tolist())
        return answer_text(sympy.Matrix(value.tolist()))
    if isinstance(value, dict):
        return ", ".join(f"{answer_text(name)} = {answer_text(item)}" for name, item in value.items()) or None
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [answer_text(item) or "None" for item in value]
        if len(items) < 2:
            return items[0] if items else None
        left, right = {list: ("[", "]"), tuple: ("(", ")")}.get(type(value), (r"\{", r"\}"))
        return left + ", ".join(items) + right
    if sympy is not None and (isinstance(value, (sympy.Basic, sympy.MatrixBase, complex))):
        return str(sympy.latex(sympy.sympify(value)))
    return str(value).strip() or None
