"""Of several processes one runs jobs: the others take them, tell of them and cancel them."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from app.dispatch import Dispatcher
from app.jobs import Job
from tests.app.test_dispatch import END_S, Rig, folder, life, run


class Given:
    """A lead that the test gives and takes."""

    every_s = 0.02

    def __init__(self, *, held: bool) -> None:
        self.held = held
        self.asked = 0

    async def hold(self) -> bool:
        self.asked += 1
        return self.held

    async def close(self) -> None:
        pass


async def until(wanted: Callable[[], bool]) -> None:
    async with asyncio.timeout(END_S):
        while not wanted():  # noqa: ASYNC110  what comes about is in another thread
            await asyncio.sleep(0.01)


def following(rig: Rig) -> Dispatcher:
    """The dispatcher of another process on the same store."""
    return Dispatcher(rig.store, rig.runner, rig.work, 30, Given(held=False))


def test_a_job_waits_for_the_lead_and_is_begun_again_when_that_is_lost_in_the_middle(tmp_path: Path) -> None:
    async def main() -> None:
        async with life(tmp_path) as rig:
            lead = Given(held=False)
            rig.jobs = Dispatcher(rig.store, rig.runner, rig.work, 30, lead)
            job = await rig.jobs.submit(folder("/waits"))
            await until(lambda: lead.asked > 3)
            assert rig.work.begun == []
            lead.held = True
            await until(lambda: rig.work.begun == [job.id])
            lead.held = False
            await until(lambda: rig.work.running == 0)
            assert (await rig.jobs.find(job.id)).status == "processing"
            lead.held = True
            await until(lambda: rig.work.begun == [job.id] * 2)
            rig.work.gate.set()
            assert (await rig.ended(job.id)).status == "succeeded"

    run(main)


def test_who_does_not_lead_hands_on_follows_and_cancels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.dispatch._WATCH_S", 0.02)

    async def main() -> None:
        async with life(tmp_path) as rig:
            await rig.jobs.started()
            other = following(rig)
            job = await other.submit(folder("/fine"))
            told = [event async for event in other.follow(job.id)]
            assert isinstance(told[-1], Job)
            assert told[-1].status == "succeeded"
            assert not other._told or all(teller.end.is_set() for teller in other._told.values())
            long = await other.submit(folder("/waits"))
            await rig.begun(long.id)
            await other.cancel(long.id)
            assert (await rig.ended(long.id)).status == "canceled"
            await other.stop()

    run(main)
