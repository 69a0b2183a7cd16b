"""Garbage collection beside thousands of open streams: a full one walks over all that is alive, and nothing else runs meanwhile.

Ten thousand streams are two million objects, which takes a second and a half. Nearly all of them go by themselves when their
stream ends; so they are set aside as they come, and only when most have gone is there a look at what did not go.
"""

import asyncio
import gc
from collections.abc import Callable

_LOOK_S = 1.0
_MANY, _FEW = 200, 10


async def collected(open_now: Callable[[], int]) -> None:
    """For as long as the service runs; `open_now` says how many requests are open."""
    aside = False
    while True:
        await asyncio.sleep(_LOOK_S)
        aside = look(open_now(), aside=aside)


def look(open_now: int, *, aside: bool) -> bool:
    """Whether more is set aside now than what stays until the end; `aside` is what this said before."""
    if open_now >= _MANY:
        gc.freeze()
        return True
    if aside and open_now <= _FEW:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        return False
    return aside
