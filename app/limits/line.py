"""Who waits, fairly: one line for each key, and places go round the lines. Pure.

So whoever sends a thousand questions at once waits behind themselves, and a stranger's single one waits for one turn.
"""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Line(Generic[T]):
    """Waiting visitors of several keys. In the line of one key it is first come, first served."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def join(self, key: str, visitor: T) -> None:
        """Stand at the end of the key's line; a key that had none waiting has its turn behind all others."""
        self._lines.setdefault(key, deque()).append(visitor)
        self._count += 1

    def next(self) -> T:
        """Whoever's turn it is. Raises KeyError where nobody waits."""
        key, line = self._lines.popitem(last=False)
        visitor = line.popleft()
        if line:
            self._lines[key] = line
        self._count -= 1
        return visitor

    def leave(self, key: str, visitor: T) -> None:
        """Wait no longer. Whoever does not wait leaves nothing."""
        line = self._lines.get(key)
        if line is None or visitor not in line:
            return
        line.remove(visitor)
        self._count -= 1
        if not line:
            del self._lines[key]

    def give_way(self, key: str) -> T | None:
        """For one more of this key: the last of the longest line, where that is longer by two or more, and out of it. None
        where nobody has so much more than this key, which then has its share."""
        longest = max(self._lines, key=lambda name: len(self._lines[name]), default=None)
        if longest is None or len(self._lines[longest]) < len(self._lines.get(key, ())) + 2:
            return None
        visitor = self._lines[longest][-1]
        self.leave(longest, visitor)
        return visitor
