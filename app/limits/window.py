"""A moving window: never more than the rate in any stretch of its length, whenever that begins.

Counted in slots of a sixtieth of the window, of which the oldest counts whole until it has left altogether: a little stricter
than the rate, never laxer, and a caller costs sixty numbers at most. By a monotonic clock, so no clock that is set lets
anybody in or keeps anybody out.
"""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

_SLOTS = 60
_MOST_KNOWN = 50_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`most` in `period_s` seconds. `name` keeps rates apart that count the same caller."""

    name: str
    most: int
    period_s: float = 60.0


class MovingWindow:
    """Rates in this process's memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, known: int = _MOST_KNOWN) -> None:
        """`known` callers at most are remembered, those who came last: so strangers cannot fill the memory."""
        self._clock = clock
        self._known = known
        self._seen: OrderedDict[tuple[str, str], deque[tuple[int, int]]] = OrderedDict()

    async def take(self, rate: Rate, who: str, cost: int = 1) -> float | None:
        """See ports.Rates."""
        slot_s = rate.period_s / _SLOTS
        now = self._clock()
        slot = math.floor(now / slot_s)
        counts = self._counts(rate, who)
        while counts and counts[0][0] < slot - _SLOTS:
            counts.popleft()
        over = sum(count for _, count in counts) + cost - rate.most
        if over > 0:
            return max(slot_s, _leaves(counts, over) * slot_s - now)
        if counts and counts[-1][0] == slot:
            cost += counts.pop()[1]
        counts.append((slot, cost))
        return None

    async def aclose(self) -> None:
        """There is nothing to let go of."""

    def _counts(self, rate: Rate, who: str) -> deque[tuple[int, int]]:
        counts = self._seen.setdefault((rate.name, who), deque())
        self._seen.move_to_end((rate.name, who))
        if len(self._seen) > self._known:
            self._seen.popitem(last=False)
        return counts


def _leaves(counts: deque[tuple[int, int]], over: int) -> int:
    """The slot in which as much has left as there is too much now."""
    for slot, count in counts:
        over -= count
        if over <= 0:
            return slot + _SLOTS + 1
    return counts[-1][0] + _SLOTS + 1 if counts else 0
