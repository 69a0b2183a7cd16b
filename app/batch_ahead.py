"""Has a provider's batch API write the answers of a batch, before its questions are asked one by one.

Each part of a batch is searched, its prompts handed in, and waited for. What was written is told to the generator of batches;
what was not, is not there when its question is asked, and that question is answered like any other. So nothing that a
provider loses is lost, and no result comes of it but by the road of every answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog

from app.api.batch_schemas import BatchQuestion
from app.api.replies import validated
from app.asked import question_of
from app.batch import BatchStore, Part, Waiting
from app.jobs import Job, JobStore
from app.keys.model import Principal
from app.pipeline import AnswerPipeline, Question
from app.settings import Settings
from generation.batch import BatchModel, Order, WrittenFirst, fingerprint
from generation.errors import GenerationError
from generation.model import Ask, Example
from generation.prompt import PromptSource
from ingest.errors import GroundedError
from retrieval.model import Context

_SIZE = 1000  # questions in a part: a few tens of megabytes
_CANCEL_S = 10.0
_log = structlog.get_logger()


class AheadByProvider:
    """Ahead, by a provider's batch API."""

    def __init__(
        self,
        api: BatchModel,
        written: WrittenFirst,
        store: BatchStore,
        jobs: JobStore,
        pipeline: AnswerPipeline,
        prompt: PromptSource,
        settings: Settings,
        takes: Callable[[Question], bool],
        examples: Callable[[Context], Awaitable[tuple[Example, ...]]] | None = None,
        asks_nobody: Callable[[Context], bool] = lambda _: False,
    ) -> None:
        """`takes` says of a question whether it may and is to be answered by the provider's model, `examples` what that is
        shown beside the prompt, and `asks_nobody` of a context that it is too far from the question for any model."""
        self._api = api
        self._written = written
        self._store = store
        self._jobs = jobs
        self._pipeline = pipeline
        self._prompt = prompt
        self._settings = settings
        self._takes = takes
        self._examples = examples
        self._asks_nobody = asks_nobody
        self._learnt: dict[str, list[str]] = {}

    async def prepare(self, job: Job) -> None:
        """Hand in what was not, wait for all of it, and learn what was written. Whatever the provider does, it returns."""
        for part in await self._handed_in(job):
            await self._learn(job, part)

    async def done(self, job: Job) -> None:
        """Neither we nor the provider keep what was written."""
        self._let_go(job)
        for part in await self._store.parts(job.id):
            if part.upstream_id is not None:
                await self._tried("forget", self._api.forget(part.upstream_id))

    async def left(self, job: Job) -> None:
        """A job that was canceled is not to be paid for, and the provider keeps nothing of it; one that the end of the
        service cuts off goes on later, with what the provider has."""
        self._let_go(job)
        now = await self._jobs.find(job.id)
        if now is None or not now.cancel_requested:
            return
        for part in await self._store.parts(job.id):
            if part.upstream_id is not None:
                await self._tried("cancel", self._api.cancel(part.upstream_id))
                await self._tried("forget", self._api.forget(part.upstream_id))

    def _let_go(self, job: Job) -> None:
        for print_ in self._learnt.pop(job.id, ()):
            self._written.forget(print_)

    async def _handed_in(self, job: Job) -> list[Part]:
        """Every part of the batch that the provider has; a part is the same questions in every life of the process."""
        known = {part.number: part for part in await self._store.parts(job.id)}
        total = job.progress.total
        for number in range(-(-total // _SIZE)):
            if number not in known or known[number].upstream_id is None:
                found = await self._hand_in(job, number, begun=number in known)
                if found is None:
                    break  # the provider is not there: the queue is
                known[number] = found
        return [part for _, part in sorted(known.items()) if part.upstream_id is not None]

    async def _hand_in(self, job: Job, number: int, *, begun: bool) -> Part | None:
        label = f"{job.id}.{number}"
        try:
            upstream = await self._api.find(label) if begun else None  # its id may have been lost on the way to us
            if upstream is None:
                orders = await self._orders(job, number)
                if not orders:
                    return Part(number, None)
                await self._store.note_part(job.id, Part(number, None))
                upstream = await self._api.submit(orders, label)
        except GenerationError as error:
            _log.warning("batch.not_handed_in", job_id=job.id, part=number, code=error.code, cause=error.message)
            return None
        part = Part(number, upstream)
        await self._store.note_part(job.id, part)
        return part

    async def _orders(self, job: Job, number: int) -> list[Order]:
        """Prompts for the questions of the part that have no result yet."""
        asked = await self._store.waiting(job.id, number * _SIZE - 1, _SIZE)
        orders = [await self._order(one, job.owner) for one in asked if one.number < (number + 1) * _SIZE]
        return [order for order in orders if order is not None]

    async def _order(self, asked: Waiting, who: Principal) -> Order | None:
        """The same search as later; None for what the provider may not or need not see."""
        try:
            body = validated(dict(asked.body), BatchQuestion)
            question, _ = question_of(body, self._settings, "", who)
            if question.history or question.response_format or not self._takes(question):
                return None
            scope = await self._pipeline.scope(question.collection, who)
            _, context, _ = await self._pipeline.retrieve(question, scope)
        except GroundedError:
            return None  # it will be said of the question when it is asked
        if not context.passages or self._asks_nobody(context):
            return None
        ask = Ask(question.text, question.history, question.max_tokens)
        prompt = self._prompt.now()
        shown = await self._examples(context) if self._examples is not None else ()
        messages = prompt.request(replace(ask, examples=shown), context)
        return Order(f"{asked.number}.{fingerprint(ask, context)}.{prompt.version}", messages, question.max_tokens)

    async def _learn(self, job: Job, part: Part) -> None:
        """Wait until it has ended, and take what was written."""
        assert part.upstream_id is not None
        end = (job.started_at or datetime.now(UTC)) + timedelta(hours=self._settings.batch.give_up_h)
        while not await self._has_ended(part.upstream_id):
            if datetime.now(UTC) > end:
                _log.warning("batch.given_up", job_id=job.id, part=part.number)
                await self._tried("cancel", self._api.cancel(part.upstream_id))
                break
            await asyncio.sleep(self._settings.batch.poll_s)
        try:
            found = await self._api.written(part.upstream_id)
        except GenerationError as error:
            _log.warning("batch.not_fetched", job_id=job.id, part=part.number, code=error.code, cause=error.message)
            return
        for written in found:
            print_, _, version = written.id.partition(".")[2].partition(".")
            self._written.learn(print_, written, version)
            self._learnt.setdefault(job.id, []).append(print_)
        _log.info("batch.written", job_id=job.id, part=part.number, answers=len(found))

    async def _has_ended(self, upstream_id: str) -> bool:
        """An API that cannot be reached may be there at the next look."""
        try:
            return await self._api.ended(upstream_id)
        except GenerationError as error:
            _log.warning("batch.not_told", code=error.code, cause=error.message)
            return False

    async def _tried(self, what: str, call: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(_CANCEL_S):
                await call
        except (GenerationError, TimeoutError) as error:
            _log.warning("batch.provider_failed", what=what, cause=type(error).__name__)
