"""`grounded serve` with a heartbeat in its event loop, as a process that `app.evals.clients` starts.

When the service ends, it prints as JSON: `stalls`, every time its loop stood still, when, in seconds of the monotonic clock
that all processes share, and how long, in milliseconds; and `parts`, the rows of `app.evals.parts`.
"""

import asyncio
import time

from app.commands.output import emit_json, run
from app.commands.serve import serve
from app.evals.parts import Sampler
from app.settings import Settings, load

_BEAT_S = 0.002
_NOTED_MS = 2.0


def main() -> None:
    """Serve what GROUNDED_STATE names until a signal ends it."""
    raise SystemExit(run(_watched(load())))


async def _watched(settings: Settings) -> int:
    gaps: list[tuple[float, float]] = []
    sampler = Sampler()
    sampler.start()
    heart = asyncio.create_task(_beat(gaps))
    code = await serve(settings, None)
    heart.cancel()
    await asyncio.gather(heart, return_exceptions=True)
    sampler.stop()
    emit_json({"stalls": gaps, "parts": sampler.rows})
    return code


async def _beat(gaps: list[tuple[float, float]]) -> None:
    while True:
        start = time.monotonic()
        await asyncio.sleep(_BEAT_S)
        end = time.monotonic()
        if (ms := (end - start - _BEAT_S) * 1e3) > _NOTED_MS:
            gaps.append((end, round(ms, 2)))
