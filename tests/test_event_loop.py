"""Nothing may block the event loop: while one question is worked on, everybody else would wait.

A heartbeat measures the longest gap between two turns of the loop while files are ingested and questions asked. The
limit is far above what a noisy machine does and far below what a blocking call of the kind we fear (a model, a file, a
lock) takes; that it catches such a call is proven with a planted one. A machine that stood still itself gets another try:
such a call blocks every time.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog

from app.api.service import create_app
from app.state import StateFolder
from retrieval.model import EmbeddedPassage
from tests.app.serving import fake_embedder, ingest, settings_for, write
from tests.fakes import FakeEmbedder
from tests.patience import least

LIMIT_S = 0.7
PLANT_S = 1.5
BEAT_S = 0.005
PARAGRAPH = "Refunds number {n} are issued within {n} days of the order, and the harbour number {n} is green. " * 6
FILES: dict[str, str | bytes] = {
    f"guide-{n}.md": f"# Guide {n}\n\n" + "\n\n".join(PARAGRAPH.format(n=10 * n + k) for k in range(10))
    for n in range(20)
}


@dataclass
class Heart:
    """The longest time that the loop did not turn, in seconds."""

    longest: float = 0.0


@asynccontextmanager
async def heartbeat() -> AsyncIterator[Heart]:
    heart = Heart()

    async def beat() -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(BEAT_S)
            heart.longest = max(heart.longest, time.perf_counter() - start - BEAT_S)

    task = asyncio.create_task(beat())
    try:
        await asyncio.sleep(0)
        yield heart
        await asyncio.sleep(2 * BEAT_S)  # a last beat, so that a block at the very end is seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Patient(FakeEmbedder):
    """Works off the loop, as the real one does, so that what is left on it is ours."""

    async def embed_passages(self, texts: Any) -> list[EmbeddedPassage]:
        self.embedded += texts
        return await asyncio.to_thread(lambda: [self._passage(text) for text in texts])


async def work(folder: Path, *, few: bool = False) -> Heart:
    """Ingest, then questions side by side, streamed and not, then documents read."""
    settings = settings_for(folder / "state")
    files = dict(islice(FILES.items(), 2 if few else None))
    app = create_app(settings)
    with StateFolder(settings.state).owned():
        async with app.router.lifespan_context(app):
            gc.collect()  # what earlier tests left behind is not charged to this one
            async with heartbeat() as heart:
                reports = await ingest(app.state.grounded, write(folder / "docs", files))
                assert len(reports) == len(files)
                async with httpx2.AsyncClient(
                    transport=httpx2.ASGITransport(app=app), base_url="http://localhost"
                ) as client:
                    bodies = [{"question": f"When are refunds number {n} issued?", "stream": n % 2} for n in range(24)]
                    replies = await asyncio.gather(*(client.post("/ask", json=body) for body in bodies))
                    assert {reply.status_code for reply in replies} == {200}
                    assert (await client.get("/v1/documents")).status_code == 200
            return heart


def test_ingest_and_questions_leave_the_loop_free(tmp_path: Path) -> None:
    folders = map(str, count())

    def stood_still() -> float:
        with fake_embedder(Patient()), structlog.testing.capture_logs():
            return asyncio.run(work(tmp_path / next(folders))).longest

    longest = least(stood_still, LIMIT_S)
    assert longest < LIMIT_S, f"the loop stood still for {longest * 1e3:.0f} ms"


@pytest.mark.parametrize("where", ["embed_passages", "embed_query"])
def test_a_planted_block_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    embedder = Patient()
    whole = getattr(embedder, where)
    planted = [PLANT_S]

    async def blocks_once(texts: Any) -> Any:
        if planted:
            time.sleep(planted.pop())  # noqa: ASYNC251  the fault that must be found
        return await whole(texts)

    monkeypatch.setattr(embedder, where, blocks_once)
    with fake_embedder(embedder), structlog.testing.capture_logs():
        heart = asyncio.run(work(tmp_path, few=True))
    assert not planted
    assert heart.longest > PLANT_S / 2 > LIMIT_S


def test_start_and_end_leave_the_loop_free_too(tmp_path: Path) -> None:
    folders = map(str, count())

    async def main() -> float:
        settings = settings_for(tmp_path / next(folders))
        app = create_app(settings)
        with StateFolder(settings.state).owned():
            async with heartbeat() as heart, app.router.lifespan_context(app):
                await app.state.grounded.jobs.started()
        return heart.longest

    with fake_embedder():
        assert least(lambda: asyncio.run(main()), LIMIT_S) < LIMIT_S
