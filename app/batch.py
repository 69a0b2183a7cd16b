"""Batches: many questions, answered one by one where nobody else needs the place, each with one result.

The questions are kept in the commit that keeps their job, and a result is kept once. So whatever ends the process, the next
start goes on with the questions that have no result. An answer is kept only while all that it rests on is there, and it goes
in the commit that hides any of it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal, Protocol

import orjson
import structlog

from app.api.batch_schemas import BatchQuestion
from app.api.encoders.native import NativeEncoder, fold
from app.api.replies import validated
from app.asked import question_of
from app.error_table import envelope, row
from app.errors import AnswerWithdrawn, InternalError, Overloaded
from app.jobs import Job, JobStatus, JobStore, Key, Progress, new_job
from app.keys.model import LOCAL, Principal
from app.pipeline import AnswerPipeline
from app.settings import Settings
from app.webhooks import Webhook
from generation.events import AnswerEvent, Failed, Finished, SourcesFound
from ingest.errors import GroundedError

State = Literal["waiting", "answered", "failed", "withdrawn"]
_PAGE = 200
_KEPT_EVERY_S = 0.25
_FACTOR = 4
_FULL_S = 60
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A question without a result: its place in the batch from 0, what the client calls it, and what was asked."""

    number: int
    name: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a question. `line` is the JSON that the client gets; None where it is withdrawn."""

    number: int
    name: str
    state: State
    line: bytes | None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a batch at a provider. `upstream_id` is None when it was about to be handed in."""

    number: int
    upstream_id: str | None


class BatchStore(Protocol):
    """Where questions and results are kept. Every call is one transaction."""

    async def submit(
        self, job: Job, key: Key | None, questions: Sequence[tuple[str, Mapping[str, Any]]], webhook: Webhook | None
    ) -> Job:
        """Keep the job with its questions, each with its name, and with who is told of its end."""
        ...

    async def waiting(self, job_id: str, after: int, limit: int) -> list[Waiting]:
        """Questions without a result, in order, behind the number `after`."""
        ...

    async def keep(self, job_id: str, number: int, line: bytes, documents: Collection[str], *, failed: bool) -> bool:
        """The result, unless there is one. False, and nothing is kept, when one of the documents is there no longer."""
        ...

    async def results(self, job_id: str, after: int, limit: int) -> list[Result]:
        """Results that there are by now, in order of their questions, behind the number `after`."""
        ...

    async def rests_on(self, job_id: str, numbers: Sequence[int]) -> Mapping[int, frozenset[str]]:
        """The documents that the results with these numbers rest on; those that rest on none are left out."""
        ...

    async def number(self, job_id: str, name: str) -> int | None:
        """The number of the question of this name."""
        ...

    async def counts(self, job_id: str) -> Mapping[State, int]:
        """How many questions stand how."""
        ...

    async def pending(self) -> int:
        """Questions without a result, over all batches that are not at their end."""
        ...

    async def parts(self, job_id: str) -> list[Part]:
        """What was handed to a provider, or was about to be."""
        ...

    async def note_part(self, job_id: str, part: Part) -> None:
        """Keep or replace it."""
        ...


class Ahead(Protocol):
    """Has answers written before their questions are asked."""

    async def prepare(self, job: Job) -> None:
        """Return when all is written that will be."""
        ...

    async def done(self, job: Job) -> None:
        """All questions have results: forget what was written."""
        ...

    async def left(self, job: Job) -> None:
        """The batch was cut off: let go of what was written, and have no more written for one that nobody wants."""
        ...


