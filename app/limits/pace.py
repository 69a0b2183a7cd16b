"""How fast a line moves, from how it moved of late. Pure, with an injected clock."""

import math
import time
from collections import deque
from collections.abc import Callable

_LAST = 32  # departures that are looked at
_LONGEST_S = 60


class Pace:
    """Departures while somebody waits; what happens while nobody does says nothing of a line."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._gaps: deque[float] = deque(maxlen=_LAST)
        self._since = clock()

    def begin(self) -> None:
        """A line forms."""
        self._since = self._clock()

    def note(self) -> None:
        """A place is free, and somebody waits for it."""
        now = self._clock()
        self._gaps.append(now - self._since)
        self._since = now

    def wait_s(self, before: int) -> float | None:
        """Until so many more have left; None while nobody knows. A line that stands still is slow, however fast it was."""
        if not self._gaps:
            return None
        standing = self._clock() - self._since
        mean = sum(self._gaps) / len(self._gaps)
        if standing > mean:
            mean = (sum(self._gaps) + standing) / (len(self._gaps) + 1)
        return before * mean

    def retry_after(self, before: int) -> int | None:
        """The same for people: whole seconds, from 1 to a minute."""
        wait_s = self.wait_s(before)
        return None if wait_s is None else max(1, min(_LONGEST_S, math.ceil(wait_s)))
