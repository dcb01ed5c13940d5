"""What counts as the same answer: named policies, and the options that they are made of.

`standard` accepts every spelling of the same value, and the conventions that the well-known graders share; it is the
same for gold and prediction but for the decimal comma. `strict` wants the kind of answer that the gold is, `lenient`
accepts more. `minerva` is the published metric of Minerva and Llemma, and `hendrycks` that of MATH, each with its
known faults, for comparison with published figures (see published.py).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Options for conventions on which reasonable graders differ. Defaults are those of `standard`."""

    name: str = "standard"
    metric: str = "values"  # 'values' (typed values), 'minerva' or 'hendrycks' (published metrics)
    unit_dropped: bool = True  # 5 cm = 5
    units_converted: bool = True  # 1 m = 100 cm
    percent_dropped: bool = True  # 50% = 50
    percent_as_decimal: bool = True  # 50% = 0.5
    degrees_as_radians: bool = True  # 180 degrees = pi
    name_dropped: bool = True  # x = 5 is 5; y = 2x is 2x; x in [0,1] is [0,1]
    name_changed: bool = True  # x = 5 is z = 5
    list_ordered: bool = False  # 1, 2 differs from 2, 1
    list_as_set: bool = True  # 1, 2 is {1, 2}
    list_as_tuple: bool = True  # 1, 2 is (1, 2)
    tuple_as_vector: bool = True  # (1, 2) is the column vector
    interval_as_inequality: bool = True  # [1, 2) is 1 <= x < 2
    base_dropped: bool = True  # 52_8 is 52
    case_folded: bool = True  # Circle is circle, d is choice D
    decimal_comma: bool = True  # 5,25 is 5.25 where the gold is a decimal
    ratio_as_quotient: bool = True  # 3:2 is 3/2
    unreduced: bool = True  # 4/6 is 2/3; else a fraction of whole numbers must be in lowest terms
    rounded_digits: int = 10  # a decimal with so many significant digits may be rounded or cut off; 0: never
    tolerance: float = 0.0  # relative tolerance for numbers; 0: none


STANDARD = Policy()
STRICT = Policy(
    name="strict",
    unit_dropped=False,
    percent_dropped=False,
    percent_as_decimal=False,
    degrees_as_radians=False,
    name_changed=False,
    list_ordered=True,
    list_as_set=False,
    list_as_tuple=False,
    tuple_as_vector=False,
    interval_as_inequality=False,
    base_dropped=False,
    case_folded=False,
    decimal_comma=False,
    ratio_as_quotient=False,
    unreduced=False,
    rounded_digits=0,
)
LENIENT = Policy(name="lenient", rounded_digits=3)
MINERVA = Policy(name="minerva", metric="minerva")
HENDRYCKS = Policy(name="hendrycks", metric="hendrycks")
POLICIES: dict[str, Policy] = {p.name: p for p in (STANDARD, STRICT, LENIENT, MINERVA, HENDRYCKS)}
OPTIONS = tuple(field.name for field in fields(Policy) if field.name not in ("name", "metric"))


def policy_named(policy: str | Policy, **options: bool | int | float) -> Policy:
    """The policy of a name with some options changed. Raises ValueError for an unknown name or option."""
    if isinstance(policy, str):
        if policy not in POLICIES:
            raise ValueError(f"unknown policy {policy!r}; known are {', '.join(POLICIES)}")
        policy = POLICIES[policy]
    for option in options:
        if option not in OPTIONS:
            raise ValueError(f"unknown option {option!r}; known are {', '.join(OPTIONS)}")
    return replace(policy, **options) if options else policy  # type: ignore[arg-type]
