"""What the service adds to a model's time to first token: asked through the real command, and directly, in turn.

Three processes: the service on the manual, a scripted endpoint, and this one, which asks both at a constant rate whether
they have answered or not (open loop), a question through the service half-way between two to the endpoint. Release is
`token`, so that the first token is one, and not a sentence.
"""

import asyncio
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil

from generation.prompt import load_prompt
from tests.journeys.test_service import Served, environment, grounded
from tests.passages import context

ROOT = Path(__file__).parents[2]
RATE = 50  # requests a second to each of the two, unless another is asked for
MOST_MS = {"p50": 10.0, "p99": 25.0}  # that may be added besides retrieval
_WARM_UP = 100
_RETRIEVAL = ("retrieve", "rerank", "pack")  # of the service's own times; embedding is a part of the first
_PARTS = ("queue", "embed", *_RETRIEVAL, "ttft")
_RUNNING = 64  # answers at once: at 50 a second a quarter of a second long, and some to spare
_IDLE_S = 3.0
_END = b"\r\n0\r\n\r\n"
_DONE = re.compile(rb"event: done\ndata: ([^\n]*)")


@dataclass(frozen=True, slots=True)
class Answer:
    """Milliseconds to the first token, to the end where none came, and what the service said of itself at the end:
    nothing, where it refused."""

    first_ms: float
    done: Mapping[str, Any]


class Peer:
    """Whoever answers at a port. Connections are kept; there are as many as are needed at once."""

    def __init__(self, port: int, path: str, marker: bytes) -> None:
        """`marker` is in the stream from the first token on, and not before."""
        self._port = port
        self._path = path
        self._marker = marker
        self._free: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, body: Mapping[str, Any]) -> Answer:
        """One answer, read to its end."""
        content = json.dumps(body).encode()
        head = f"POST {self._path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        begun = perf_counter()
        reader, writer = self._kept() or await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        said, first = b"", 0.0
        while not (said.endswith(_END) or _refused(said)):
            piece = await reader.read(1 << 16)
            assert piece, said
            said += piece
            if not first and self._marker in said:
                first = perf_counter()
        self._free.append((perf_counter(), reader, writer))
        return Answer(((first or perf_counter()) - begun) * 1e3, _done(said))

    def close(self) -> None:
        for *_, writer in self._free:
            writer.close()

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """The connection that was used last, unless it has been idle for so long that the other side may hang up."""
        if not self._free or perf_counter() - self._free[-1][0] > _IDLE_S:
            return None
        _, reader, writer = self._free.pop()
        return reader, writer


def _refused(said: bytes) -> bool:
    """Whether this is no stream; such a reply is small and comes in one piece."""
    return bool(said) and not said.startswith(b"HTTP/1.1 200 ")


def _done(said: bytes) -> Mapping[str, Any]:
    found = _DONE.search(said)
    told: Mapping[str, Any] = json.loads(found[1]) if found else {}
    return told


def first_token(n: int, seed: int, rate: float = RATE) -> dict[str, Any]:
    """`n` questions through the service and as many to the endpoint. The numbers, and what is more than it may be."""
    rows = (ROOT / "data/evals/handbook.jsonl").read_text().splitlines()
    questions = [json.loads(row)["question"] for row in rows]
    questions = questions[seed % len(questions) :] + questions[: seed % len(questions)]
    with tempfile.TemporaryDirectory() as folder, talking() as endpoint:
        root = Path(folder)
        ran = grounded("ingest", str(ROOT / "data/handbook"), env=environment(root / "state"))
        assert ran.returncode == 0, ran.stderr
        served = Served(root / "state", root / "log", **settings(endpoint))
        try:
            served.wait_ready()
            before = _cpu_s(served.process.pid)
            pairs = asyncio.run(_asked(served.port, endpoint, questions, n, rate))
            spent = _cpu_s(served.process.pid) - before
        finally:
            served.stop()
    return {"cpu_ms_each": round(spent * 1e3 / (n + _WARM_UP), 2), **report(pairs, rate)}


def _cpu_s(pid: int) -> float:
    """Of all threads; it tells on a busy machine too what an answer costs."""
    spent = psutil.Process(pid).cpu_times()
    return spent.user + spent.system


