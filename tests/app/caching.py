"""What tests of the answer cache share: a product with a cache and a model on a real socket that counts its calls."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.wiring import Grounded
from generation.events import AnswerEvent, Finished, SourcesFound, TextAdded
from tests.app.serving import product
from tests.ingest.memory import LineReader
from tests.scripted_upstream import Step, listening, refusal, reply

FILES = {
    "refunds.txt": "Refunds are paid by card. Refunds take 14 days at most.",
    "parcels.txt": "Parcels are sent by ship. Parcels take 30 days at most.",
    "cats.txt": "Cats sleep most of the day. A cat has four legs.",
}
QUESTION = "How are refunds paid?"
SAID = "Refunds are paid by card [1]."
FALLEN = refusal(500, {"error": {"message": "broken"}})


@dataclass
class Model:
    """Says its reply to every call; with `gate` set not before it opens. `scripts` are those of the first calls."""

    gate: asyncio.Event | None = None
    scripts: list[Sequence[Step]] = field(default_factory=list)
    said: str = SAID
    finish: str = "stop"
    calls: int = 0
    left: int = 0

    async def answer(self, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b'"messages"' not in body:
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            return
        script = self.scripts[self.calls] if self.calls < len(self.scripts) else reply(self.said, finish=self.finish)
        self.calls += 1
        if self.gate is not None and not await self._open(reader):
            self.left += 1
            return
        for step in script:
            assert isinstance(step, bytes)
            writer.write(step)
        await writer.drain()

    async def _open(self, reader: asyncio.StreamReader) -> bool:
        """Whether the gate opened before the client had gone."""
        assert self.gate is not None
        opened, gone = asyncio.ensure_future(self.gate.wait()), asyncio.ensure_future(reader.read())
        done, _ = await asyncio.wait({opened, gone}, return_when=asyncio.FIRST_COMPLETED)
        for task in (opened, gone):
            task.cancel()
        await asyncio.gather(opened, gone, return_exceptions=True)
        return opened in done


def settings(url: str, **more: Any) -> dict[str, Any]:
    """Of a service that asks the model there, and keeps answers."""
    chat = {"backend": "openai_chat", "base_url": url, "model": "m", "attempts": 1, "fallback": "none"}
    return {
        "context": {"tokenizer": "estimate"},
        "abstention": {"before_model": "ask"},
        **more,
        "generation": {**chat, "price_input": 1, "price_output": 2, **more.get("generation", {})},
        "cache": {"mode": "exact", "timeout_s": 20, **more.get("cache", {})},
    }


@contextlib.asynccontextmanager
async def cached(tmp_path: Path, model: Model, **more: Any) -> AsyncIterator[Grounded]:
    async with (
        listening(model.answer) as url,
        product(tmp_path, FILES, LineReader(), **settings(url, **more)) as grounded,
    ):
        yield grounded


def end_of(events: Sequence[AnswerEvent]) -> Finished:
    end = events[-1]
    assert isinstance(end, Finished)
    return end


def content_of(events: Sequence[AnswerEvent]) -> list[Any]:
    """All that the reader gets to see: ids of sources, text and claims."""
    return [
        [passage.id for passage in event.passages] if isinstance(event, SourcesFound) else event
        for event in events
        if event.type in ("sources", "delta", "claim", "retract")
    ]


def text_of(events: Sequence[AnswerEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextAdded))
