"""Token ids of passages that were counted when they were cut, kept until they are embedded: to read a text into tokens costs
about a fiftieth of embedding it, and an ingest would do so once more for every chunk."""

from collections.abc import Iterable
from threading import Lock

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

_MOST_PIECES = 2**19  # a few groups of chunks; 4 MB of ids, and about as much of texts


class KeptTokens:
    """Ids by text; of too many, those that were kept first go. What is not found is read again, so nothing depends on it.
    May be used by several threads."""

    def __init__(self, most_pieces: int = _MOST_PIECES) -> None:
        self._most = most_pieces
        self._rows: dict[str, Ids] = {}
        self._pieces = 0
        self._lock = Lock()

    def keep(self, rows: Iterable[tuple[str, Ids]]) -> None:
        """Ids of texts that will be asked for soon."""
        with self._lock:
            for text, ids in rows:
                self._forget(text)
                self._rows[text] = ids
                self._pieces += len(ids)
            while self._pieces > self._most:
                self._forget(next(iter(self._rows)))

    def take(self, texts: Iterable[str]) -> dict[str, Ids]:
        """Of those that are kept; they are not kept any longer."""
        with self._lock:
            return {text: ids for text in texts if (ids := self._forget(text)) is not None}

    def _forget(self, text: str) -> Ids | None:
        if (ids := self._rows.pop(text, None)) is not None:
            self._pieces -= len(ids)
        return ids
