"""Questions for a date, and the dates that a text tells. Pure.

A question for a date is told by English words, a date by its form: a year, a month, a century. Of the kinds of
answer that a question may expect, only this one is worth looking for by form: nearly every sentence has some name or number.
"""

import re

_UNIT = r"(?:years?|dates?|months?|days?|decades?|century|centuries)"
# Of the past: "when is a passage dropped" asks for a condition, "when do the ducks march" for an hour at most.
_ASKED = re.compile(
    r"\bwhen (?:did|was|were|has|have|had)\b"
    rf"|\b(?:what|which) (?:\w{{1,40}} ){{0,2}}{_UNIT}\b|\bsince when\b",
    re.IGNORECASE,
)
_MONTH = (
    "(?:January|February|March|April|May|June|July|August|September|October|November|December"
    "|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)"
)
_DATE = re.compile(
    r"\b(?:1\d{3}|20\d{2})s?\b"
    r"|\b\d{1,4}\s(?:BCE?|AD|CE)\b"
    rf"|\b{_MONTH}\b\.?(?=\s\d)|(?<=\d\s)\b{_MONTH}\b|(?<=\bin\s){_MONTH}\b"
    r"|\b(?i:century|centuries)\b"
)


def asks_for_date(question: str) -> bool:
    """Whether a question, in English, is answered by a date or a year."""
    return _ASKED.search(question) is not None


def tells_date(text: str, question: str) -> bool:
    """Whether a text tells a date that the question does not say itself."""
    said = set(_dates(question))
    return any(date not in said for date in _dates(text))


def _dates(text: str) -> list[str]:
    return [match.group().casefold() for match in _DATE.finditer(text)]
