"""Sentence boundaries, by rule and without a model: good enough to quote by, and the same everywhere in the product."""

import re
from itertools import pairwise

# A full stop ends a sentence when white space and something that can begin one follow; an abbreviation, an initial or a
# number in front of it does not end one. Blank lines always end one; so do list items and CJK stops.
_STOP = re.compile(
    r"(?:[.!?…]+[\"'”’)\]]*)(?=\s+[\"'“‘(\[]*[A-Z0-9À-ÖØ-ÞА-Я`*_])|[。！？]+|\n[ \t]*\n+|\n(?=[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t])"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|etc|al|Fig|Figs|No|Nos|Vol|pp|cf|e\.g|i\.e|approx|Inc|Ltd|Co|Corp|Gen|Col|Lt|Sgt|Rev|Hon|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|U\.S|U\.K|a\.m|p\.m|Ph\.D))\.$"
)
_LIST_NUMBER = re.compile(r"(?:^|\n)[ \t]*\d{1,3}[.)]$")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Half-open spans of the sentences of `text`, in order, without the white space around them; together they hold
    every character that is not white space."""
    cuts = [0]
    for match in _STOP.finditer(text):
        if not _is_abbreviation(text, cuts[-1], match):
            cuts.append(match.end())
    cuts.append(len(text))
    spans = (_trim(text, start, end) for start, end in pairwise(cuts))
    return [(start, end) for start, end in spans if start < end]


def _is_abbreviation(text: str, since: int, match: re.Match[str]) -> bool:
    if not match.group().startswith("."):
        return False
    head = text[max(since, match.start() - 24) : match.start() + 1]
    return bool(_ABBREVIATION.search(head) or _LIST_NUMBER.search(head))


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
