"""Callers that go away: what they asked for ends with them, and those who stay are served."""

import asyncio
import contextlib
import json
import random
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from generation.adapters.openai_chat import OpenAIChatGenerator
from generation.breaker import Breaker
from generation.fallback import Chain, Link
from generation.model import Ask, DraftEnd, DraftText
from tests.passages import context
from tests.scripted_upstream import DONE, HEAD, chunk, listening, usage

CONTEXT = context("Refunds are issued within 14 days.", "Shipping is free.")
_AT_ONCE = 32
_AFTERWARDS = 1000
_NONCE = re.compile(r"Nonce (\d+)")
_PHASES = ("at once", "before the headers", "before the first word", "in the middle")


class Model:
    """An endpoint that says the nonce of each question; asked to, it says nothing more from some point on. `open` counts
    the connections on which somebody waits."""

    def __init__(self) -> None:
        self.open = 0
        self.calls = 0
        self.waited_for: dict[str, asyncio.Event] = {}  # by nonce: it says nothing more

    async def answer(self, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = body.decode()
        found = _NONCE.search(text)
        if found is None:  # asked whether it counts tokens
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            return
        self.open += 1
        self.calls += 1
        try:
            await self._say(text, found[1], reader, writer)
        finally:
            self.open -= 1

    async def _say(self, text: str, nonce: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for phase, step in (
            ("before the headers", HEAD + chunk("")),
            ("before the first word", chunk(f"It is {nonce}")),
            ("in the middle", b""),
        ):
            if f"stall {phase}" in text:
                await writer.drain()
                self.waited_for.setdefault(nonce, asyncio.Event()).set()
                await reader.read()  # until the other side has hung up
                raise ConnectionResetError
            writer.write(step)
        writer.write(chunk(". [1]") + chunk(finish="stop") + usage() + DONE)
        await writer.drain()


def cancels(n: int, seed: int) -> dict[str, Any]:
    """`n` calls are cancelled in all phases, then a thousand must succeed."""
    return asyncio.run(cancelled(n, _AFTERWARDS, seed))


async def cancelled(n: int, afterwards: int, seed: int) -> dict[str, Any]:
    """Counts, and what went wrong."""
    model, dice = Model(), random.Random(seed)
    async with listening(model.answer) as url:
        generator = OpenAIChatGenerator(base_url=url, model="m")
        breaker = Breaker()
        chain = Chain([Link(generator, "m", breaker)])
        left = iter(range(n))

        async def storm() -> None:
            for nonce in left:
                await _cancel(chain, model, nonce, dice)

        await asyncio.gather(*(storm() for _ in range(_AT_ONCE)))
        state, calls = breaker.state, model.calls
        right = await _right(chain, range(n, n + afterwards))
        with contextlib.suppress(AssertionError):
            await _until(lambda: model.open == 0, 1)
        still_open = model.open
        await chain.aclose()
    found = {"cancelled": n, "reached_the_model": calls, "asked_afterwards": afterwards, "right": right}
    wrong = [
        *([] if right == afterwards else [f"{right} of {afterwards} were answered"]),
        *([] if state == "closed" else ["callers that went away opened the breaker"]),
        *([] if not still_open else [f"{still_open} calls are still open"]),
    ]
    return found | {"breaker": state, "still_open": still_open, "wrong": wrong}


async def _cancel(chain: Chain, model: Model, nonce: int, dice: random.Random) -> None:
    phase = dice.choice(_PHASES)
    task = asyncio.create_task(_answer(chain, f"Nonce {nonce}, stall {phase}"))
    if phase == "at once":
        await asyncio.sleep(dice.random() * 0.005)
    else:
        silent = model.waited_for.setdefault(str(nonce), asyncio.Event())
        await asyncio.wait_for(silent.wait(), 30)
        del model.waited_for[str(nonce)]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _answer(chain: Chain, question: str) -> str:
    pieces = [piece async for piece in chain.draft(Ask(question), CONTEXT)]
    assert isinstance(pieces[-1], DraftEnd)
    return "".join(piece.text for piece in pieces if isinstance(piece, DraftText))


async def _right(chain: Chain, nonces: Sequence[int]) -> int:
    """How many of them are answered with their own nonce."""
    left, right = iter(nonces), 0

    async def ask() -> None:
        nonlocal right
        for nonce in left:
            said = await _answer(chain, f"Nonce {nonce}, please")
            right += said == f"It is {nonce}."

    await asyncio.gather(*(ask() for _ in range(_AT_ONCE)))
    return right


# ---- the same with the real service between


def disconnects(n: int, seed: int) -> dict[str, Any]:
    """`n` clients of the service leave in five phases, streamed or not; how long the model's side stays open behind them."""
    from tests.app.serving import write
    from tests.journeys.test_service import DOCS, Served, environment, grounded

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root / "docs", DOCS)
        ran: subprocess.CompletedProcess[str] = grounded("ingest", str(root / "docs"), env=environment(root / "state"))
        assert ran.returncode == 0, ran.stderr
        return asyncio.run(_disconnects(n, seed, root, Served))


async def _disconnects(n: int, seed: int, root: Path, served_as: Any) -> dict[str, Any]:
    model, dice = Model(), random.Random(seed)
    async with listening(model.answer) as url:
        env = {"BACKEND": "openai_chat", "BASE_URL": url, "MODEL": "m", "PRICE_INPUT": "1", "PRICE_OUTPUT": "2"}
        settings = {f"GROUNDED_GENERATION__{name}": value for name, value in env.items()}
        settings |= {"GROUNDED_ABSTENTION__BEFORE_MODEL": "ask", "GROUNDED_VERIFICATION__NONE_CARRIED": "mark"}
        served = served_as(root / "state", root / "log", **settings, GROUNDED_MAX_RUNNING="1")
        try:
            await asyncio.to_thread(served.wait_ready)
            await asyncio.to_thread(served.ask, "Nonce 0, please")
            before = _descriptors(served.process.pid)
            visits = [await _visit(served.port, model, nonce, dice) for nonce in range(1, n + 1)]
            answered = await asyncio.to_thread(served.ask, "Nonce 0, please")
            after = _descriptors(served.process.pid)
        finally:
            await asyncio.to_thread(served.stop)
    said = answered["answer"]
    wrong = [
        *(f"{phase}: open for {took:.2f} s" for phase, took in visits if took > 1),
        *([] if "It is 0" in said and not answered["degraded"] else [f"afterwards it said {said!r}"]),
        *([] if after <= before + 5 else [f"{after} descriptors instead of {before}"]),
    ]
    longest = {phase: round(max(took for p, took in visits if p == phase), 3) for phase, _ in sorted(visits)}
    counts = {"left": n, "phases": dict(sorted(Counter(phase for phase, _ in visits).items())), "longest_s": longest}
    return {**counts, "reached_the_model": model.calls, "descriptors": [before, after], "wrong": wrong}


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def _visit(port: int, model: Model, nonce: int, dice: random.Random) -> tuple[str, float]:
    """The phase, and how long the model's side stayed open after the client had left. One question is answered at a time,
    so that a second one waits in the queue."""
    await _until(lambda: model.open == 0)
    phase, stream = dice.choice(("queued", *_PHASES)), dice.random() < 0.5
    if phase == "queued":
        return f"{phase}, {_kind(stream)}", await _queued(port, model, nonce, stream=stream)
    client = await _dial(port, f"Nonce {nonce}, stall {phase}", stream=stream)
    if phase == "at once":
        await asyncio.sleep(dice.random() * 0.05)
    else:
        await _silent(model, nonce)
    begun = time.monotonic()
    await _leave(client, torn=dice.random() < 0.5)
    await _until(lambda: model.open == 0)
    return f"{phase}, {_kind(stream)}", time.monotonic() - begun


async def _queued(port: int, model: Model, nonce: int, *, stream: bool) -> float:
    """Who leaves the queue never comes to the model."""
    first = await _dial(port, f"Nonce {nonce}, stall in the middle", stream=True)
    await _silent(model, nonce)
    calls = model.calls
    second = await _dial(port, f"Nonce {nonce}, stall before the headers", stream=stream)
    await asyncio.sleep(0.02)
    await _leave(second, torn=False)
    begun = time.monotonic()
    await _leave(first, torn=False)
    await _until(lambda: model.open == 0)
    took = time.monotonic() - begun
    await asyncio.sleep(0.05)
    assert model.calls == calls
    return took


def _kind(stream: bool) -> str:
    return "streamed" if stream else "whole"


async def _silent(model: Model, nonce: int) -> None:
    event = model.waited_for.setdefault(str(nonce), asyncio.Event())
    await asyncio.wait_for(event.wait(), 30)


async def _dial(port: int, question: str, *, stream: bool) -> asyncio.StreamWriter:
    """A client that has asked."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    content = json.dumps({"question": f"When was the lighthouse built? {question}", "stream": stream}).encode()
    head = "POST /ask HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
    await writer.drain()
    return writer


async def _leave(client: asyncio.StreamWriter, *, torn: bool) -> None:
    if torn:
        client.transport.abort()
    client.close()
    with contextlib.suppress(ConnectionError):
        await client.wait_closed()


async def _until(true: Any, within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        await asyncio.sleep(0.002)
