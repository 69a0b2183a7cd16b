"""What every job store must do. Inherit, and give a `store` fixture whose catalog knows the document DOCUMENT."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from app.errors import IdempotencyConflict, IngestRunning, ReindexRunning
from app.jobs import FileEntry, Job, JobStore, Key, Progress, Told, new_job

T = TypeVar("T")
DOCUMENT = "6b7f0f0e-53b0-5c0e-9d0a-6f1f2a6c2b11"
TOLD = Told("broken_file", "It is damaged.", "Save it again.")


def folder(path: str = "/docs", collection: str = "default", **options: Any) -> Job:
    return new_job("ingest", {"collection": collection, "folders": [path], "options": options})


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


class JobStoreContract:
    """A job is kept before it is run, has one end, and names no document that is gone."""

    def test_a_job_comes_back_as_it_was_kept(self, store: JobStore) -> None:
        job = folder("/docs/äöü 😀", include=["*.md"])
        assert run(store.submit(job)) == job
        assert run(store.find(job.id)) == job
        assert run(store.find("job_none")) is None
        assert run(store.unfinished()) == [job]

    def test_an_equal_ingest_of_a_folder_joins_the_one_that_is_not_at_its_end(self, store: JobStore) -> None:
        first, second = folder(force=True), folder(force=True)
        run(store.submit(first))
        assert run(store.submit(second)).id == first.id
        run(store.begin(first.id))
        assert run(store.submit(second)).id == first.id
        assert run(store.find(second.id)) is None
        run(store.finish(first.id, "succeeded"))
        assert run(store.submit(second)).id == second.id

    def test_an_unlike_ingest_of_the_same_folder_is_refused(self, store: JobStore) -> None:
        first = folder(force=True)
        run(store.submit(first))
        with pytest.raises(IngestRunning) as caught:
            run(store.submit(folder(force=False)))
        assert caught.value.details == {"job_id": first.id}
        others = [folder("/docs2", force=False), folder(collection="other", force=False)]
        others += [new_job("ingest", {"collection": "default", "uploads": [DOCUMENT]}) for _ in range(2)]
        for other in others:
            assert run(store.submit(other)).id == other.id

    def test_one_index_is_built_at_a_time_and_folders_are_none_of_its_business(self, store: JobStore) -> None:
        first = new_job("reindex", {"action": "build", "recipe": {}})
        run(store.submit(first))
        assert run(store.submit(new_job("reindex", {"action": "build", "recipe": {}}))).id == first.id
        with pytest.raises(ReindexRunning) as caught:
            run(store.submit(new_job("reindex", {"action": "drop"})))
        assert caught.value.details == {"job_id": first.id}
        other = folder()
        assert run(store.submit(other)).id == other.id
        assert [(job.id, job.line) for job in run(store.unfinished())] == [(first.id, "reindex"), (other.id, "jobs")]

    def test_one_of_many_that_come_at_once_is_kept(self, store: JobStore) -> None:
        async def main() -> set[str]:
            kept = await asyncio.gather(*(store.submit(folder()) for _ in range(20)))
            return {job.id for job in kept}

        assert len(run(main())) == 1
        assert len(run(store.unfinished())) == 1

    def test_a_job_that_is_being_canceled_is_joined_by_nobody(self, store: JobStore) -> None:
        job = folder()
        run(store.submit(job))
        run(store.begin(job.id))
        run(store.cancel(job.id))
        with pytest.raises(IngestRunning):
            run(store.submit(folder()))

    def test_from_enqueued_to_its_end(self, store: JobStore) -> None:
        job = folder()
        run(store.submit(job))
        begun = run(store.begin(job.id))
        assert begun is not None
        assert (begun.status, begun.attempts, begun.finished_at) == ("processing", 1, None)
        assert begun.started_at is not None
        assert begun.started_at >= job.enqueued_at
        again = run(store.begin(job.id))
        assert again is not None
        assert (again.attempts, again.started_at) == (2, begun.started_at)
        run(store.advance(job.id, {"received": 2, "embedded": 5}, Progress(1, 2)))
        ahead = run(store.find(job.id))
        assert ahead is not None
        assert (ahead.attempts, ahead.details, ahead.progress) == (0, {"received": 2, "embedded": 5}, Progress(1, 2))
        run(store.finish(job.id, "failed", TOLD))
        ended = run(store.find(job.id))
        assert ended is not None
        assert (ended.status, ended.error, ended.spec) == ("failed", TOLD, {})
        assert ended.finished_at is not None
        assert run(store.unfinished()) == []

    def test_what_comes_behind_an_end_changes_nothing(self, store: JobStore) -> None:
        job = folder()
        run(store.submit(job))
        run(store.begin(job.id))
        run(store.finish(job.id, "succeeded"))
        ended = run(store.find(job.id))
        assert run(store.begin(job.id)) is None
        run(store.advance(job.id, {"received": 9}, Progress(9, 9), [FileEntry("a.md", "added")]))
        run(store.finish(job.id, "failed", TOLD))
        assert run(store.cancel(job.id)) == ended
        assert run(store.find(job.id)) == ended
        assert run(store.files(job.id)) == []
        for absent in (store.finish("job_none", "failed"), store.advance("job_none", {}, Progress())):
            run(absent)
        assert run(store.begin("job_none")) is None
        assert run(store.cancel("job_none")) is None

    def test_canceling_ends_what_waits_and_asks_what_runs(self, store: JobStore) -> None:
        waits, runs = folder("/a"), folder("/b")
        for job in (waits, runs):
            run(store.submit(job))
        run(store.begin(runs.id))
        ended, asked = run(store.cancel(waits.id)), run(store.cancel(runs.id))
        assert ended is not None
        assert asked is not None
        assert (ended.status, ended.spec) == ("canceled", {})
        assert ended.finished_at is not None
        assert (asked.status, asked.cancel_requested, asked.finished_at) == ("processing", True, None)
        assert run(store.begin(waits.id)) is None

    def test_files_are_told_by_path_once(self, store: JobStore) -> None:
        job = folder()
        run(store.submit(job))
        run(store.begin(job.id))
        first = FileEntry("b.md", "added", DOCUMENT, 3, None, 7)
        run(store.advance(job.id, {}, Progress(), [first, FileEntry("a.bin", "skipped")]))
        again = replace(first, status="failed", chunks=0, error=TOLD)
        run(store.advance(job.id, {}, Progress(), [again]))
        assert run(store.files(job.id)) == [FileEntry("a.bin", "skipped"), again]
        gone = FileEntry("c.md", "added", "00000000-0000-0000-0000-000000000000")
        run(store.advance(job.id, {}, Progress(), [gone]))
        assert [entry.path for entry in run(store.files(job.id))] == ["a.bin", "b.md"]  # no document, nothing to tell

    def test_a_document_is_counted_where_it_is_named_and_can_be_unnamed(self, store: JobStore) -> None:
        for path in ("/a", "/b"):
            job = folder(path)
            run(store.submit(job))
            run(store.begin(job.id))
            run(store.advance(job.id, {}, Progress(), [FileEntry("x.md", "added", DOCUMENT)]))
        assert run(store.count_named(DOCUMENT)) == 2
        run(store.unname(DOCUMENT))
        assert run(store.count_named(DOCUMENT)) == 0
        assert run(store.files(job.id)) == []

    def test_pages_are_newest_first(self, store: JobStore) -> None:
        jobs = [folder(f"/{n}") for n in range(5)]
        for job in jobs:
            run(store.submit(job))
        run(store.cancel(jobs[2].id))
        first = run(store.page(2))
        rest = run(store.page(9, after=first[-1].id))
        assert [job.id for job in first + rest] == [job.id for job in reversed(jobs)]
        assert [job.id for job in run(store.page(9, status="canceled"))] == [jobs[2].id]
        assert [job.id for job in run(store.unfinished())] == [jobs[n].id for n in (0, 1, 3, 4)]

    def test_a_key_gives_the_same_reply_to_the_same_request_alone(self, store: JobStore) -> None:
        key = Key("k" * 64, "f" * 64)
        assert run(store.recall(key)) is None
        job = run(store.submit(folder(), key))
        cut_off = run(store.recall(key))
        assert cut_off is not None
        assert (cut_off.job_id, cut_off.status, cut_off.body) == (job.id, None, None)
        run(store.remember(key, 202, b"{}"))
        known = run(store.recall(key))
        assert known is not None
        assert (known.job_id, known.status, known.body) == (job.id, 202, b"{}")
        with pytest.raises(IdempotencyConflict):
            run(store.recall(Key(key.hash, "g" * 64)))
        without_job = Key("l" * 64, "f" * 64)
        run(store.remember(without_job, 200, b"[]"))
        assert run(store.recall(without_job)) is not None

    def test_what_ended_long_ago_is_forgotten(self, store: JobStore) -> None:
        ended, running = folder("/a"), folder("/b")
        key = Key("k" * 64, "f" * 64)
        run(store.submit(ended, key))
        run(store.submit(running))
        run(store.begin(ended.id))
        run(store.advance(ended.id, {}, Progress(), [FileEntry("x.md", "added", DOCUMENT)]))
        run(store.finish(ended.id, "succeeded"))
        assert run(store.prune(datetime.now(UTC) - timedelta(days=1))) == 0
        assert run(store.prune(datetime.now(UTC) + timedelta(days=1))) == 1
        assert run(store.find(ended.id)) is None
        assert run(store.count_named(DOCUMENT)) == 0
        assert run(store.recall(key)) is None
        assert run(store.find(running.id)) is not None

    def test_touching_says_that_it_is_alive(self, store: JobStore) -> None:
        job = folder()
        run(store.submit(job))
        run(store.touch([job.id, "job_none"]))
        touched = run(store.find(job.id))
        assert touched is not None
        assert touched.updated_at > job.updated_at
        assert replace(touched, updated_at=job.updated_at) == job
