"""The peak is what a closed loop of a few clients gets answered. The flood comes in an open loop: each question at its time,
whether those before it are answered or not, and each time is counted from when it was due."""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.patience import PATIENCE_S
from tests.streams.running import running, with_documents

FACTOR = 3
THINK_S = 0.2  # of the endpoint: eight places then answer forty questions a second
_CLIENTS = 16
_RUNNING, _WAITING, _WAIT_S = 8, 16, 2
_BAR_GOODPUT, _BAR_REFUSED_MS, _BAR_RECOVERY_S = 0.9, 50.0, 5.0
_BODY = json.dumps({"question": "When are refunds issued?"}).encode()
_REQUEST = (
    b"POST /ask HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


@dataclass
class Seen:
    """Replies: when each was there, its status, its time in ms, and whether a refusal said when to come again."""

    replies: list[tuple[float, int, float]] = field(default_factory=list)
    without_time: int = 0

    @property
    def statuses(self) -> Counter[int]:
        return Counter(status for _, status, _ in self.replies)

    def ms(self, status: int) -> list[float]:
        return [ms for _, found, ms in self.replies if found == status]


def flood(n: int, _seed: int) -> dict[str, Any]:
    """`n` seconds of it, and what was wrong by the bars of the threats that are met here."""
    with served() as port:
        found = asyncio.run(_flooded(port, n))
    return {**found, "wrong": _wrong(found)}


def sample(seconds: float) -> tuple[Seen, Seen]:
    """What came of a short flood, and of a few questions behind it; nothing of it depends on how fast the machine is."""
    with served() as port:
        return asyncio.run(_sampled(port, seconds))


@contextlib.contextmanager
def served() -> Iterator[int]:
    """The port of the real service, its model a scripted endpoint in a process of its own."""
    with tempfile.TemporaryDirectory() as folder, _endpoint() as url:
        settings = {"GENERATION__BACKEND": "openai_chat", "GENERATION__BASE_URL": url, "GENERATION__MODEL": "m"}
        settings |= {"GENERATION__PRICE_INPUT": "0", "GENERATION__PRICE_OUTPUT": "0", "CONTEXT__TOKENIZER": "estimate"}
        settings |= {"MAX_RUNNING": str(_RUNNING), "MAX_WAITING": str(_WAITING), "MAX_WAIT_S": str(_WAIT_S)}
        given = {f"GROUNDED_{name}": value for name, value in settings.items()}
        with running(Path(folder) / "state", Path(folder) / "log", **given) as service:
            with_documents(service, {"refunds.txt": "Refunds are issued within 14 days."})
            yield service.port


@contextlib.contextmanager
def _endpoint() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.upstream.talker", str(THINK_S), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as talker:
        try:
            assert talker.stdout is not None
            yield f"http://127.0.0.1:{int(talker.stdout.readline())}/v1"
        finally:
            talker.kill()


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile."""
    found = np.percentile(np.asarray(values), [50, 95, 99]) if values else np.zeros(3)
    return {name: round(float(value), 1) for name, value in zip(("p50", "p95", "p99"), found, strict=True)}


async def _flooded(port: int, seconds: float) -> dict[str, Any]:
    await _closed(port, 1, 2.0)  # what is loaded at first use
    alone = await _closed(port, 1, 3.0)
    begun = time.monotonic()
    peak = await _closed(port, _CLIENTS, max(5.0, seconds / 4))
    rate = peak.statuses[200] / (time.monotonic() - begun)
    begun = time.monotonic()
    flooded = await opened(port, FACTOR * rate, seconds)
    good = sum(status == 200 and at - begun <= seconds for at, status, _ in flooded.replies) / seconds
    normal_ms = 2 * percentiles(alone.ms(200))["p50"]
    return {
        "seconds": seconds,
        "alone_ms": percentiles(alone.ms(200)),
        "peak_per_s": round(rate, 1),
        "goodput_share": round(good / rate, 3),
        "answered_ms": percentiles(flooded.ms(200)),
        "refused": flooded.statuses[503],
        "refused_ms": percentiles(flooded.ms(503)),
        "other": {str(status): n for status, n in flooded.statuses.items() if status not in (200, 503)},
        "without_retry_after": flooded.without_time,
        "recovered_s": await _recovered(port, normal_ms),
    }


def _wrong(found: dict[str, Any]) -> list[str]:
    wrong = [f"{found[name]} {name}" for name in ("other", "without_retry_after") if found[name]]
    wrong += [] if found["goodput_share"] >= _BAR_GOODPUT else [f"goodput {found['goodput_share']} of the peak"]
    late = found["refused_ms"]["p99"]
    wrong += [] if late <= _BAR_REFUSED_MS else [f"refused in {late} ms (p99)"]
    return wrong + ([] if found["recovered_s"] <= _BAR_RECOVERY_S else [f"recovered in {found['recovered_s']} s"])


async def _sampled(port: int, seconds: float) -> tuple[Seen, Seen]:
    flooded = await opened(port, FACTOR * _RUNNING / THINK_S, seconds)
    behind = Seen()
    for _ in range(3):
        await _one(port, time.monotonic(), behind)
    return flooded, behind


async def _closed(port: int, clients: int, seconds: float) -> Seen:
    seen, end = Seen(), time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < end:
            await _one(port, time.monotonic(), seen)

    await asyncio.gather(*(client() for _ in range(clients)))
    return seen


async def opened(port: int, per_s: float, seconds: float) -> Seen:
    """So many questions a second, and then all of their replies."""
    seen, begun = Seen(), time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(per_s * seconds)):
            due = begun + number / per_s
            await asyncio.sleep(due - time.monotonic())
            group.create_task(_one(port, due, seen))
    return seen


async def _recovered(port: int, normal_ms: float) -> float:
    """Seconds until a question takes no more than twice what it takes alone."""
    begun = time.monotonic()
    while time.monotonic() - begun < PATIENCE_S:
        seen = Seen()
        await _one(port, time.monotonic(), seen)
        ((at, status, ms),) = seen.replies
        if status == 200 and ms <= normal_ms:
            return round(at - begun, 2)
    return PATIENCE_S


async def _one(port: int, due: float, seen: Seen) -> None:
    """A reply of status 0 is a connection that was cut."""
    status, said = 0, b""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_REQUEST)
        said = await reader.read()
        writer.close()
        status = int(said[9:12] or 0)
    at = time.monotonic()
    seen.replies.append((at, status, (at - due) * 1e3))
    seen.without_time += status in (429, 503) and not _says(said, b"retry-after: ")


def _says(said: bytes, header: bytes) -> bool:
    lines: Sequence[bytes] = said.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    return any(line.startswith(header) and int(line.removeprefix(header)) >= 1 for line in lines)