def at_20(n: int, seed: int) -> dict[str, Any]:
    """The same at 20 questions a second, for machines of two cores, which three processes share."""
    return first_token(n, seed, 20)


def settings(endpoint: int) -> dict[str, str]:
    """Of a service whose only model is the talker at that port."""
    chat = {"BACKEND": "openai_chat", "BASE_URL": f"http://127.0.0.1:{endpoint}/v1", "MODEL": "talker"}
    prices = {"PRICE_INPUT": "1", "PRICE_OUTPUT": "2"}
    generation = {f"GROUNDED_GENERATION__{name}": value for name, value in (chat | prices).items()}
    # What the talker says, nothing carries; and each question is to reach it, or there is no first token to be timed.
    shown = {"GROUNDED_VERIFICATION__NONE_CARRIED": "mark", "GROUNDED_ABSTENTION__BEFORE_MODEL": "ask"}
    return generation | shown | {"GROUNDED_MAX_RUNNING": str(_RUNNING)}


@contextmanager
def talking(*pauses_s: float) -> Iterator[int]:
    """The talker in a process of its own; its port."""
    command = [sys.executable, "-m", "tests.upstream.talker", *map(str, pauses_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.stdout.close()
        process.wait()


async def _asked(
    port: int, endpoint: int, questions: Sequence[str], n: int, rate: float
) -> list[tuple[Answer, Answer]]:
    """Pairs of answers that were asked for half an interval apart: the service's and the endpoint's."""
    service = Peer(port, "/ask", b"event: delta")
    bare = Peer(endpoint, "/v1/chat/completions", b"Refunds")
    texts = context(*(f"Refunds of kind {k} are issued within {k} days of the order. " * 12 for k in range(8)))
    direct = {"model": "talker", "stream": True, "messages": load_prompt().fill("How long do refunds take?", texts)}

    async def pair(number: int, begun: float) -> tuple[Answer, Answer]:
        body = {"question": questions[number % len(questions)], "stream": True, "release": "token"}
        through, alone = await asyncio.gather(
            _at(begun, service, body),
            _at(begun + 0.5 / rate, bare, direct),
        )
        return through, alone

    try:
        start = perf_counter() + 0.1
        pairs = await asyncio.gather(*(pair(k, start + k / rate) for k in range(_WARM_UP + n)))
    finally:
        service.close()
        bare.close()
    return list(pairs[_WARM_UP:])


async def _at(when: float, peer: Peer, body: Mapping[str, Any]) -> Answer:
    await asyncio.sleep(when - perf_counter())
    return await peer.ask(body)


def report(pairs: Sequence[tuple[Answer, Answer]], rate: float = RATE) -> dict[str, Any]:
    """The distributions in ms. An answer that had to do without something is a miss, whatever its time."""
    through = np.array([service.first_ms for service, _ in pairs])
    bare = np.array([endpoint.first_ms for _, endpoint in pairs])
    own = [service.done.get("timings_ms", {}) for service, _ in pairs]
    retrieval = np.array([sum(ms.get(part, 0.0) for part in _RETRIEVAL) for ms in own])
    poor = [s.done for s, _ in pairs if s.done.get("finish_reason") != "stop" or s.done.get("degraded")]
    besides = percentiles(through - bare - retrieval)
    over = {name: most for name, most in MOST_MS.items() if besides[name] > most}
    wrong = [f"{name} is {besides[name]} ms, at most {most} ms are asked for" for name, most in over.items()]
    wrong += [f"{done.get('finish_reason')}, without {done.get('degraded')}" for done in poor]
    return {
        "asked": len(pairs),
        "per_s": rate,
        "through_ms": percentiles(through),
        "bare_ms": percentiles(bare),
        "added_ms": percentiles(through - bare),
        "retrieval_ms": percentiles(retrieval),
        "added_besides_retrieval_ms": besides,
        "parts_ms": {part: percentiles(np.array([ms.get(part, 0.0) for ms in own])) for part in _PARTS},
        "wrong": wrong,
    }


def percentiles(values: "np.ndarray[Any, Any]") -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(values, q)), 2) for q in (50, 95, 99)}
