"""Dates and years, however they are written, and whether a text says one of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from generation.verification.words import listed

_MONTHS = listed("january february march april may june july august september october november december")
_MONTH = "sept|" + "|".join(f"{name[:3]}(?:{name[3:]})?" if len(name) > 3 else name for name in _MONTHS)
_DAY = r"(?P<day{0}>[0-3]?\d)(?:st|nd|rd|th)?"
_YEAR = r"(?P<year{0}>1\d{{3}}|20\d{{2}})"
_DATE = re.compile(
    rf"\b(?P<iso>(?P<year0>[12]\d{{3}})-(?P<month0>[01]\d)(?:-(?P<day0>[0-3]\d))?)\b"
    rf"|\b(?:{_DAY.format(1)} (?:of )?)(?P<month1>{_MONTH})\.?(?:,? {_YEAR.format(1)})?\b"
    rf"|\b(?P<month2>{_MONTH})\.? {_DAY.format(2)}\b(?:,? {_YEAR.format(2)}\b)?"
    rf"|\b(?P<month3>{_MONTH})\.?,? {_YEAR.format(3)}\b"
    rf"|(?<![\w.,:/$€£-]){_YEAR.format(4)}(?:s\b)?(?![\w%]|[.,:]\d)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Date:
    """What is said of a date: the parts that are None are left open."""

    year: int | None
    month: int | None
    day: int | None
    start: int
    end: int


def dates(text: str) -> list[Date]:
    """All in order. Four digits that could be a year are taken for one."""
    return [_date(match) for match in _DATE.finditer(text) if not _is_verb(match)]


def parted(found: Sequence[Date]) -> list[Date]:
    """Year and day apart from each other, since a text may say one of them long before the other."""
    years = [replace(date, month=None, day=None) for date in found if date.year is not None]
    days = [replace(date, year=None) for date in found if date.month is not None]
    return [*years, *days]


def carried(claimed: Date, said: Sequence[Date]) -> bool:
    """Whether another date says all that this one says."""
    return any(
        all(mine is None or mine == theirs for mine, theirs in zip(_parts(claimed), _parts(other), strict=True))
        for other in said
    )


def _date(match: re.Match[str]) -> Date:
    found = {name: value for name, value in match.groupdict().items() if value}
    part = {name[:-1]: value for name, value in found.items() if name != "iso"}
    month = part.get("month")
    return Date(
        int(part["year"]) if "year" in part else None,
        None if month is None else int(month) if month.isdigit() else _number(month),
        int(part["day"]) if "day" in part else None,
        match.start(),
        match.end(),
    )


def _is_verb(match: re.Match[str]) -> bool:
    return "may" in (match["month1"], match["month2"], match["month3"])


def _number(month: str) -> int:
    return next(n for n, name in enumerate(_MONTHS, start=1) if name.startswith(month[:3].casefold()))


def _parts(date: Date) -> tuple[int | None, int | None, int | None]:
    return date.year, date.month, date.day
