"""A question's way: admit -> cache? -> retrieve -> pack -> draft -> cite and judge -> done.

Raises before its first event; after it, a failure is an event, and exactly one Finished ends every answer. Nothing that
belongs to a task is held across a yield: the first event is pulled by one task and the rest by another.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import structlog

from app.admission import Admission, Place
from app.budgets.purse import Purses, use
from app.cache.answers import CachedAnswers
from app.checking import Checking
from app.course import Course
from app.drafting import drafted
from app.errors import InternalError, QuestionBlocked
from app.filtering import OutputFilter
from app.keys.library import Library
from app.keys.model import LOCAL, Principal
from app.recount import Recount
from app.routing import Asked, Route, Router
from generation.classifier import Graded
from generation.events import AnswerEvent, Failed, Finished, Progress, Release, SourcesFound
from generation.judge import ModelVerifier
from generation.model import Ask, Attempt, DraftEnd, Meter, ResponseFormat, Usage
from generation.moderation import Moderation
from generation.ports import Verifier
from ingest.errors import GroundedError
from ingest.ports import Catalog
from retrieval.assembly import Assembly
from retrieval.context import Limits
from retrieval.errors import IndexUnavailable
from retrieval.explain import explained
from retrieval.filters import EVERYTHING, Filter
from retrieval.model import Context, Found, Query, Scope
from retrieval.ports import Search
from retrieval.query import Turn
from retrieval.widen import Widen

_NEAREST = 3


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller asks, checked, in the product's own terms. `tier` is one that must answer; None: as routed."""

    text: str
    collection: str = "default"
    filters: Filter = EVERYTHING
    top_k: int = 8
    history: tuple[Turn, ...] = ()
    max_tokens: int | None = None
    release: Release = "sentence"
    request_id: str = ""
    tier: str | None = None
    response_format: ResponseFormat | None = None
    cache: Literal["use", "bypass"] = "use"
    principal: Principal = LOCAL  # with whose rights


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


