"""What finders have in common: the first thing of a kind at or behind a place.

A finder must judge every place by itself: what it finds there may depend on the BEHIND bytes before and the AHEAD bytes
behind, and on nothing else. Only so is the result the same wherever a stream was cut.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from generation.filters.shadow import compiled

AHEAD = 400  # no thing that is found is longer


@dataclass(frozen=True, slots=True)
class Found:
    """A thing in a text, half open. The match begins at `begin`: what stands between that and `start` only told what the
    thing is. Where `rest` is set, the thing goes on behind `end`: as far as `rest` says."""

    kind: str
    begin: int
    start: int
    end: int
    rest: str = ""


class Finder(Protocol):
    """Finds things of one sort, or some that look alike."""

    def first(self, text: bytes, start: int) -> Found | None:
        """The first whose match begins at `start` or behind it."""
        ...


class ByPattern:
    """Finds what a pattern matches, or its first group where it has one."""

    def __init__(
        self,
        kind: str,
        pattern: str,
        check: Callable[[bytes, int, int], bool] | None = None,
        *,
        any_case: bool = False,
        rest: str = "",
    ) -> None:
        """`check` gets the text and the place of the thing, and says whether it is one."""
        self.pattern: Any = compiled(pattern, any_case=any_case)
        self._kind = kind
        self._check = check
        self._group = 1 if self.pattern.groups else 0
        self._rest = rest

    def first(self, text: bytes, start: int) -> Found | None:
        while (match := self.pattern.search(text, start)) is not None:
            at, end = match.span(self._group)
            if self._check is None or self._check(text, at, end):
                return Found(self._kind, match.start(), at, end, self._rest)
            start = match.start() + 1
        return None


def in_order(finders: Sequence[Finder], text: bytes, start: int) -> Iterator[Found]:
    """From left to right without overlap; of several that begin at one place the longest."""
    heads: list[Found | None] = [finder.first(text, start) for finder in finders]
    while True:
        ahead = [found for found in heads if found is not None]
        if not ahead:
            return
        chosen = min(ahead, key=lambda found: (found.begin, -found.end))
        yield chosen
        for nth, found in enumerate(heads):
            if found is not None and found.begin < chosen.end:
                heads[nth] = finders[nth].first(text, chosen.end)
