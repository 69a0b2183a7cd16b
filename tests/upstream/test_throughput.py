"""A sample of the benchmark's second half: streamed answers of a model that answers at once. The numbers:
`python -m tests.upstream throughput`."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.errors import CommandError
from app.evals.clients import Asking, load
from app.evals.corpus import ingest
from app.settings import Settings
from app.state import StateFolder
from app.wiring import opened
from ingest.run import Request
from tests.upstream.first_token import settings, talking
from tests.upstream.throughput import STREAMED

pytestmark = [pytest.mark.models, pytest.mark.slow]
ASKED = ["When are refunds issued?"]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("throughput")
    (folder / "docs").mkdir()
    (folder / "docs" / "a.md").write_text("# Refunds\n\nRefunds are issued within 14 days.\n")
    owned = StateFolder(folder / "state")

    async def fill() -> None:
        with owned.owned():
            async with opened(Settings(state=owned.root), owned) as grounded:
                await grounded.ready()
                await ingest(grounded, Request(folder / "docs"), lambda *_: None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROUNDED_INGEST__MIN_FREE_MB", "0")
        asyncio.run(fill())
    return owned.root


def test_a_model_that_answers_at_once_is_streamed_to_its_end(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDED_INGEST__MIN_FREE_MB", "0")
    with talking(0, 0) as endpoint:
        found: dict[str, Any] = asyncio.run(load(state, ASKED, (3,), 0.5, Asking(STREAMED, settings(endpoint))))
    assert found["3"]["answers"] >= 3
    assert found["3"]["cpu_ms"] > 0


def test_an_answer_that_ends_with_an_error_is_not_counted(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDED_INGEST__MIN_FREE_MB", "0")
    with talking(0, 0) as endpoint:
        gone = settings(endpoint)
    alone = {"GROUNDED_GENERATION__FALLBACK": "none"}
    with pytest.raises(CommandError, match="error"):
        asyncio.run(load(state, ASKED, (1,), 0.5, Asking(STREAMED, gone | alone)))
