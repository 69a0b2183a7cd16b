"""What every batch store must do. Inherit, and give a `store` and the `jobs` beside it, whose catalog knows two DOCUMENTS."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson
import pytest

from app.batch import BatchStore, Part, Waiting, new_batch
from app.errors import IdempotencyConflict
from app.jobs import Job, JobStore, Key
from app.webhooks import new_webhook

T = TypeVar("T")
DOCUMENTS = ("6b7f0f0e-53b0-5c0e-9d0a-6f1f2a6c2b11", "0c0f5ad2-31c8-5f8a-8a0f-6b1d2f0e7c22")
URL = "https://hooks.example/a"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def questions(n: int) -> list[tuple[str, Mapping[str, Any]]]:
    return [(f"q{i}", {"id": f"q{i}", "question": f"What is {i}? 😀"}) for i in range(n)]


def submitted(store: BatchStore, n: int = 3, key: Key | None = None, url: str | None = None) -> Job:
    job = new_batch("http://localhost", n)
    return run(store.submit(job, key, questions(n), new_webhook(job.id, url) if url else None))


def keep(store: BatchStore, job: Job, number: int, documents: Sequence[str] = (), *, failed: bool = False) -> bool:
    return run(store.keep(job.id, number, f'{{"id":"q{number}"}}'.encode(), documents, failed=failed))


class BatchStoreContract:
    """Each question has one result, in order; none rests on what is deleted."""

    def test_questions_come_back_in_order_until_they_have_results(self, store: BatchStore, jobs: JobStore) -> None:
        job = submitted(store, 5)
        assert run(jobs.find(job.id)) == job
        assert (job.line, job.details, job.progress.total) == ("batch", {"received": 5}, 5)
        assert run(store.waiting(job.id, -1, 2)) == [Waiting(n, f"q{n}", questions(5)[n][1]) for n in (0, 1)]
        assert keep(store, job, 1)
        assert keep(store, job, 3, failed=True)
        assert [asked.number for asked in run(store.waiting(job.id, -1, 9))] == [0, 2, 4]
        assert [asked.number for asked in run(store.waiting(job.id, 2, 9))] == [4]
        assert run(store.counts(job.id)) == {"waiting": 3, "answered": 1, "failed": 1}
        assert [(r.number, r.name, r.state) for r in run(store.results(job.id, -1, 9))] == [
            (1, "q1", "answered"),
            (3, "q3", "failed"),
        ]
        assert [r.number for r in run(store.results(job.id, 1, 9))] == [3]
        assert [r.number for r in run(store.results(job.id, -1, 1))] == [1]

    def test_what_a_result_rests_on_is_told(self, store: BatchStore) -> None:
        job = submitted(store, 3)
        assert keep(store, job, 0, [DOCUMENTS[0]])
        assert keep(store, job, 1)
        assert run(store.rests_on(job.id, [0, 1, 2])) == {0: frozenset({DOCUMENTS[0]})}
        assert run(store.rests_on(job.id, [1])) == {}

    def test_a_result_is_kept_once(self, store: BatchStore) -> None:
        job = submitted(store)
        line = b'{"id":"q0","first":true}'
        assert run(store.keep(job.id, 0, line, DOCUMENTS, failed=False))
        assert run(store.keep(job.id, 0, b"{}", (), failed=True))
        (result,) = run(store.results(job.id, -1, 9))
        assert (result.line, result.state) == (line, "answered")

    def test_of_many_that_answer_at_once_one_is_kept(self, store: BatchStore) -> None:
        job = submitted(store, 1)

        async def main() -> None:
            await asyncio.gather(
                *(store.keep(job.id, 0, str(n).encode(), DOCUMENTS[:1], failed=False) for n in range(20))
            )

        run(main())
        assert len(run(store.results(job.id, -1, 9))) == 1

    def test_a_batch_of_another_job_is_another_one(self, store: BatchStore) -> None:
        first, second = submitted(store), submitted(store)
        keep(store, first, 0)
        assert run(store.results(second.id, -1, 9)) == []
        assert run(store.number(first.id, "q2")) == 2
        assert run(store.number(first.id, "q9")) is None
        assert run(store.number("job_none", "q2")) is None
        assert run(store.waiting("job_none", -1, 9)) == []

    def test_what_waits_is_counted_over_batches_that_are_not_over(self, store: BatchStore, jobs: JobStore) -> None:
        first, second = submitted(store, 3), submitted(store, 4)
        keep(store, first, 0)
        assert run(store.pending()) == 6
        run(jobs.cancel(second.id))
        assert run(store.pending()) == 2

    def test_a_key_comes_with_its_job(self, store: BatchStore, jobs: JobStore) -> None:
        job = submitted(store, key=Key("k" * 64, "f" * 64))
        known = run(jobs.recall(Key("k" * 64, "f" * 64)))
        assert known is not None
        assert known.job_id == job.id
        with pytest.raises(IdempotencyConflict):
            run(jobs.recall(Key("k" * 64, "g" * 64)))

    def test_a_question_is_kept_no_longer_than_it_is_needed(self, store: BatchStore) -> None:
        job = submitted(store)
        keep(store, job, 0)
        assert "What is 0" not in str(run(store.waiting(job.id, -1, 9)))

    def test_nothing_is_kept_that_rests_on_what_is_not_there(self, store: BatchStore) -> None:
        job = submitted(store)
        gone = "00000000-0000-0000-0000-000000000000"
        assert not keep(store, job, 0, [DOCUMENTS[0], gone])
        assert run(store.results(job.id, -1, 9)) == []
        assert keep(store, job, 0, DOCUMENTS)

    def test_parts_are_noted_and_replaced(self, store: BatchStore) -> None:
        job = submitted(store)
        for part in (Part(1, None), Part(0, "batch_a"), Part(1, "batch_b")):
            run(store.note_part(job.id, part))
        assert run(store.parts(job.id)) == [Part(0, "batch_a"), Part(1, "batch_b")]
        assert run(store.parts("job_none")) == []

    def test_it_goes_with_its_job(self, store: BatchStore, jobs: JobStore) -> None:
        job = submitted(store, url=URL)
        keep(store, job, 0, DOCUMENTS)
        run(store.note_part(job.id, Part(0, "batch_a")))
        run(jobs.begin(job.id))
        run(jobs.finish(job.id, "succeeded"))
        assert run(jobs.prune(datetime.now(UTC) + timedelta(days=1))) == 1
        assert run(store.counts(job.id)) == {}
        assert run(store.parts(job.id)) == []


def withdrawn(line: bytes) -> bool:
    """Whether a result says that its answer was withdrawn."""
    found = orjson.loads(line)
    return found["response"] is None and found["error"]["code"] == "answer_withdrawn"