class AnswerPipeline:
    """Answers questions. One for the whole service; it keeps nothing between questions."""

    def __init__(
        self,
        catalog: Catalog,
        search: Search,
        router: Router,
        admission: Admission,
        packing: Packing,
        *,
        assembly: Assembly | None = None,
        recount: Recount | None = None,
        moderation: Moderation | None = None,
        output: OutputFilter | None = None,
        checking: Checking | None = None,
        cache: CachedAnswers | None = None,
        purses: Purses | None = None,
    ) -> None:
        self._catalog = catalog
        self._search = search
        self._router = router
        self._admission = admission
        self._packing = packing
        self._assembly = assembly or Assembly()
        self._recount = recount or Recount()
        self._moderation = moderation or Moderation(None)
        self._output = output
        self._checking = checking or Checking()
        self._cache = cache
        self._purses = purses

    async def ask(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """The events of one answer. Raises Overloaded, ShuttingDown, CollectionNotFound, UnknownTier, TierNotAllowed,
        UnsupportedParameter, QuestionBlocked, ModerationUnavailable, BudgetExceeded before the first."""
        course = Course(self._router.built_in)
        purse = self._purses.of(question.principal, partial(course.lacks, "budget")) if self._purses else None
        async with self._admission.admit(question.principal.key_id or "") as place:
            course.ms["queue"] = course.now()
            scope = await self.scope(question.collection, question.principal)
            self._router.admit(question.tier, question.collection, structured=question.response_format is not None)
            await self._look_at(question, course)
            if purse is not None:
                await purse.check()
            yield course.started(question)  # here the HTTP status is decided
            use(purse)
            try:
                async with aclosing(self._answered(question, scope, course, place)) as events:
                    async for event in events:
                        if isinstance(event, Finished):
                            self._recount.tell(question, course, event)
                        yield event
                        use(purse)  # whoever pulls the next event, perhaps another task than before
            except GroundedError as error:
                self._note_left(course, getattr(error, "attempts", ()))
                finished = course.finished("error")
                self._recount.tell(question, course, finished, error.code)
                yield Failed(error)
                yield finished
            except Exception:  # noqa: BLE001  after the start even a bug must end in an event
                structlog.get_logger().exception(
                    "ask.failed", request_id=question.request_id, answer_id=course.answer_id
                )
                yield Failed(InternalError("Something broke that should not."))
                yield course.finished("error")
            except (asyncio.CancelledError, GeneratorExit):  # the client has gone, or the service ends
                if not course.told:
                    self._note_left(course)
                    self._recount.tell(question, course, course.finished("cancelled"))
                raise

    def _answered(
        self, question: Question, scope: Scope, course: Course, place: Place
    ) -> AsyncGenerator[AnswerEvent, None]:
        make = partial(self._answer, question, scope, course)
        return make() if self._cache is None else self._cache.answer(question, scope, course, make, place)

    async def _look_at(self, question: Question, course: Course) -> None:
        """Before any other model does. Raises QuestionBlocked, ModerationUnavailable."""
        shown = question.response_format.shown if question.response_format else ""
        sent = (question.text, *(text for role, text in question.history if role == "user"), shown)
        looked = await self._moderation.question(sent, question.collection)
        if looked.categories:
            raise QuestionBlocked("This question is not let through.", details={"categories": list(looked.categories)})
        course.lacks(*looked.degraded)

    async def scope(self, collection: str, who: Principal = LOCAL) -> Scope:
        """Where this question may look. Raises CollectionNotFound."""
        return await Library(self._catalog, who).scope(collection)

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

    async def _answer(self, question: Question, scope: Scope, course: Course) -> AsyncGenerator[AnswerEvent, None]:
        if asks := self._router.follow_ups(question.collection).asks_a_model(question.history):
            yield Progress("rewriting", course.now())
        text = await self._standalone(question, course, asks=asks)
        yield Progress("retrieving", course.now())
        found, context, graded = await self._context(question, scope, text, course)
        yield SourcesFound(context.passages)
        if not context.passages:
            narrowed = question.filters != EVERYTHING or scope.groups is not None
            for event in await self._no_context(course, scope, sure=not (narrowed or found.degraded)):
                yield event
            return
        if self._output is not None and self._output.is_off_topic(context):
            for event in course.abstained("abstained", "below_threshold", context.passages[:_NEAREST]):
                yield event
            return
        yield Progress("generating", course.now())
        async with aclosing(self._draft(question, context, graded, course)) as events:
            async for event in events:
                yield event
        for event in self._closing(course, context):
            yield event

    async def _standalone(self, question: Question, course: Course, *, asks: bool) -> str:
        start = course.now()
        course.asked = asked = await self._router.follow_ups(question.collection).standalone(
            question.text, question.history
        )
        if asks:
            course.ms["rewrite"] = course.now() - start
        course.lacks(*asked.degraded)
        course.spend("rewrite", asked.usage, self._router.cost_of_step("rewriters", asked.usage, question.collection))
        return asked.text

    async def _context(
        self, question: Question, scope: Scope, text: str, course: Course
    ) -> tuple[Found, Context, Graded]:
        """Search, while a model says how hard the question is, where one is asked."""
        grading = asyncio.ensure_future(self._router.graded(text, question.collection))
        try:
            found, context, ms = await self.retrieve(question, scope, text)
            graded = await grading
        finally:
            grading.cancel()
        course.note_retrieval(found, ms)
        course.search = explained(found, context)
        course.flags = self._recount.flags(question, context)
        course.spend(
            "rewrite", graded.usage, self._router.cost_of_step("classifiers", graded.usage, question.collection)
        )
        return found, context, graded

    async def _draft(
        self, question: Question, context: Context, graded: Graded, course: Course
    ) -> AsyncGenerator[AnswerEvent, None]:
        """The answer, cited and judged, along its route. The draft's end stays here, in `course`."""
        start = course.now()
        asked = course.asked.text if course.asked and course.asked.text != question.text else None
        ask = Ask(question.text, question.history, question.max_tokens, asked, response_format=question.response_format)
        route = self._router.route(Asked(ask, question.collection, question.tier), context, graded)
        course.decision = route.decision
        course.model, course.prompt_version = route.generator.name, route.generator.prompt_version
        verifier = self._router.verifier(question.collection)
        course.meter = ask.meter
        checked = self._checking.of(verifier, self._router.attributor())
        answer = drafted(route, ask, context, checked, question.release)
        if self._output is not None:
            answer = self._output.watched(answer, ask, context, question.release)
        try:
            async with aclosing(self._moderation.watched(answer, question.release, question.collection)) as events:
                async for event in events:
                    if isinstance(event, DraftEnd):
                        self._note_end(course, event, route)
                        continue
                    course.note(event)
                    yield event
        finally:
            course.ms["generate"] = course.now() - start
            self._note_verdicts(course, verifier, question.collection)

    def _note_verdicts(self, course: Course, verifier: Verifier, collection: str) -> None:
        if isinstance(verifier, ModelVerifier):
            cost = self._router.cost_of_step("verifiers", verifier.usage, collection)
            course.spend("verify", verifier.usage, cost)
            course.lacks(*(("verifier",) if verifier.failed else ()))

    def _note_left(self, course: Course, attempts: Sequence[Attempt] = ()) -> None:
        """An answer without an end has cost something too: what its error tells, and the calls that were left."""
        made = (*course.meter.attempts, *attempts)
        course.spend("generate", sum((attempt.usage for attempt in made), Usage()), self._router.cost(made))
        course.end, course.meter = replace(course.end, attempts=made), Meter()

    def _note_end(self, course: Course, end: DraftEnd, route: Route) -> None:
        course.end, course.meter = end, Meter()
        course.tier = end.tier or (route.decision.tier if route.decision else None)
        if end.model is not None:
            course.model, course.prompt_version = end.model, end.prompt_version
        course.lacks(*end.degraded)
        course.spend("generate", end.usage, self._router.cost(end.attempts))

    def _closing(self, course: Course, context: Context) -> list[AnswerEvent]:
        end = course.end
        if end.abstained is None:
            return [course.finished(end.finish_reason)]
        numbers = dict.fromkeys(quote.n for quote in end.nearest)
        nearest = tuple(context.passages[n - 1] for n in numbers) or context.passages
        return [*course.abstained("abstained", end.abstained, nearest[:_NEAREST])]

    async def _no_context(self, course: Course, scope: Scope, *, sure: bool) -> list[AnswerEvent]:
        """Dense search finds something in whatever holds documents; if it did not, the index has lost them, and to say
        that they do not answer would be false. `sure` when neither a filter nor an outage explains it."""
        documents, _ = await self._catalog.count_live(scope.collection_id, scope.groups)
        if documents and sure:
            raise IndexUnavailable(
                "The index lacks the passages of this collection.",
                "Run grounded ingest on its folder; it puts them back.",
            )
        return [*course.abstained("no_context", "nothing_retrieved" if documents else "collection_empty", ())]
