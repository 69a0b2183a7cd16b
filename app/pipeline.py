"""A question's way: admit -> retrieve -> pack -> draft -> cite and judge -> done.

Raises before its first event; after it, a failure is an event, and exactly one Finished ends every answer. Nothing that
belongs to a task is held across a yield: the first event is pulled by one task and the rest by another.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from secrets import token_hex

import structlog

from app.admission import Admission
from app.cost import Prices, cost_of
from app.errors import CollectionNotFound, InternalError
from app.explanations import AnswerExplanation, Explanations
from app.followups import FollowUps, Standalone
from generation.answer import answer_events
from generation.events import (
    Abstention,
    AnswerEvent,
    ClaimJudged,
    Failed,
    Finished,
    Progress,
    Release,
    SourcesFound,
    Started,
    TextAdded,
)
from generation.model import AbstentionReason, Ask, DraftEnd, FinishReason, Usage
from generation.ports import Generator, Verifier
from ingest.errors import GroundedError
from ingest.ports import Catalog
from retrieval.assembly import Assembly
from retrieval.context import Limits
from retrieval.errors import IndexUnavailable
from retrieval.explain import explained
from retrieval.filters import EVERYTHING, Filter
from retrieval.model import Context, Explanation, Found, Passage, Query, Scope
from retrieval.ports import Search
from retrieval.query import Turn
from retrieval.widen import Widen

_NEAREST = 3
_WHY: Mapping[AbstentionReason, str] = {
    "collection_empty": "There are no documents in this collection yet.",
    "nothing_retrieved": "Nothing in these documents resembles the question.",
    "below_threshold": "Nothing in these documents is near enough to the question.",
    "not_in_passages": "The passages that come nearest do not answer the question.",
    "no_supported_sentence": "No sentence in these documents answers the question.",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller asks, checked, in the product's own terms."""

    text: str
    collection: str = "default"
    filters: Filter = EVERYTHING
    top_k: int = 8
    history: tuple[Turn, ...] = ()
    max_tokens: int | None = None
    release: Release = "sentence"
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Packing:
    """Limits of the context but for top_k, which each question brings."""

    token_budget: int
    per_source: int
    near_duplicate: float
    prefer_latest: bool = True
    widen: Widen = "blocks"

    def limits(self, top_k: int) -> Limits:
        return Limits(top_k, self.token_budget, self.per_source, self.near_duplicate, self.prefer_latest, self.widen)


@dataclass(slots=True)
class _Course:
    """What has been learnt about an answer on its way; its end is told from this. Times in ms since the start."""

    answer_id: str
    trace_id: str
    begun: float
    ms: dict[str, float] = field(default_factory=dict)
    degraded: tuple[str, ...] = ()
    claims: Counter[str] = field(default_factory=Counter)
    asked: Standalone | None = None
    end: DraftEnd | None = None
    told: bool = False  # its line is in the log
    search: Explanation | None = None

    def now(self) -> float:
        return (time.perf_counter() - self.begun) * 1e3


