"""Of two versions of one rule the newer counts. Pure.

Two passages are versions of one rule when they are of different documents, say the same but for numbers, dates and names,
and do differ in these; when the documents are called the same but for numbers ("Terms 2023", "Terms 2024"); and when the
documents' dates are a day or more apart, since files that were copied together tell nothing by their times. The older one
still counts when the question names something that the newer one does not say, such as its year.
"""

import re
from collections.abc import Sequence
from datetime import timedelta

from retrieval.model import LeftOut, Passage
from retrieval.shingles import overlap, shingles

_APART = timedelta(days=1)
_TOKEN = re.compile(r"\w+(?:[.,:/’'-]\w+)*|[%$€£¥]")
_WORD = re.compile(r"[^\W_]+")
_OPENS = re.compile(r"(?:^|[.?!:;\n|•*#>-])\W*$")
_MASK = "\0"
_SAID = frozenset(
    _WORD.findall(
        "january february march april may june july august september october november december jan feb mar apr jun jul aug sep "
        "sept oct nov dec monday tuesday wednesday thursday friday saturday sunday zero one two three four five six seven eight "
        "nine ten eleven twelve fifteen twenty thirty forty fifty sixty ninety hundred thousand million billion half first "
        "second third fourth"
    )
)


def latest(passages: Sequence[Passage], near_duplicate: float, asked: str = "") -> tuple[list[Passage], list[LeftOut]]:
    """The passages without those that a newer version replaces; the newer one stands where the better of both stood."""
    kept: list[Passage] = []
    left_out: list[LeftOut] = []
    for passage in passages:
        at = next((i for i, other in enumerate(kept) if are_versions(passage, other, near_duplicate)), None)
        if at is None:
            kept.append(passage)
            continue
        older, newer = sorted((passage, kept[at]), key=lambda one: one.modified_at)
        if _asked_for(older, newer, asked):
            kept.append(passage)
        else:
            kept[at] = newer
            left_out.append(LeftOut(older, "superseded"))
    return kept, left_out


def are_versions(one: Passage, other: Passage, near_duplicate: float) -> bool:
    """Whether these say the same of different times. What is cheap to ask is asked first."""
    if one.document_id == other.document_id or abs(one.modified_at - other.modified_at) < _APART:
        return False
    if not _called(one.title) or _called(one.title) != _called(other.title):
        return False
    (said, values), (also, others) = masked(one.text), masked(other.text)
    return values != others and overlap(shingles(said), shingles(also)) >= near_duplicate


def masked(text: str) -> tuple[str, tuple[str, ...]]:
    """The text with each run of numbers, dates and names as one mark, and what stood there."""
    words: list[str] = []
    values: list[str] = []
    end = 0
    for match in _TOKEN.finditer(text):
        word, end_before = match.group(), end
        end = match.end()
        opens = _OPENS.search(text, max(0, end_before - 1), match.start()) is not None
        if _is_value(word, opens=opens):
            values.append(word.casefold())
            word = _MASK
        if word != _MASK or words[-1:] != [_MASK]:
            words.append(word.casefold())
    return " ".join(words).replace(_MASK, "_"), tuple(values)


def _is_value(word: str, *, opens: bool) -> bool:
    if any(char.isdigit() for char in word) or not word[0].isalpha() or word.casefold() in _SAID:
        return True
    return word[0].isupper() and not opens


def _called(title: str) -> tuple[str, ...]:
    """A title without numbers, months and single letters; titles of nothing else name no document."""
    words = (word.casefold() for word in _WORD.findall(title))
    return tuple(w for w in words if len(w) > 1 and w not in _SAID and not any(char.isdigit() for char in w))


def _asked_for(older: Passage, newer: Passage, asked: str) -> bool:
    """Whether the question has a number, date or name that the older one has and the newer one lacks."""
    wanted = _values(asked) & _words(older)
    return not wanted <= _words(newer)


def _values(question: str) -> frozenset[str]:
    tokens = _WORD.findall(question)
    return frozenset(w.casefold() for w in tokens if _is_value(w, opens=False))


def _words(passage: Passage) -> frozenset[str]:
    text = "\n".join((passage.name, passage.title, *passage.heading_path, passage.text))
    return frozenset(word.casefold() for word in _WORD.findall(text))
