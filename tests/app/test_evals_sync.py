"""The bench of a second ingest runs the real command, and notices when it did not do what is measured."""

import asyncio
from pathlib import Path

import pytest

from app.errors import CommandError
from app.evals.sync import BUDGET_S, _run, sync

pytestmark = [pytest.mark.models, pytest.mark.slow]


def test_the_real_command_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDED_INGEST__MIN_FREE_MB", "0")
    report = asyncio.run(sync(12, seed=1))
    assert report["files"] == 12
    assert report["budget_seconds"] == BUDGET_S
    assert min(report[f"{name}_seconds"] for name in ("first", "unchanged", "one_changed")) > 0


def test_a_run_that_did_something_else_is_no_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDED_INGEST__MIN_FREE_MB", "0")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("A sentence about a river.")
    with pytest.raises(CommandError, match="'unchanged': 0"):
        asyncio.run(_run(tmp_path / "docs", tmp_path / "state", {"unchanged": 1}))
    with pytest.raises(CommandError, match="folder_not_found"):
        asyncio.run(_run(tmp_path / "nowhere", tmp_path / "state", {}))
