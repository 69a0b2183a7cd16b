"""What other processes may have written is looked at again, but not for every request."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable


class Polled:
    """A look that is at most so old; who comes while somebody looks waits for what they see."""

    def __init__(
        self, look: Callable[[], Awaitable[None]], every_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look = look
        self._every_s = every_s
        self._clock = clock
        self._looked_at = -math.inf
        self._turn = asyncio.Lock()

    @property
    def age_s(self) -> float:
        """Seconds since the last look that succeeded began."""
        return self._clock() - self._looked_at

    async def fresh(self) -> None:
        """Look, unless somebody has just done so. Raises what the look raises."""
        if self.age_s < self._every_s:
            return
        async with self._turn:
            begun = self._clock()
            if begun - self._looked_at < self._every_s:
                return  # somebody else has looked meanwhile
            await self._look()
            self._looked_at = begun

    def forget(self) -> None:
        """The next one looks."""
        self._looked_at = -math.inf