class Batches:
    """Answers the questions of batches."""

    def __init__(
        self,
        store: BatchStore,
        jobs: JobStore,
        pipeline: AnswerPipeline,
        settings: Settings,
        ready: Callable[[], Awaitable[None]],
        check: Callable[[Principal], Awaitable[None]],
        ahead: Ahead | None = None,
    ) -> None:
        """The pipeline is one whose admission lets nothing in that others wait for. `ready` waits for the models; `check`
        raises KeyRevoked when somebody may ask no longer."""
        self.store = store
        self._jobs = jobs
        self._pipeline = pipeline
        self._settings = settings
        self._ready = ready
        self._check = check
        self._ahead = ahead

    async def check_room(self, questions: int) -> None:
        """Raises Overloaded when too many wait."""
        if await self.store.pending() + questions > self._settings.batch.max_pending:
            raise Overloaded("As many questions of batches wait as are allowed.", retry_after=_FULL_S)

    async def run(self, job: Job) -> JobStatus:
        """Answer what has no result. A question that fails has that as its result; the batch goes on."""
        await self._ready()
        course = _Course(self.store, self._jobs, job)
        if self._ahead is None:
            await self._work_off(course)
            return "succeeded"
        try:
            await self._ahead.prepare(job)
            await self._work_off(course)
        except BaseException:
            with suppress(GroundedError):  # what cut it off is what is told
                await self._ahead.left(job)
            raise
        await self._ahead.done(job)
        return "succeeded"

    async def _work_off(self, course: "_Course") -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._settings.batch.running):
                    group.create_task(self._answer_all(course))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        await course.tell()

    async def _answer_all(self, course: "_Course") -> None:
        while (asked := await course.next()) is not None:
            await self._answer(course.job, asked)
            await course.tell_sometimes()

    async def _answer(self, job: Job, asked: Waiting) -> None:
        """Ask until there is a result that can be kept: what is not there for a while may be there again."""
        for attempt in count(1):
            answer = await self._asked(job, asked)
            last = attempt >= self._settings.batch.attempts
            if answer.passing and not last:
                await asyncio.sleep(self._settings.batch.retry_s * _FACTOR ** (attempt - 1))
                continue
            failed = answer.error is not None
            if await self.store.keep(job.id, asked.number, answer.line(asked.name), answer.documents, failed=failed):
                return
            if last:  # what it rests on was deleted, again and again
                gone = _Answer(error=AnswerWithdrawn("What it rests on was deleted."))
                await self.store.keep(job.id, asked.number, gone.line(asked.name), (), failed=True)
                return

    async def _asked(self, job: Job, asked: Waiting) -> "_Answer":
        """The whole answer to one question, with the rights of whoever asked it, or its error, whatever that is."""
        try:
            await self._check(job.owner)
            body = validated(dict(asked.body), BatchQuestion)
            question, style = question_of(body, self._settings, job.id, job.owner)
            encoder = NativeEncoder(job.spec["base_url"], tuple(body.include), style)
            async with aclosing(self._pipeline.ask(question)) as events:
                seen = [event async for event in events]
        except GroundedError as error:
            return _Answer(error=error)
        except Exception:  # noqa: BLE001  a bug is the result of the question that found it
            _log.exception("batch.question_failed", job_id=job.id, number=asked.number)
            return _Answer(error=InternalError("Something broke that should not."))
        failed = next((event.error for event in seen if isinstance(event, Failed)), None)
        if failed is not None:
            return _Answer(error=failed)
        told = fold(payload for event in seen for payload in encoder.encode(event))
        return _Answer(told, frozenset(_documents(seen)))


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer with the documents that it rests on, or the error in its place."""

    told: Mapping[str, Any] | None = None
    documents: frozenset[str] = frozenset()
    error: GroundedError | None = None

    @property
    def passing(self) -> bool:
        """Whether it may be another one in a while."""
        return self.error is not None and row(self.error).status in (502, 503, 504)

    def line(self, name: str) -> bytes:
        return line_of(name, self.told, self.error)


class _Course:
    """A batch on its way: which question is next, and how far it has got."""

    def __init__(self, store: BatchStore, jobs: JobStore, job: Job) -> None:
        self.job = job
        self._store = store
        self._jobs = jobs
        self._turn = asyncio.Lock()
        self._page: list[Waiting] = []
        self._last = -1
        self._told_at = 0.0

    async def next(self) -> Waiting | None:
        """The next question without a result; each is given once."""
        async with self._turn:
            if not self._page:
                self._page = await self._store.waiting(self.job.id, self._last, _PAGE)
                self._page.reverse()
            if not self._page:
                return None
            asked = self._page.pop()
            self._last = asked.number
            return asked

    async def tell_sometimes(self) -> None:
        """A few times a second."""
        if time.monotonic() - self._told_at > _KEPT_EVERY_S:
            await self.tell()

    async def tell(self) -> None:
        """Keep how far it has got."""
        self._told_at = time.monotonic()
        counts = await self._store.counts(self.job.id)
        total = sum(counts.values())
        details = {"received": total, **{state: counts.get(state, 0) for state in ("answered", "failed", "withdrawn")}}
        await self._jobs.advance(self.job.id, details, Progress(total - counts.get("waiting", 0), total, "questions"))


def new_batch(base_url: str, questions: int, owner: Principal = LOCAL) -> Job:
    """A job for so many questions. `base_url` is where links to sources lead."""
    job = new_job("batch", {"base_url": base_url}, owner)
    return replace(job, details={"received": questions}, progress=Progress(0, questions, "questions"))


def line_of(name: str, told: Mapping[str, Any] | None, error: GroundedError | None) -> bytes:
    """A result as the client gets it: the answer as POST /ask gives it, or the error."""
    said = envelope(error, "")["error"] if error is not None else None
    if said is not None:
        del said["request_id"]
    return orjson.dumps({"id": name, "response": told, "error": said})


def shown(result: Result) -> bytes:
    """The line of a result; of one that is withdrawn, that it is."""
    return result.line or line_of(result.name, None, AnswerWithdrawn("What it rested on was deleted."))


def _documents(events: Iterable[AnswerEvent]) -> set[str]:
    """All documents that the answer was made from or names, cited or not: the model has read them."""
    found: set[str] = set()
    for event in events:
        if isinstance(event, SourcesFound):
            found |= {passage.document_id for passage in event.passages}
        elif isinstance(event, Finished) and event.abstention is not None:
            found |= {passage.document_id for passage in event.abstention.nearest}
    return found
