"""Many clients against the real command `grounded serve`, in a process of its own, on the state that it is given.

Throughput and latency are those that the clients see. The longest time that the service's event loop stood still is what
a heartbeat inside it noticed while the clients were asking, and what its parts took of the CPU is what `app.evals.parts` saw.
"""

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import orjson
import psutil

from app.errors import CommandError
from app.evals.corpus import progress
from app.evals.parts import Row, within
from app.evals.scores import percentiles

_SERVED = (sys.executable, "-c", "from app.evals.served import main; main()")
_READY = re.compile(r"ready: (http://\S+)")
_START_S = 600.0
_WARM_UP_S = 1.0
_LONGEST = 1 << 24  # bytes of one answer


@dataclass(frozen=True, slots=True)
class Asking:
    """How the service is asked: what stands in the body beside the question, and the settings that the service runs with."""

    body: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs. `opened_s` is how long it took to be ready."""

    host: str
    port: int
    process: psutil.Process
    opened_s: float


@dataclass(slots=True)
class Seen:
    """What the service saw of itself, once it has ended: when its loop stood still in s and for how long in ms, and rows of
    its CPU time by part, as `app.evals.parts` has them."""

    stalls: list[tuple[float, float]] = field(default_factory=list)
    parts: list[Row] = field(default_factory=list)


async def load(
    state: Path, questions: Sequence[str], clients: Sequence[int], seconds: float, asking: Asking | None = None
) -> dict[str, Any]:
    """So many clients, then so many, for so many seconds each; and the memory of the service afterwards."""
    asking = asking or Asking()
    windows: dict[int, tuple[float, float]] = {}
    found: dict[str, Any] = {}
    progress("a service is started on them ...")
    async with _served(state, asking.settings) as (service, seen):
        await _many(service, questions, 1, _WARM_UP_S, asking)
        for many in dict.fromkeys(clients):
            progress(f"{many} clients ask for {seconds:g} s ...")
            begun = time.monotonic()
            found[str(many)] = await _many(service, questions, many, seconds, asking)
            windows[many] = (begun, time.monotonic())
        found["memory_mb"] = memory_mb(service.process)
        found["opened_s"] = round(service.opened_s, 2)
    for many, (start, end) in windows.items():
        found[str(many)] |= _of_itself(seen, start, end, found[str(many)]["answers"])
    return found


def _of_itself(seen: Seen, start: float, end: float, answers: int) -> dict[str, Any]:
    """What the service saw of itself between two moments; CPU time in ms for each answer."""
    parts = within(seen.parts, start, end)
    return {
        "longest_stall_ms": max((ms for at, ms in seen.stalls if start <= at <= end), default=0.0),
        "cpu_ms_by_part": {part: round(ms / max(answers, 1), 2) for part, ms in parts.items()},
    }


@asynccontextmanager
async def _served(state: Path, settings: Mapping[str, str]) -> AsyncIterator[tuple[Service, Seen]]:
    """A service, and where it will stand what it saw of itself."""
    environment = {**os.environ, **settings, "GROUNDED_STATE": str(state), "GROUNDED_PORT": "0"}
    begun = time.perf_counter()
    seen = Seen()
    process = await asyncio.create_subprocess_exec(
        *_SERVED, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        url = urlsplit(await asyncio.wait_for(_address(process), _START_S))
        reading = asyncio.create_task(_drained(process))
        opened_s = time.perf_counter() - begun
        yield Service(url.hostname or "", url.port or 0, psutil.Process(process.pid), opened_s), seen
        process.terminate()
        told = orjson.loads(await process.stdout.read())
        seen.stalls += [(at, ms) for at, ms in told["stalls"]]
        seen.parts += [(at, row) for at, row in told["parts"]]
        await reading
    except BaseException:
        with suppress(ProcessLookupError):  # it may have ended by itself, and that be what is told
            process.kill()
        raise
    finally:
        await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    told = b""
    async for line in process.stderr:
        told += line
        if ready := _READY.search(line.decode(errors="replace")):
            return ready[1]
    raise CommandError(f"The service that is measured did not start: {told.decode(errors='replace')[-300:]}")


async def _drained(process: asyncio.subprocess.Process) -> None:
    """What it logs meanwhile is read, or it would stand still once the pipe is full."""
    assert process.stderr is not None
    while await process.stderr.read(1 << 16):
        pass


async def _many(
    service: Service, questions: Sequence[str], clients: int, seconds: float, asking: Asking
) -> dict[str, Any]:
    begun, spent = time.perf_counter(), _cpu_s(service.process)
    turned = ([*questions[n:], *questions[:n]] for n in range(clients))
    each = await asyncio.gather(*(_client(service, mine, begun + seconds, asking) for mine in turned))
    took, spent = time.perf_counter() - begun, _cpu_s(service.process) - spent
    ms = [value for values in each for value in values]
    return {
        "clients": clients,
        "answers": len(ms),
        "per_s": round(len(ms) / took, 1),
        **percentiles(ms),
        "p99": round(float(np.percentile(ms, 99)), 2) if ms else 0.0,
        "cpu_ms": round(spent * 1e3 / max(len(ms), 1), 2),
        "cores": round(spent / took, 2),
    }


def _cpu_s(process: psutil.Process) -> float:
    """Of all threads so far."""
    spent = process.cpu_times()
    return float(spent.user + spent.system)


async def _client(service: Service, questions: Sequence[str], until: float, asking: Asking) -> list[float]:
    """Ask one question after the other on one connection; milliseconds of each. Plain sockets: a client library would
    cost as much CPU as what is measured."""
    reader, writer = await asyncio.open_connection(service.host, service.port, limit=_LONGEST)
    found: list[float] = []
    try:
        while time.perf_counter() < until:
            begun = time.perf_counter()
            await _ask(reader, writer, {"question": questions[len(found) % len(questions)], **asking.body})
            found.append((time.perf_counter() - begun) * 1e3)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return found


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, question: Mapping[str, Any]) -> None:
    """Read one answer to its end, a document or a stream."""
    body = orjson.dumps(question)
    head = f"POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    told = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    if not told.startswith("HTTP/1.1 200"):
        raise CommandError(f"A question under load was answered with {told.splitlines()[0]!r}.")
    if length := re.search(r"(?i)content-length: (\d+)", told):
        await reader.readexactly(int(length[1]))
    elif b"event: error" in await reader.readuntil(b"\r\n0\r\n\r\n"):
        raise CommandError("A streamed answer under load ended with an error.")


def memory_mb(process: psutil.Process) -> dict[str, float]:
    """Resident memory: `own` cannot be taken from the process, `file` are pages of files, which the system takes back when
    it needs them. Linux alone tells them apart."""
    found = {"rss": process.memory_info().rss / 2**20}
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        found |= {"own": _mb(lines["RssAnon"]), "file": _mb(lines["RssFile"])}
    return {name: round(mb, 1) for name, mb in found.items()}


def _mb(told: str) -> float:
    return int(told.split(maxsplit=1)[0]) / 1024
