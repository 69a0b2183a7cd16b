"""Windows of a fixed size that overlap: no look at structure or meaning, but nothing is cut from what stands around it."""

import re
from collections.abc import Iterator, Sequence

from ingest.ports import TokenCounter
from ingest.strategies.atoms import Atom, Span, runs, space
from ingest.strategies.pages import PagedSplitter

OVERLAP = 32  # pieces, when none is asked for
_WORD = re.compile(r"\S+")


class FixedSplitter(PagedSplitter):
    """As many words as fit, then again from `overlap` word pieces before."""

    version = "fixed-1"

    def __init__(self, counter: TokenCounter, window: int = 256, target: int = 0, overlap: int = OVERLAP) -> None:
        """`overlap` counts word pieces; a chunk never shares more than half of itself with the next."""
        super().__init__(counter, window, target)
        self._overlap = overlap

    @property
    def fingerprint(self) -> str:
        return f"{self.version}/{self._window}/{self._target}/{self._overlap}"

    def _groups(self, text: str, page: Span, budget: int) -> Iterator[tuple[Atom, ...]]:
        spans = [(page[0] + word.start(), page[0] + word.end()) for word in _WORD.finditer(text[page[0] : page[1]])]
        words = self._scale.cut(text, self._scale.weigh(text, spans), max(1, budget // 4), (runs,))
        return sliding(words, budget, min(self._overlap, budget // 2))


def sliding(words: Sequence[Atom], budget: int, overlap: int) -> Iterator[tuple[Atom, ...]]:
    """Each window as full as the budget allows, and begun with the last words of the one before, up to the overlap."""
    first = 0
    while first < len(words):
        last, load = first, 0
        while last < len(words) and (load := load + _load(words, last, first)) <= budget:
            last += 1
        last = max(last, first + 1)  # a word that cannot be cut stands alone, whatever it weighs
        yield tuple(words[first:last])
        if last == len(words):
            return
        first = _back(words, first, last, overlap)


def _load(words: Sequence[Atom], number: int, first: int) -> int:
    return words[number].weight + (space(words[number - 1].end, words[number].start) if number > first else 0)


def _back(words: Sequence[Atom], first: int, last: int, overlap: int) -> int:
    """The earliest word from which no more than the overlap lies before `last`, and which the next window gets beyond."""
    found, load = last, 0
    while found - 1 > first and (load := load + _load(words, found - 1, -1)) <= overlap:
        found -= 1
    return found
