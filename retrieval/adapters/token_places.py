"""Where the tokens of texts stand, remembered: the same passages are held against one sentence after the other of an answer,
and against one question after the other, and to read a passage into tokens takes longer than to match it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]
_MOST_TOKENS = 2**20  # 4 MB of places, and about as much of texts


@dataclass(frozen=True, slots=True)
class TokenPlaces:
    """`count` tokens, the special ones at both ends included; `begins` has where each of the others begins."""

    count: int
    begins: NDArray[np.int32]


class KnownPlaces:
    """Places by text; of too many, those go first that were not asked for longest. May be used by several threads."""

    def __init__(
        self, read: Callable[[Sequence[str]], Sequence[Sequence[Span]]], most_tokens: int = _MOST_TOKENS
    ) -> None:
        """`read` gives the half-open spans of each text's tokens, (0, 0) for the special ones at both ends."""
        self._read = read
        self._most = most_tokens
        self._known: dict[str, TokenPlaces] = {}
        self._tokens = 0
        self._lock = Lock()

    def of(self, texts: Sequence[str]) -> list[TokenPlaces]:
        """In order. Raises what `read` raises."""
        with self._lock:
            found = {text: places for text in texts if (places := self._known.get(text)) is not None}
        if new := list(dict.fromkeys(text for text in texts if text not in found)):
            found |= zip(new, map(_places, self._read(new)), strict=True)
        with self._lock:
            for text, places in found.items():
                self._keep(text, places)
        return [found[text] for text in texts]

    def _keep(self, text: str, places: TokenPlaces) -> None:
        """As the newest."""
        if self._known.pop(text, None) is None:
            self._tokens += places.count
        self._known[text] = places
        while self._tokens > self._most:
            oldest = next(iter(self._known))
            self._tokens -= self._known.pop(oldest).count


def _places(spans: Sequence[Span]) -> TokenPlaces:
    return TokenPlaces(len(spans), np.array([begin for begin, _ in spans[1:-1]], dtype=np.int32))
