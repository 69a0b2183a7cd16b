"""Dispatcher, DBOS and the catalog together, with work that is scripted: every job comes to one end, whatever dies."""

import asyncio
import base64
import os
import pickle
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import structlog

from app.adapters.dbos_runner import DbosRunner
from app.adapters.sql_jobs import SqlJobs
from app.dispatch import Dispatcher
from app.errors import JobFinished, JobNotFound, ReindexRunning, ShuttingDown
from app.jobs import FileEntry, Job, JobStatus, Progress, new_job
from app.work import Tell
from ingest.adapters import job_tables, tables
from ingest.adapters.sql_catalog import SqlCatalog
from ingest.errors import FolderEmpty
from tests.contracts.job_store import folder
from tests.patience import PATIENCE_S

END_S = PATIENCE_S


class Scripted:
    """Work that tells one file, then does what the job's folder is called."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.running = 0
        self.most = 0
        self.gate = asyncio.Event()

    async def run(self, job: Job, tell: Tell) -> JobStatus:
        self.begun.append(job.id)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            tell(FileEntry("a.md", "added", chunks=2))
            match job.spec["folders"][0]:
                case "/waits":
                    await self.gate.wait()
                case "/empty":
                    raise FolderEmpty("There is nothing in it.")
                case "/breaks":
                    raise ValueError("the secret of the document")
            return "succeeded"
        finally:
            self.running -= 1


class Rig:
    """One life of a service: what is written outlives it."""

    def __init__(self, state: Path) -> None:
        self.catalog = SqlCatalog(f"sqlite:///{state / 'catalog.sqlite'}")
        self.store = SqlJobs(
            self.catalog, job_tables.jobs, job_tables.job_files, job_tables.idempotency_keys, tables.documents
        )
        self.work = Scripted()
        self.runner = DbosRunner(state / "jobs.sqlite")
        self.jobs = Dispatcher(self.store, self.runner, self.work, 30)

    async def ended(self, job_id: str) -> Job:
        async with asyncio.timeout(END_S):
            while not (job := await self.jobs.find(job_id)).ended:  # noqa: ASYNC110  as a client would ask
                await asyncio.sleep(0.02)
        return job

    async def begun(self, job_id: str) -> None:
        async with asyncio.timeout(END_S):
            while job_id not in self.work.begun:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@asynccontextmanager
async def life(state: Path) -> AsyncIterator[Rig]:
    rig = Rig(state)
    try:
        yield rig
    finally:
        await rig.jobs.stop()
        await rig.catalog.close()


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with structlog.testing.capture_logs():
        asyncio.run(work())


def rows(state: Path, asked: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(state / "jobs.sqlite", isolation_level=None)) as db:
        return db.execute(asked, values).fetchall()


class TestEnds:
    def test_one_after_another_in_the_order_in_which_they_came(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with life(tmp_path) as rig:
                jobs = [await rig.jobs.submit(folder(f"/{n}")) for n in range(5)]
                for job in jobs:
                    assert (await rig.ended(job.id)).status == "succeeded"
                assert rig.work.begun == [job.id for job in jobs]
                assert rig.work.most == 1

        run(main)

    def test_a_reindex_runs_beside_the_others_and_is_one_at_a_time(self, tmp_path: Path) -> None:
        def reindex(n: int) -> Job:
            return new_job("reindex", {"folders": ["/waits"], "n": n})

        async def main() -> None:
            async with life(tmp_path) as rig:
                long = await rig.jobs.submit(reindex(1))
                await rig.begun(long.id)
                short = await rig.jobs.submit(folder("/fine"))
                assert (await rig.ended(short.id)).status == "succeeded"
                assert (await rig.jobs.find(long.id)).status == "processing"
                with pytest.raises(ReindexRunning):
                    await rig.jobs.submit(reindex(2))
            async with life(tmp_path) as rig:  # it is taken up in its own line
                await rig.jobs.started()
                await rig.begun(long.id)
                short = await rig.jobs.submit(folder("/fine"))
                assert (await rig.ended(short.id)).status == "succeeded"
                rig.work.gate.set()
                assert (await rig.ended(long.id)).status == "succeeded"

        run(main)

    def test_batches_run_beside_the_others_and_beside_each_other(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with life(tmp_path) as rig:
                batches = [await rig.jobs.submit(new_job("batch", {"folders": ["/waits"], "n": n})) for n in range(2)]
                for batch in batches:
                    await rig.begun(batch.id)
                short = await rig.jobs.submit(folder("/fine"))
                assert (await rig.ended(short.id)).status == "succeeded"
                rig.work.gate.set()
                for batch in batches:
                    assert (await rig.ended(batch.id)).status == "succeeded"

        run(main)

    def test_an_error_is_the_end_of_its_job_alone(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with life(tmp_path) as rig:
                jobs = [await rig.jobs.submit(folder(path)) for path in ("/empty", "/breaks", "/fine")]
                planned, unplanned, fine = [await rig.ended(job.id) for job in jobs]
                assert planned.error is not None
                assert (planned.status, planned.error.code) == ("failed", "folder_empty")
                assert unplanned.error is not None
                assert (unplanned.status, unplanned.error.code) == ("failed", "internal_error")
                assert "secret" not in str(unplanned.error)
                assert fine.status == "succeeded"

        run(main)

    def test_what_runs_is_canceled_and_the_next_begins(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with life(tmp_path) as rig:
                runs, waits, follows = [await rig.jobs.submit(folder(path)) for path in ("/waits", "/b", "/c")]
                await rig.begun(runs.id)
                assert (await rig.jobs.cancel(waits.id)).status == "canceled"
                async with asyncio.timeout(END_S):
                    assert (await rig.jobs.cancel(runs.id)).status == "canceled"
                assert (await rig.ended(follows.id)).status == "succeeded"
                assert rig.work.begun == [runs.id, follows.id]
                for job in (runs, waits, follows):
                    with pytest.raises(JobFinished):
                        await rig.jobs.cancel(job.id)
                with pytest.raises(JobNotFound):
                    await rig.jobs.cancel("job_none")

        run(main)

    def test_work_that_always_ends_the_process_is_given_up(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with life(tmp_path) as rig:
                job = await rig.store.submit(folder("/a"))
                for _ in range(20):
                    await rig.store.begin(job.id)
                await rig.jobs.started()
                ended = await rig.ended(job.id)
                assert ended.error is not None
                assert (ended.status, ended.error.code) == ("failed", "job_abandoned")
                assert rig.work.begun == []

        run(main)

    def test_nothing_is_taken_at_the_end(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with life(tmp_path) as rig:
                rig.jobs.close()
                with pytest.raises(ShuttingDown):
                    await rig.jobs.submit(folder("/a"))
                assert await rig.store.unfinished() == []

        run(main)


@pytest.mark.slow
def test_a_runner_that_cannot_start_now_is_tried_again_and_no_job_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.dispatch._WATCH_S", 0.1)

    async def main() -> None:
        async with life(tmp_path) as rig:
            full = sqlite3.OperationalError("database or disk is full")
            with patch.object(DbosRunner, "_open", side_effect=full) as tried:
                job = await rig.jobs.submit(folder("/a"))
                async with asyncio.timeout(END_S):
                    while tried.call_count < 2:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                assert (await rig.jobs.find(job.id)).status == "enqueued"
            assert (await rig.ended(job.id)).status == "succeeded"
            with patch.object(DbosRunner, "_enqueue", side_effect=full):
                job = await rig.jobs.submit(folder("/b"))
            assert (await rig.ended(job.id)).status == "succeeded"

    run(main)


class TestFollowing:
    def test_files_as_they_come_and_the_end_last(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with life(tmp_path) as rig:
                job = await rig.jobs.submit(folder("/waits"))
                seen: list[Job | FileEntry] = []
                async with aclosing(rig.jobs.follow(job.id)) as news:
                    async for item in news:
                        seen.append(item)
                        if isinstance(item, FileEntry):
                            rig.work.gate.set()
                assert [type(item) for item in seen].count(FileEntry) == 1
                assert isinstance(seen[0], Job)
                assert isinstance(seen[-1], Job)
                assert seen[-1].status == "succeeded"
                again = [item async for item in rig.jobs.follow(job.id)]
                assert [again[0], again[-1]] == [FileEntry("a.md", "added", chunks=2), seen[-1]]
                with pytest.raises(JobNotFound):
                    await anext(rig.jobs.follow("job_none"))

        run(main)

    def test_it_ends_with_the_service(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with life(tmp_path) as rig:
                job = await rig.jobs.submit(folder("/waits"))
                await rig.begun(job.id)
                following = asyncio.create_task(_all(rig, job.id))
                await asyncio.sleep(0.1)
                rig.jobs.close()
                last = (await asyncio.wait_for(following, END_S))[-1]
                assert isinstance(last, FileEntry | Job)
                assert not (await rig.jobs.find(job.id)).ended

        run(main)


async def _all(rig: Rig, job_id: str) -> list[Job | FileEntry]:
    return [item async for item in rig.jobs.follow(job_id)]


@pytest.mark.slow
class TestLives:
    """What one process leaves behind, the next takes up."""

    def test_what_was_cut_off_is_begun_again(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with life(tmp_path) as rig:
                runs = await rig.jobs.submit(folder("/waits"))
                waits = await rig.jobs.submit(folder("/b"))
                await rig.begun(runs.id)
            async with life(tmp_path) as rig:
                assert [job.status for job in await rig.store.unfinished()] == ["processing", "enqueued"]
                rig.work.gate.set()
                await rig.jobs.started()
                for job in (runs, waits):
                    assert (await rig.ended(job.id)).status == "succeeded"

        run(main)

    def test_what_was_kept_and_not_put_in_line_is_put_there(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with life(tmp_path) as rig:
                job = await rig.store.submit(folder("/a"))  # and here it died
                await rig.jobs.started()
                assert (await rig.ended(job.id)).status == "succeeded"

        run(main)

    def test_a_cancel_that_was_not_carried_out_is(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with life(tmp_path) as rig:
                job = await rig.store.submit(folder("/a"))
                await rig.store.begin(job.id)
                await rig.store.cancel(job.id)
                await rig.jobs.started()
                assert (await rig.ended(job.id)).status == "canceled"
                assert rig.work.begun == []

        run(main)

    @pytest.mark.parametrize("found", ["another release", "another process", "lost", "damaged", "ended"])
    def test_whatever_the_runner_remembers_every_job_comes_to_its_end(self, tmp_path: Path, found: str) -> None:
        async def main() -> None:
            async with life(tmp_path) as rig:
                jobs = [await rig.jobs.submit(folder(path)) for path in ("/waits", "/b", "/c")]
                await rig.begun(jobs[0].id)
            _make(tmp_path, found)
            async with life(tmp_path) as rig:
                rig.work.gate.set()
                await rig.jobs.started()
                for job in jobs:
                    assert (await rig.ended(job.id)).status == "succeeded"
                assert sorted(rig.work.begun) == sorted(job.id for job in jobs)

        run(main)

    def test_the_runner_forgets_what_has_ended(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with life(tmp_path) as rig:
                job = await rig.jobs.submit(folder("/a"))
                await rig.ended(job.id)
            async with life(tmp_path) as rig:
                await rig.jobs.started()
                assert rows(tmp_path, "SELECT count(*) FROM workflow_status") == [(0,)]
                assert (await rig.jobs.find(job.id)).status == "succeeded"

        run(main)


def _make(state: Path, found: str) -> None:
    """What a later start may find in the runner's file."""
    match found:
        case "another release":
            rows(state, "UPDATE workflow_status SET application_version = 'older'")
        case "another process":
            rows(state, "UPDATE workflow_status SET status = 'PENDING', executor_id = 'local'")
        case "lost":
            for file in state.glob("jobs.sqlite*"):
                file.unlink()
        case "damaged":
            for file in state.glob("jobs.sqlite-*"):
                file.unlink()
            (state / "jobs.sqlite").write_bytes(b"SQLite format 3\0" + os.urandom(8192))
        case _:
            rows(state, "UPDATE workflow_status SET status = 'ERROR'")


