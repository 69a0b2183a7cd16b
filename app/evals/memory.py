"""Memory of this process and of those it started, watched while they work."""

import threading
from dataclasses import dataclass
from typing import Self

import psutil

_EVERY = 0.1  # seconds between two looks


@dataclass(slots=True)
class Peak:
    """MB of resident memory at the highest moment: of all processes together, and of those parts at that moment.

    Pages that two processes share are counted twice, so the sum is an upper bound.
    """

    total: float = 0.0
    own: float = 0.0
    children: float = 0.0


class MemoryWatch:
    """Looks at the memory a few times a second, from a thread, for as long as the `with` block runs."""

    def __init__(self) -> None:
        self.peak = Peak()
        self._process = psutil.Process()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY):
            self._look()

    def _look(self) -> None:
        own = self._process.memory_info().rss / 2**20
        children = sum(map(_resident, self._process.children(recursive=True)))
        if own + children > self.peak.total:
            self.peak = Peak(own + children, own, children)


def _resident(process: psutil.Process) -> float:
    """MB; 0 for one that has ended meanwhile."""
    try:
        return float(process.memory_info().rss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0
