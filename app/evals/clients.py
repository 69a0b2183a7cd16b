"""Many clients against the real command `grounded serve`, in a process of its own, on the state that it is given.

Throughput and latency are those that the clients see. The longest time that the service's event loop stood still is what
a heartbeat inside it noticed while the clients were asking.
"""

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil

from app.errors import CommandError
from app.evals.corpus import progress
from app.evals.scores import percentiles

_SERVED = (sys.executable, "-c", "from app.evals.served import main; main()")
_READY = re.compile(r"ready: (http://\S+)")
_START_S = 600.0
_WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs. `opened_s` is how long it took to be ready."""

    host: str
    port: int
    process: psutil.Process
    opened_s: float


async def load(state: Path, questions: Sequence[str], clients: int, seconds: float) -> dict[str, Any]:
    """One client, then many, for so many seconds each; and the memory of the service afterwards."""
    windows: dict[int, tuple[float, float]] = {}
    found: dict[str, Any] = {}
    progress("a service is started on them ...")
    async with _served(state) as (service, gaps):
        await _many(service, questions, 1, _WARM_UP_S)
        for many in (1, clients):
            progress(f"{many} clients ask for {seconds:g} s ...")
            begun = time.monotonic()
            found[str(many)] = await _many(service, questions, many, seconds)
            windows[many] = (begun, time.monotonic())
        found["memory_mb"] = memory_mb(service.process)
        found["opened_s"] = round(service.opened_s, 2)
    for many, (start, end) in windows.items():
        stalls = [ms for at, ms in gaps if start <= at <= end]
        found[str(many)]["longest_stall_ms"] = max(stalls, default=0.0)
    return found


@asynccontextmanager
async def _served(state: Path) -> AsyncIterator[tuple[Service, list[tuple[float, float]]]]:
    """A service, and where the stalls of its loop will stand once it has ended: when in s, and how long in ms."""
    environment = {**os.environ, "GROUNDED_STATE": str(state), "GROUNDED_PORT": "0"}
    begun = time.perf_counter()
    gaps: list[tuple[float, float]] = []
    process = await asyncio.create_subprocess_exec(
        *_SERVED, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        url = urlsplit(await asyncio.wait_for(_address(process), _START_S))
        reading = asyncio.create_task(_drained(process))
        opened_s = time.perf_counter() - begun
        yield Service(url.hostname or "", url.port or 0, psutil.Process(process.pid), opened_s), gaps
        process.terminate()
        gaps += [(at, ms) for at, ms in orjson.loads(await process.stdout.read())]
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


async def _many(service: Service, questions: Sequence[str], clients: int, seconds: float) -> dict[str, Any]:
    begun = time.perf_counter()
    turned = ([*questions[n:], *questions[:n]] for n in range(clients))
    each = await asyncio.gather(*(_client(service, mine, begun + seconds) for mine in turned))
    took = time.perf_counter() - begun
    ms = [value for values in each for value in values]
    return {"clients": clients, "answers": len(ms), "per_s": round(len(ms) / took, 1), **percentiles(ms)}


async def _client(service: Service, questions: Sequence[str], until: float) -> list[float]:
    """Ask one question after the other on one connection; milliseconds of each. Plain sockets: a client library would
    cost as much CPU as what is measured."""
    reader, writer = await asyncio.open_connection(service.host, service.port)
    found: list[float] = []
    try:
        while time.perf_counter() < until:
            begun = time.perf_counter()
            await _ask(reader, writer, questions[len(found) % len(questions)])
            found.append((time.perf_counter() - begun) * 1e3)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return found


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, question: str) -> None:
    body = orjson.dumps({"question": question})
    head = f"POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    told = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = re.search(r"(?i)content-length: (\d+)", told)
    if not told.startswith("HTTP/1.1 200") or length is None:
        raise CommandError(f"A question under load was answered with {told.splitlines()[0]!r}.")
    await reader.readexactly(int(length[1]))


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