@pytest.mark.slow
class TestPickle:
    """A row that asks for being unpickled runs nothing."""

    def test_a_planted_row_is_refused_and_its_job_done_all_the_same(self, tmp_path: Path) -> None:
        proof = tmp_path / "proof"
        hostile = base64.b64encode(pickle.dumps(_Hostile(proof))).decode()

        async def main() -> None:
            async with life(tmp_path) as rig:
                blocks = await rig.jobs.submit(folder("/waits"))
                await rig.begun(blocks.id)
                job = await rig.jobs.submit(folder("/a"))
                rows(tmp_path, "UPDATE workflow_status SET serialization = 'py_pickle' WHERE workflow_uuid = ?", job.id)
                for table in ("workflow_status", "workflow_input"):
                    rows(tmp_path, f"UPDATE {table} SET inputs = ? WHERE workflow_uuid = ?", hostile, job.id)
                rig.work.gate.set()
                assert (await rig.ended(job.id)).status == "succeeded"
                assert rig.work.begun == [blocks.id, job.id]
            assert not proof.exists()

        run(main)

    def test_the_plant_would_work_on_others(self, tmp_path: Path) -> None:
        pickle.loads(pickle.dumps(_Hostile(tmp_path / "proof")))
        assert (tmp_path / "proof").exists()

    def test_nothing_but_ids_is_told_to_the_runner(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with life(tmp_path) as rig:
                for path in ("/canary-folder", "/breaks"):
                    job = await rig.jobs.submit(folder(path, include=["canary-glob"]))
                    await rig.ended(job.id)

        run(main)
        kept = b"".join(file.read_bytes() for file in tmp_path.glob("jobs.sqlite*"))
        assert b"job_" in kept
        for canary in (b"canary", b"secret", b"py_pickle"):
            assert canary not in kept


class _Hostile:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return (Path.touch, (self.proof,))


def test_the_runners_file_is_as_durable_as_the_catalog(tmp_path: Path) -> None:
    async def main() -> None:
        async with life(tmp_path) as rig:
            await rig.jobs.started()
            engine = rig.runner._engine
            assert engine is not None
            with engine.connect() as one, engine.connect() as two:
                for connection in (one, two):
                    assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
                    assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"

    run(main)


def test_no_hosted_control_plane_whatever_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DBOS__CONDUCTOR_KEY", "DBOS__CONDUCTOR_URL", "DBOS__CLOUD", "DBOS__APPVERSION", "DBOS__VMID"):
        monkeypatch.setenv(name, "true")

    async def main() -> None:
        async with life(tmp_path) as rig:
            job = await rig.jobs.submit(folder("/a"))
            assert (await rig.ended(job.id)).status == "succeeded"
            assert not [name for name in os.environ if name.startswith("DBOS_")]
        assert rows(tmp_path, "SELECT DISTINCT application_version FROM workflow_status") == [("1",)]

    run(main)


def test_progress_of_a_job_is_not_lost_by_a_second_attempt(tmp_path: Path) -> None:
    async def main() -> None:
        async with life(tmp_path) as rig:
            job = await rig.store.submit(new_job("ingest", {"collection": "default", "folders": ["/a"]}))
            await rig.store.begin(job.id)
            await rig.store.advance(job.id, {"embedded": 7}, Progress(1, 3))
            await rig.jobs.started()
            assert (await rig.ended(job.id)).details == {"embedded": 7}

    run(main)
