"""Clients against the real service, in a process of its own."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.errors import CommandError
from app.evals.clients import load
from app.evals.corpus import ingest
from app.settings import Settings
from app.state import StateFolder
from app.wiring import opened
from ingest.run import Request

pytestmark = [pytest.mark.models, pytest.mark.slow]


def test_answers_are_counted_and_the_loop_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDED_INGEST__MIN_FREE_MB", "0")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Refunds\n\nRefunds are issued within 14 days.\n")
    state = StateFolder(tmp_path / "state")

    async def main() -> dict[str, Any]:
        with state.owned():
            async with opened(Settings(state=state.root), state) as grounded:
                await grounded.ready()
                await ingest(grounded, Request(tmp_path / "docs"), lambda *_: None)
        return await load(state.root, ["When are refunds issued?", "What is a refund?"], (1, 4), 1.0)

    found = asyncio.run(main())
    assert found["memory_mb"]["rss"] > 100
    for name in ("1", "4"):
        assert found[name]["answers"] > 0
        assert 0 < found[name]["p50"] <= found[name]["p95"] <= found[name]["p99"]
        assert found[name]["cpu_ms"] > 0
        assert all(ms >= 0 for ms in found[name]["cpu_ms_by_part"].values())
        assert found[name]["longest_stall_ms"] >= 0


def test_a_service_that_does_not_start_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, and no folder")
    with pytest.raises(CommandError, match="did not start"):
        asyncio.run(load(tmp_path / "state", ["?"], (1,), 0.1))
