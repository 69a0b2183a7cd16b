"""Which kept questions are near one: the vectors of each space in memory, as many as there is room for."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_BEST = 8  # whoever passes the guard is nearly always the very first


@dataclass(slots=True)
class _Space:
    numbers: NDArray[np.int64]
    matrix: Floats


class Nearest:
    """Holds at most `most` vectors over all spaces; the spaces that were asked longest ago are forgotten first, and read
    again from the store when they are asked for."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._spaces: OrderedDict[str, _Space] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(space.numbers) for space in self._spaces.values())

    def last(self, space: str) -> int:
        """Number of the newest entry that is known of the space, 0 for none."""
        found = self._spaces.get(space)
        return int(found.numbers[-1]) if found is not None and len(found.numbers) else 0

    def add(self, space: str, rows: Sequence[tuple[int, bytes]]) -> None:
        """More of its entries, in order. A vector of another length is none of this space's embedder."""
        known = self._spaces.get(space)
        vectors = [np.frombuffer(raw, dtype="<f4") for _, raw in rows if len(raw) and len(raw) % 4 == 0]
        width = known.matrix.shape[1] if known is not None else len(vectors[0]) if vectors else 0
        fit = [(number, raw) for number, raw in rows if len(raw) == 4 * width and width]
        if not fit:
            return
        numbers = np.array([number for number, _ in fit], dtype=np.int64)
        matrix = np.frombuffer(b"".join(raw for _, raw in fit), dtype="<f4").reshape(-1, width).astype(np.float32)
        if known is not None:
            numbers, matrix = np.concatenate([known.numbers, numbers]), np.concatenate([known.matrix, matrix])
        self._spaces[space] = _Space(numbers[-self.most :], matrix[-self.most :])
        self._spaces.move_to_end(space)
        while len(self) > self.most:
            self._spaces.popitem(last=False)

    def find(self, space: str, vector: Floats, least: float) -> list[int]:
        """Numbers of those whose cosine with the vector is not less, the nearest first. Vectors are of unit length."""
        found = self._spaces.get(space)
        if found is None or found.matrix.shape[1] != len(vector):
            return []
        self._spaces.move_to_end(space)
        scores = found.matrix @ vector
        best = np.argsort(-scores)[:_BEST]
        return [int(found.numbers[at]) for at in best if scores[at] >= least]

    def drop(self, space: str, number: int) -> None:
        """It is no longer kept."""
        found = self._spaces.get(space)
        if found is not None:
            left = found.numbers != number
            self._spaces[space] = _Space(found.numbers[left], found.matrix[left])
