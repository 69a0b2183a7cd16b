"""Wherever a reindex is cut off, the old generation is live and whole."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.app.reindex.lives import Lives, document, holds_nothing_of, whole
from tests.app.serving import write

pytestmark = pytest.mark.anyio


class DiedError(BaseException):
    """Nothing of the process catches it."""


class TestCutOff:
    """Wherever it is cut off, the old generation is live and whole, and the next attempt makes nothing twice."""

    async def test_an_attempt_that_fails_in_its_middle_is_gone_on_with(self, lives: Lives, docs: Path) -> None:
        many = {f"many{n}.txt": document(f"many{n}", 60) for n in range(5)}  # several batches
        write(docs, many)

        async with lives.fed() as rig:
            lives.world.held.add("new")
            task = asyncio.create_task(rig.build("new", force=True))
            await lives.world.waiting.wait()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await rig.states() == {"old": "live", "new": "building"}
            assert lives.world.models[-1].closed
            await whole(rig, "old")
            lives.world.held.clear()
        async with lives.begin() as rig:
            assert await rig.states() == {"old": "live", "new": "building"}
            await rig.build("new", force=True)
            await whole(rig, "new")
            assert len(lives.world.embedded["new"]) == len(set(lives.world.embedded["new"])) == 330

    @pytest.mark.parametrize("step", ["in_step", "score", "swap", "drop", "forget"])
    @pytest.mark.parametrize("late", [False, True])
    async def test_a_crash_before_or_behind_any_commit(
        self, lives: Lives, golden: Path, monkeypatch: pytest.MonkeyPatch, step: str, late: bool
    ) -> None:
        """The process ends there: nothing of it runs any more, and what comes next sees only what was written."""
        async with lives.fed() as rig:
            await rig.build("older", golden)
            real = getattr(rig.rows, step)

            async def dies(*arguments: Any) -> Any:
                if late:
                    await real(*arguments)
                raise DiedError

            monkeypatch.setattr(rig.rows, step, dies)
            with pytest.raises(DiedError):
                await rig.build("new", golden)
        before = len(lives.world.embedded["new"])
        async with lives.begin("older") as rig:
            found = await rig.states()
            (live,) = [name for name, state in found.items() if state == "live"]
            assert live == ("new" if step in ("drop", "forget") or (step, late) == ("swap", True) else "older")
            await whole(rig, live)
            assert "dropped" not in found.values()
            gone = await rig.document("anchor.txt")
            await rig.ingest.remove(gone)
            await rig.build("new", golden)
            assert (await rig.states())["new"] == "live"
            await whole(rig, "new")
            await holds_nothing_of(rig, gone, *(await rig.states()))
            assert len(lives.world.embedded["new"]) == before
            assert len(lives.world.engines) == len(await rig.states())
