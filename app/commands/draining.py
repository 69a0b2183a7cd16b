"""The end of a served process: what is open may end, for a while; whoever comes meanwhile is told to come back later."""

import asyncio
import socket
import time
from collections.abc import Callable

_LOOK_S = 0.1
_LAST_WORDS_S = 1.0
_UNSENT = 65_536  # bytes


async def ended(tasks: set[asyncio.Task[None]], until: float, hurry: Callable[[], bool]) -> None:
    """Return when all of these have ended, at the monotonic time `until`, or when there is a hurry."""
    left = set(tasks)
    while left and not hurry() and (wait_s := until - time.monotonic()) > 0:
        _, left = await asyncio.wait(left, timeout=min(wait_s, _LOOK_S))


async def last_words(tasks: set[asyncio.Task[None]]) -> None:
    """Those that were cut off may say so; one whose client takes nothing is not waited for."""
    if tasks:
        await asyncio.wait(set(tasks), timeout=_LAST_WORDS_S)


def bound_unsent(listener: socket.socket, stalled_s: float) -> None:
    """For every connection that comes in here: what its client does not take stays out of memory but for some bytes, and one
    that takes nothing for so long is ended by the system, also behind the last byte of a reply, where nobody here waits for
    it any more."""
    wanted = {"TCP_NOTSENT_LOWAT": _UNSENT, "TCP_USER_TIMEOUT": min(int(stalled_s * 1000) + 1, 2**31 - 1)}
    for name, value in wanted.items():
        if hasattr(socket, name):  # not on every system
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
