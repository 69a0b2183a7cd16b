"""Corpora of evaluations: the same ids in every run, so that what scores alike stands in the same order."""

import asyncio
from pathlib import Path

import pytest
import structlog

from app.evals.corpus import ingested
from tests.app.serving import fake_embedder, settings_for

ROWS = [{"_id": f"r{n}", "title": "", "text": f"The harbour number {n} is green."} for n in range(3)]


def ids(tmp_path: Path, *, inside: bool = False) -> list[dict[str, str]]:
    """By document, the rows of one run; with `inside` also those of one that runs meanwhile."""

    async def main() -> list[dict[str, str]]:
        settings = settings_for(tmp_path / "state")
        async with ingested(settings, ROWS) as corpus:
            if not inside:
                return [corpus.rows]
            async with ingested(settings, ROWS) as other:
                return [corpus.rows, other.rows]

    with fake_embedder(), structlog.testing.capture_logs():
        return asyncio.run(main())


def test_two_runs_have_the_same_ids(tmp_path: Path) -> None:
    [first], [second] = ids(tmp_path), ids(tmp_path)
    assert sorted(first.values()) == ["r0", "r1", "r2"]
    assert first == second


def test_a_run_beside_another_has_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = ids(tmp_path, inside=True)
    assert sorted(first.values()) == sorted(second.values())
    assert first.keys().isdisjoint(second)
    assert "another evaluation runs" in capsys.readouterr().err
