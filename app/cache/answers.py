"""Answers that need not be made: kept ones, and those that another asker is being given at this moment.

Sits between the admission of a question and its search. Whatever fails here costs a hit, never an answer.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import structlog

from app.cache.flight import Flight, Flights, Landed, own
from app.cache.guard import same_question
from app.cache.key import Address, address
from app.cache.nearest import Floats, Nearest
from app.cache.ports import AnswerCache, Bounds, Entry, Looked
from app.cache.record import DamagedRecordError, Record, decoded, encoded, record_of
from app.cache_settings import CacheSettings
from app.course import Course
from app.errors import InternalError
from generation.cacheable import may_be_cached
from generation.events import AnswerEvent, Finished, Progress, SourcesFound
from ingest.errors import GroundedError
from retrieval.errors import EmbedderUnavailable
from retrieval.model import Query, Scope

if TYPE_CHECKING:
    from app.admission import Place
    from app.pipeline import Question

T = TypeVar("T")
Found = Literal["exact", "semantic"]
Make = Callable[[], AsyncGenerator[AnswerEvent, None]]
WAITS = "same_question"  # detail of the status event of those who wait for another asker's answer
_MOST_ERRORS = 2  # that one asker sits through before it is told of the last
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question where it would be kept. `vector` is None where nothing was embedded."""

    question: "Question"
    scope: Scope
    course: Course
    at: Address
    revision: int
    vector: Floats | None = None


