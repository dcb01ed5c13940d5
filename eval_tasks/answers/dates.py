"""Days of the calendar, in their spellings: a date is a name for a day, not a number."""

from __future__ import annotations

import re

from eval_tasks.answers import names
from eval_tasks.answers.values import Text

_MONTHS = names.words("january february march april may june july august september october november december")
_MONTH = "(?P<month>" + "|".join(f"{month[:3]}(?:{month[3:]})?" if month != "may" else month for month in _MONTHS) + ")"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,? (?P<year>\d{4}))?"
_WRITTEN = (
    re.compile(rf"{_MONTH}\.? {_DAY}{_YEAR}", re.IGNORECASE),
    re.compile(rf"(?:the )?{_DAY} (?:of )?{_MONTH}\.?{_YEAR}", re.IGNORECASE),
    re.compile(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"),
)
_SLASHES = re.compile(r"\d{1,2}/\d{1,2}/\d{4}")
_HINT = re.compile("|".join(month[:3] for month in _MONTHS) + r"|\d{4}-\d\d-\d|\d/\d{1,2}/\d{4}", re.IGNORECASE)
_WRAPPING = re.compile(r"\\(?:text|textbf|mathrm|textrm|mbox)\s*\{([^{}]*)\}")
_MAX_CHARS = 80


def read_date(text: str) -> Text | None:
    """The day that a text names, in one spelling; None where it names none. 5/3/2021 stays as it is written."""
    if len(text) > _MAX_CHARS or not _HINT.search(text):
        return None
    plain = " ".join(_WRAPPING.sub(r"\1", text).replace("~", " ").split())
    if _SLASHES.fullmatch(plain):
        return Text(plain)
    for pattern in _WRITTEN:
        match = pattern.fullmatch(plain)
        if match is None:
            continue
        month, day, year = match["month"], int(match["day"]), match["year"]
        number = (
            int(month) if month.isdigit() else next(k for k, m in enumerate(_MONTHS, 1) if m[:3] == month[:3].lower())
        )
        if 1 <= number <= 12 and 1 <= day <= 31:
            return Text(f"{_MONTHS[number - 1]} {day}" + (f" {year}" if year else ""))
    return None
