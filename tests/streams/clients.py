"""Thousands of open streams in one process: what they take of memory, how late their events are, and what stays of them."""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.checks import Unavailable
from tests.streams.crowd import Crowd
from tests.streams.running import Running, many_descriptors, running, until, with_documents

EVERY_S = 10.0  # between two events of a stream
_MEASURED_S = 30.0
_MOST_MB, _LATE_MS = 400, 50
_SPARE = 500  # descriptors beside one for each client
_TEXT = "The lighthouse of the harbour number {n} was built in 1887. It shows its light to all ships. " * 8
_DOCUMENTS = {f"harbour-{n}.md": f"# Harbour {n}\n\n{_TEXT.format(n=n)}\n" for n in range(8)}


def clients(n: int, _seed: int) -> dict[str, Any]:
    """`n` streams that go on, each with an event in ten seconds, and nothing behind them."""
    found = _tried(n, "--alone")
    wrong = [
        *([] if found["above_idle_mb"] <= _MOST_MB else [f"{found['above_idle_mb']} MB above idle"]),
        *([] if found["event_ms"]["p99"] <= _LATE_MS else [f"events were {found['event_ms']['p99']} ms late"]),
        *([] if found["health_ms"]["p99"] <= _LATE_MS else [f"health took {found['health_ms']['p99']} ms"]),
    ]
    return found | {"wrong": [*found["wrong"], *wrong]}


def answers(n: int, _seed: int) -> dict[str, Any]:
    """The same with an answer behind each: passages, what checks and filters know, and a generator that has not ended."""
    return _tried(n)


def _tried(n: int, *how: str) -> dict[str, Any]:
    if many_descriptors() < n + _SPARE:
        raise Unavailable(f"this process may not have {n + _SPARE} descriptors; raise the limit with ulimit -Hn")
    found = visited(n, EVERY_S, _MEASURED_S, *how)
    lost = [f"{found['lost']} streams ended by themselves"] if found["lost"] else []
    return found | {"wrong": [*lost, *stayed(found)]}


def stayed(found: dict[str, Any]) -> list[str]:
    """What was not let go when all had left."""
    return [
        f"{after} {what} instead of {before}"
        for what, room in (("tasks", 5), ("descriptors", 10), ("objects", 20_000))
        for before, _, after in [found[what]]
        if after > before + room
    ]


def visited(n: int, every_s: float, measured_s: float, *how: str) -> dict[str, Any]:
    """Open, listen, leave; each count before, meanwhile and afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"GROUNDED_MAX_RUNNING": str(n + 100), "GROUNDED_LOG_LEVEL": "warning"}
        with running(Path(folder) / "state", Path(folder) / "log", "--every", str(every_s), *how, **settings) as served:
            with_documents(served, _DOCUMENTS)
            _once(served)
            before, idle = _counted(served), served.memory_mb()
            crowd = Crowd(served.port, n)
            begun = time.monotonic()
            crowd.open()
            opened_s = time.monotonic() - begun
            crowd.late.clear()
            with _asking_how_it_is(served) as health:
                crowd.listen(measured_s)
            open_, memory, lost = _counted(served), served.memory_mb(), crowd.lost
            crowd.leave()
            until(lambda: served.held()["tasks"] <= before["tasks"] + 5)
            until(lambda: served.descriptors() <= before["descriptors"] + 10)
            after = _counted(served)
            return {
                "clients": n,
                "opened_s": round(opened_s, 1),
                "above_idle_mb": round(memory - idle, 1),
                "kb_each": round((memory - idle) * 1024 / n, 1),
                "mb": [round(idle, 1), round(memory, 1), round(served.memory_mb(), 1)],
                **{what: [before[what], open_[what], after[what]] for what in before},
                "events": len(crowd.late),
                "event_ms": _spread(crowd.late),
                "health_ms": _spread(health),
                "lost": lost,
            }


def _once(served: Running) -> None:
    """What is loaded at the first question is no stream's."""
    crowd = Crowd(served.port, 20)
    quiet = _counted(served)["tasks"]
    crowd.open()
    crowd.leave()
    until(lambda: served.held()["tasks"] <= quiet + 5)


def _counted(served: Running) -> dict[str, int]:
    return {**served.held(), "descriptors": served.descriptors()}


@contextmanager
def _asking_how_it_is(served: Running) -> Iterator[list[float]]:
    """The times in s that /health/live takes meanwhile, ten times a second."""
    took: list[float] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.1):
            begun = time.monotonic()
            assert served.request("GET", "/health/live")[0] == 200
            took.append(time.monotonic() - begun)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield took
    finally:
        over.set()
        asking.join()


def _spread(seconds: list[float]) -> dict[str, float]:
    at = np.percentile(seconds, [50, 99, 100]) if seconds else (0, 0, 0)
    return {name: round(float(value) * 1e3, 1) for name, value in zip(("p50", "p99", "max"), at, strict=True)}
