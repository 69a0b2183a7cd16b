"""Rates that all processes share, counted in Redis by the library `limits`. While Redis is away each process counts for
itself: nobody is let in without being counted, and nobody is kept out for want of a counter."""

import time
from typing import Any

import structlog

from app.limits.ports import Rates
from app.limits.window import MovingWindow, Rate

_SMALL = 1000  # up to here each arrival is kept with its time; above, Redis would keep a list of every token
_AGAIN_S = 5.0
_WAIT_S = 1.0  # for Redis, before a process counts for itself
_log = structlog.get_logger()


class RedisRates:
    """Rates over a storage of `limits.aio`: a moving window for arrivals, a sliding counter for tokens."""

    def __init__(self, storage: Any) -> None:
        from limits.aio.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

        self._storage = storage
        self._arrivals = MovingWindowRateLimiter(storage)
        self._tokens = SlidingWindowCounterRateLimiter(storage)
        self._own: Rates = MovingWindow()
        self._away_until = 0.0

    async def take(self, rate: Rate, who: str, cost: int = 1) -> float | None:
        """See ports.Rates."""
        from limits import RateLimitItemPerSecond

        if time.monotonic() < self._away_until:
            return await self._own.take(rate, who, cost)
        limiter = self._arrivals if rate.most <= _SMALL else self._tokens
        item = RateLimitItemPerSecond(rate.most, int(rate.period_s), namespace="grounded")
        try:
            if await limiter.hit(item, rate.name, who, cost=cost):
                return None
            stats = await limiter.get_window_stats(item, rate.name, who)
        except self._storage.base_exceptions as error:
            _log.warning("limits.redis_unavailable", cause=type(error).__name__)
            self._away_until = time.monotonic() + _AGAIN_S
            return await self._own.take(rate, who, cost)
        return max(1.0, stats.reset_time - time.time())

    async def aclose(self) -> None:
        """Let go of connections."""
        bridge = getattr(self._storage, "bridge", None)  # of Redis; memory has none
        if bridge is not None:
            await bridge.storage.aclose(close_connection_pool=True)  # its pool is not its own, so it would stay open


def redis_storage(url: str) -> Any:
    """The storage at an address such as redis://127.0.0.1:6379/0. Connects when it is first asked."""
    from limits.storage import storage_from_string

    waits = {"socket_connect_timeout": _WAIT_S, "socket_timeout": _WAIT_S}
    return storage_from_string(f"async+{url}", implementation="redispy", wrap_exceptions=False, **waits)