class AnswerPipeline:
    """Answers questions. One for the whole service; it keeps nothing between questions."""

    def __init__(
        self,
        catalog: Catalog,
        search: Search,
        generator: Generator,
        verifier: Verifier,
        admission: Admission,
        packing: Packing,
        prices: Prices,
        *,
        assembly: Assembly | None = None,
        follow_ups: FollowUps | None = None,
        log_content: bool = False,
        explanations: Explanations | None = None,
    ) -> None:
        self._catalog = catalog
        self._search = search
        self._generator = generator
        self._verifier = verifier
        self._admission = admission
        self._packing = packing
        self._prices = prices
        self._assembly = assembly or Assembly()
        self._follow_ups = follow_ups or FollowUps()
        self._log_content = log_content
        self._explanations = explanations

    async def ask(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """The events of one answer. Raises Overloaded, ShuttingDown, CollectionNotFound before the first."""
        course = _Course(f"ans_{token_hex(12)}", token_hex(16), time.perf_counter())
        async with self._admission.admit():
            course.ms["queue"] = course.now()
            scope = await self.scope(question.collection)
            yield self._started(course, question)  # here the HTTP status is decided
            try:
                async with aclosing(self._answer(question, scope, course)) as events:
                    async for event in events:
                        if isinstance(event, Finished):
                            self._log(question, course, event)
                        yield event
            except GroundedError as error:
                finished = self._finished(course, "error")
                self._log(question, course, finished, error.code)
                yield Failed(error)
                yield finished
            except Exception:  # noqa: BLE001  after the start even a bug must end in an event
                structlog.get_logger().exception(
                    "ask.failed", request_id=question.request_id, answer_id=course.answer_id
                )
                yield Failed(InternalError("Something broke that should not."))
                yield self._finished(course, "error")
            except (asyncio.CancelledError, GeneratorExit):  # the client has gone, or the service ends
                if not course.told:
                    self._log(question, course, self._finished(course, "cancelled"))
                raise

    async def scope(self, collection: str) -> Scope:
        """Where this question may look. Raises CollectionNotFound."""
        found = await self._catalog.collection(collection)
        if found is None:
            raise CollectionNotFound(f"There is no collection {collection!r}.")
        return Scope(found, collection, groups=None)  # there are no keys yet, and whoever may ask may read all

    async def retrieve(
        self, question: Question, scope: Scope, standalone: str = ""
    ) -> tuple[Found, Context, dict[str, float]]:
        """What was found, what of it the answer may rest on, and the time of each stage in ms. `standalone` is the question
        as it is searched for, where it is another one."""
        query = Query(standalone or question.text, scope, question.filters, question.top_k)
        found = await self._search.search(query)
        start = time.perf_counter()
        context, failed = await self._assembly.context(found, self._packing.limits(question.top_k), query.text)
        found = replace(found, degraded=(*found.degraded, *failed))
        return found, context, {**found.timings_ms, "pack": (time.perf_counter() - start) * 1e3}

    async def _answer(self, question: Question, scope: Scope, course: _Course) -> AsyncGenerator[AnswerEvent, None]:
        if asks := self._follow_ups.asks_a_model(question.history):
            yield Progress("rewriting", course.now())
        start = course.now()
        course.asked = asked = await self._follow_ups.standalone(question.text, question.history)
        if asks:
            course.ms["rewrite"] = course.now() - start
        yield Progress("retrieving", course.now())
        found, context, ms = await self.retrieve(question, scope, asked.text)
        self._note_retrieval(course, found, ms)
        course.search = explained(found, context)
        yield SourcesFound(context.passages)
        if not context.passages:
            narrowed = question.filters != EVERYTHING or scope.groups is not None
            for event in await self._no_context(course, scope, sure=not (narrowed or found.degraded)):
                yield event
            return
        yield Progress("generating", course.now())
        async with aclosing(self._draft(question, context, course)) as events:
            async for event in events:
                yield event
        for event in self._closing(course, context):
            yield event

    async def _draft(self, question: Question, context: Context, course: _Course) -> AsyncGenerator[AnswerEvent, None]:
        """The generator's draft, cited and judged. The draft's end stays here, in `course`."""
        start = course.now()
        asked = course.asked.text if course.asked and course.asked.text != question.text else None
        drafts = self._generator.draft(Ask(question.text, question.history, question.max_tokens, asked), context)
        async with aclosing(answer_events(drafts, context, self._verifier, question.release)) as events:
            async for event in events:
                if isinstance(event, DraftEnd):
                    course.end = event
                    continue
                if isinstance(event, TextAdded):
                    course.ms.setdefault("ttft", course.now())
                if isinstance(event, ClaimJudged):
                    course.claims[event.claim.status] += 1
                yield event
        course.ms["generate"] = course.now() - start

    def _closing(self, course: _Course, context: Context) -> list[AnswerEvent]:
        end = course.end or DraftEnd()
        if end.abstained is None:
            return [self._finished(course, end.finish_reason)]
        numbers = dict.fromkeys(quote.n for quote in end.nearest)
        nearest = tuple(context.passages[n - 1] for n in numbers) or context.passages
        return self._abstained(course, "abstained", end.abstained, nearest[:_NEAREST])

    async def _no_context(self, course: _Course, scope: Scope, *, sure: bool) -> list[AnswerEvent]:
        """Dense search finds something in whatever holds documents; if it did not, the index has lost them, and to say
        that they do not answer would be false. `sure` when neither a filter nor an outage explains it."""
        documents, _ = await self._catalog.count_live(scope.collection_id)
        if documents and sure:
            raise IndexUnavailable(
                "The index lacks the passages of this collection.",
                "Run grounded ingest on its folder; it puts them back.",
            )
        return self._abstained(course, "no_context", "nothing_retrieved" if documents else "collection_empty", ())

    def _abstained(
        self, course: _Course, finish: FinishReason, reason: AbstentionReason, nearest: tuple[Passage, ...]
    ) -> list[AnswerEvent]:
        message = f"I cannot answer that from these documents. {_WHY[reason]}"
        course.ms.setdefault("ttft", course.now())
        return [TextAdded(message), self._finished(course, finish, Abstention(reason, message, nearest))]

    def _log(self, question: Question, course: _Course, end: Finished, error: str | None = None) -> None:
        """The one line of an answer in the log. It holds no text, unless the operator asked for the questions'."""
        course.told = True
        self._keep_explanation(question, course, end)
        structlog.get_logger().info(
            "ask.completed",
            request_id=question.request_id,
            trace_id=end.trace_id,
            answer_id=end.answer_id,
            collection=question.collection,
            finish_reason=end.finish_reason,
            reason=end.abstention.reason if end.abstention else None,
            error=error,
            model=end.model,
            prompt_version=end.prompt_version,
            degraded=list(end.degraded),
            claims=dict(course.claims),
            input_tokens=end.usage.input_tokens,
            output_tokens=end.usage.output_tokens,
            cost_usd=sum(end.cost_nano_usd.values()) / 1e9,
            ms={stage: round(ms, 2) for stage, ms in end.timings_ms.items()},
            **({"question": question.text} if self._log_content else {}),
        )

    def _keep_explanation(self, question: Question, course: _Course, end: Finished) -> None:
        search = course.search
        if search is None or self._explanations is None:
            return
        kept = AnswerExplanation(
            answer_id=course.answer_id,
            collection_id=search.asked.scope.collection_id,
            created_at=datetime.now(UTC),
            search=search,
            finish_reason=end.finish_reason,
            model=end.model,
            prompt_version=end.prompt_version,
            cost_nano_usd=sum(end.cost_nano_usd.values()),
            rewritten=search.asked.text != question.text,
            narrowed=question.filters != EVERYTHING,
        )
        self._explanations.add(kept)

    def _started(self, course: _Course, question: Question) -> Started:
        return Started(
            answer_id=course.answer_id,
            trace_id=course.trace_id,
            request_id=question.request_id,
            conversation_id=None,
            model="grounded",
            collection=question.collection,
            release=question.release,
            created=datetime.now(UTC),
        )

    def _note_retrieval(self, course: _Course, found: Found, ms: Mapping[str, float]) -> None:
        """`retrieve` is the wall time of the search without reranking; the embedding of the question is part of it."""
        course.degraded = (*(course.asked.degraded if course.asked else ()), *found.degraded)
        course.ms |= {stage: ms[stage] for stage in ("embed", "rerank", "pack") if stage in ms}
        course.ms["retrieve"] = ms["total"] - ms.get("rerank", 0.0)

    def _finished(self, course: _Course, reason: FinishReason, abstention: Abstention | None = None) -> Finished:
        end = course.end or DraftEnd()
        rewriting = course.asked.usage if course.asked else Usage()
        costs = {"generate": cost_of(end.usage, self._prices)}
        if rewriting.total_tokens:
            costs["rewrite"] = cost_of(rewriting, self._prices)
        return Finished(
            finish_reason=reason,
            answer_id=course.answer_id,
            trace_id=course.trace_id,
            model=self._generator.name,
            prompt_version=self._generator.prompt_version,
            abstention=abstention,
            usage=rewriting + end.usage,
            cost_nano_usd=costs,
            timings_ms={**course.ms, "total": course.now()},
            degraded=course.degraded,
            confidence=end.confidence,
        )
