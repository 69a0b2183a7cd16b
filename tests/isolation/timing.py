"""Whether the time of a reply tells what is somebody else's from what never was: the area under the curve of that guess."""

import asyncio
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
import structlog

from tests.app.keyed import Caller, caller, keyed
from tests.app.serving import Service
from tests.app.test_isolation import ABSENT, MATRIX
from tests.isolation.canaries import _Recorder, settled

_AT_ONCE = 4
_MOST = 0.05  # off the half that a coin gets


def sweep(calls: int, seed: int) -> dict[str, Any]:
    """So many pairs of calls of each route that names something, in an order drawn by chance."""
    draw = random.Random(seed)
    folder = tempfile.TemporaryDirectory(prefix="timing-")
    with folder as place, structlog.testing.capture_logs(), keyed(Path(place), resume_grace_s=3600) as service:
        owner = next(iter(settled(service, "t0", draw)))
        stranger = caller(service, "stranger", "t1", scopes=("ask", "ingest"), groups=None)
        routes = [route for route, case in MATRIX.items() if case.foreign]
        areas = {" ".join(r): service.run(_area(service, stranger, r, owner.ids, calls, draw)) for r in routes}
    wrong = [f"{name}: {area:.3f}" for name, area in areas.items() if abs(area - 0.5) > _MOST]
    return {"pairs": calls, "routes": len(areas), "auc": {n: round(a, 3) for n, a in areas.items()}, "wrong": wrong}


async def _area(
    service: Service, who: Caller, route: tuple[str, str], ids: Any, calls: int, draw: random.Random
) -> float:
    """How often a foreign one takes longer than an absent one, over all pairs of the two."""
    foreign: list[float] = []
    absent: list[float] = []
    transport = httpx2.ASGITransport(app=service.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as http:

        async def took(named: Any) -> float:
            method, path, more = MATRIX[route].call(_Recorder(), dict(named))  # type: ignore[arg-type, misc]
            more["headers"] = {"authorization": f"Bearer {who.secret}", **more.get("headers", {})}
            begun = time.perf_counter()
            reply = await http.request(method, path, **more)
            assert reply.status_code == 404, f"{route}: {reply.text}"
            return time.perf_counter() - begun

        async def pair() -> None:
            first_foreign = draw.random() < 0.5
            for is_foreign in (first_foreign, not first_foreign):
                (foreign if is_foreign else absent).append(await took({**ids} if is_foreign else ABSENT))

        async def visitor() -> None:
            for _ in range(-(-calls // _AT_ONCE)):
                await pair()

        await asyncio.gather(*(visitor() for _ in range(_AT_ONCE)))
    above = sum(1.0 if f > a else 0.5 if f == a else 0.0 for f in foreign for a in absent)
    return above / (len(foreign) * len(absent))