class CachedAnswers:
    """Gives an answer again, or has it made and keeps it. One for the whole service."""

    def __init__(
        self,
        store: AnswerCache,
        settings: CacheSettings,
        made_by: Callable[[], str],
        embed: Callable[[str], Awaitable[Floats]],
    ) -> None:
        """`made_by` is the digest of what answers at this moment; `embed` makes a question's vector. Raises
        EmbedderUnavailable."""
        self.store = store
        self._settings = settings
        self._made_by = made_by
        self._embed = embed
        self._nearest = Nearest(settings.entries)
        self.flights = Flights()

    async def answer(
        self, question: "Question", scope: Scope, course: Course, make: Make, place: "Place"
    ) -> AsyncGenerator[AnswerEvent, None]:
        """The events between the first and the last, and the last: kept ones, or those of `make`. Raises what `make` does.
        While it waits for another asker's answer it needs no `place`."""
        at = None if self._has_no_part(question) else address(question, scope, self._made_by())
        looked = await self._tried(self.store.look(at, self._since), course) if at is not None else None
        if at is None or looked is None:
            events = make()
        else:
            asked, kept = await self._kept(_Asked(question, scope, course, at, looked.revision), looked)
            events = self._again(asked, *kept) if kept is not None else self._shared(asked, make, place)
        async with aclosing(events):
            async for event in events:
                yield event

    def _has_no_part(self, question: "Question") -> bool:
        """What is asked in a conversation depends on it word for word, so there is nothing to share."""
        return self._settings.mode == "off" or question.cache == "bypass" or bool(question.history)

    async def _kept(self, asked: _Asked, looked: Looked) -> tuple[_Asked, tuple[Record, Found] | None]:
        if looked.entry is not None and (record := _read(looked.entry)) is not None:
            return asked, (record, "exact")
        if self._settings.mode != "semantic" or not looked.newest:
            return asked, None
        return await self._like(asked, looked.newest)

    async def _like(self, asked: _Asked, newest: int) -> tuple[_Asked, tuple[Record, Found] | None]:
        """One that was asked in other words, if the guard finds the same in them."""
        vector = await self._vector(asked)
        if vector is None:
            return asked, None
        asked, space = replace(asked, vector=vector), asked.at.at(asked.revision)
        if self._nearest.last(space) < newest:
            more = self.store.vectors(asked.at, asked.revision, self._nearest.last(space), self._nearest.most)
            self._nearest.add(space, await self._tried(more, asked.course) or ())
        for number in self._nearest.find(space, vector, self._settings.similarity):
            entry = await self._tried(self.store.read(asked.at, asked.revision, number, self._since), asked.course)
            if entry is None:
                self._nearest.drop(space, number)
            elif same_question(entry.text, asked.at.text) and (record := _read(entry)) is not None:
                return asked, (record, "semantic")
        return asked, None

    async def _vector(self, asked: _Asked) -> Floats | None:
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._embed(asked.at.text)
        except (EmbedderUnavailable, TimeoutError):  # the search will say what there is to say of it
            return None
        finally:
            asked.course.ms["embed"] = (time.perf_counter() - begun) * 1e3

    async def _again(self, asked: _Asked, record: Record, found: Found) -> AsyncGenerator[AnswerEvent, None]:
        """The kept answer under the ids of today. It costs nothing but what was spent on this request."""
        course, question = asked.course, asked.question
        course.search = record.explained(Query(question.text, asked.scope, question.filters, question.top_k))
        yield SourcesFound(record.passages)
        for event in record.said:
            course.note(event)
            yield event
        names = ("model", "prompt_version", "tier", "confidence", "verification")
        told = {name: getattr(record, name) for name in names}
        yield _ended(course, replace(course.finished("stop"), **told), found)

    async def _shared(self, asked: _Asked, make: Make, place: "Place") -> AsyncGenerator[AnswerEvent, None]:
        """Lead, or wait for whoever does; lead then if nothing came of it."""
        end, errors, events = time.monotonic() + self._settings.wait_s, 0, None
        while events is None:
            flight, leads = self.flights.board(f"{asked.at.key(asked.revision)} {asked.question.release}")
            if leads:
                events = self._led(asked, flight, make, place)
                break
            yield Progress("queued", asked.course.now(), WAITS)
            place.leave()
            try:
                outcome = await self.flights.outcome(flight, max(0.0, end - time.monotonic()))
            except TimeoutError:
                await place.back()
                events = make()
                break
            if isinstance(outcome, Landed):
                events, asked = await self._landed(asked, outcome)
            elif outcome is not None and (errors := errors + 1) >= _MOST_ERRORS:
                raise own(outcome)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _landed(self, asked: _Asked, landed: Landed) -> tuple[AsyncGenerator[AnswerEvent, None] | None, _Asked]:
        """What another asker got, unless a document has changed meanwhile: then it is too late to give it to anybody."""
        looked = await self._tried(self.store.look(asked.at, self._since), asked.course)
        if looked is None or looked.revision == asked.revision:
            return self._followed(asked, landed), asked
        return None, replace(asked, revision=looked.revision)

    async def _led(
        self, asked: _Asked, flight: Flight, make: Make, place: "Place"
    ) -> AsyncGenerator[AnswerEvent, None]:
        """Made now, for all who wait. Before the last event it is kept, so that nobody who comes later asks in vain."""
        seen: list[AnswerEvent] = []
        try:
            await place.back()
            async with aclosing(make()) as events:
                async for event in events:
                    if isinstance(event, Finished):
                        last = await self._kept_now(asked, seen, event)
                        self.flights.end(flight, Landed(seen, last, asked.course.search))
                        yield last
                        return
                    seen.append(event)
                    yield event
        except GroundedError as error:
            self.flights.end(flight, error)
            raise
        except Exception:
            self.flights.end(flight, InternalError("Something broke that should not."))
            raise
        finally:
            self.flights.end(flight, None)  # its asker has left

    async def _followed(self, asked: _Asked, landed: Landed) -> AsyncGenerator[AnswerEvent, None]:
        """What another asker got at the same moment, whatever it is worth: it says so itself."""
        asked.course.search = landed.search
        for event in landed.events:
            if not isinstance(event, Progress):
                asked.course.note(event)
                yield event
        yield _ended(asked.course, landed.end, "exact")

    async def _kept_now(self, asked: _Asked, seen: list[AnswerEvent], end: Finished) -> Finished:
        """The last event, with `cache` in degraded where keeping failed."""
        if not may_be_cached(end):
            return end
        record = record_of(seen, end, asked.course.search)
        if record is None or address(asked.question, asked.scope, self._made_by()) != asked.at:
            return end  # another index or prompt has come meanwhile: whose answer it is cannot be said
        vector = asked.vector
        if vector is None and self._settings.mode == "semantic":
            vector = await self._vector(asked)
        raw = b"" if vector is None else vector.astype("<f4").tobytes()
        entry = Entry(asked.at.text, encoded(record), record.rests_on, raw)
        done = await self._tried(self.store.keep(asked.at, asked.revision, entry, self._bounds), asked.course)
        return end if done is not None else replace(end, degraded=(*end.degraded, "cache"))

    async def _tried(self, call: Awaitable[T], course: Course) -> T | None:
        """The result, or None where the store fails or is late; the answer then says so. A late call goes on to its end."""
        task = asyncio.ensure_future(call)
        task.add_done_callback(_ignored)
        done, _ = await asyncio.wait({task}, timeout=self._settings.timeout_s)
        error = task.exception() if done else TimeoutError()
        if error is None:
            return task.result()
        if not isinstance(error, GroundedError | TimeoutError):
            raise error
        _log.warning("cache.failed", code=getattr(error, "code", "timeout"))
        course.lacks("cache")
        return None

    @property
    def _since(self) -> datetime:
        return datetime.now(UTC) - timedelta(hours=self._settings.max_age_h)

    @property
    def _bounds(self) -> Bounds:
        return Bounds(self._settings.entries, self._settings.max_mb * 2**20, self._since)


def _ended(course: Course, end: Finished, found: Found) -> Finished:
    """The end of an answer that was not made for this asker."""
    return replace(
        end,
        answer_id=course.answer_id,
        trace_id=course.trace_id,
        usage=course.usage,
        cost_nano_usd=dict(course.nano_usd),
        timings_ms={**course.ms, "total": course.now()},
        degraded=tuple(dict.fromkeys((*course.degraded, *end.degraded))),
        cache=found,
    )


def _read(entry: Entry) -> Record | None:
    try:
        return decoded(entry.body)
    except DamagedRecordError:
        return None


def _ignored(task: "asyncio.Future[Any]") -> None:
    """It may be that nobody waits for it any more."""
    if not task.cancelled():
        task.exception()
