"""An answer as it is written along its route, and what the parts of it that were thrown away have cost."""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace

from app.routing import Route
from generation.answer import Drafted, answer_events
from generation.errors import UpstreamTruncated
from generation.escalation import Rejected, escalated, with_attempt
from generation.events import Release, TextRetracted
from generation.model import Ask, Attempt, DraftEnd, Usage
from generation.ports import Generator, Verifier
from generation.route import EXTRACTIVE
from generation.structured_answer import structured_events
from retrieval.model import Context

_BOTH = 2  # calls that are gone when a reply and its repair could not be used
_CHARS_A_TOKEN = 4  # English; only for an answer that was broken off, whose tokens nobody told
_PROMPT_CHARS = 2500  # of the prompt's own text


async def drafted(
    route: Route, ask: Ask, context: Context, verifier: Verifier, release: Release
) -> AsyncGenerator[Drafted, None]:
    """The events of the answer, the DraftEnd last. An answer that fails its checks is written again by `route.up`; the
    end then holds the attempts of both. With release `sentence` nothing is ever withdrawn: where a model breaks off behind
    a sentence that was sent, and another would begin anew, UpstreamTruncated is raised."""
    if ask.response_format is not None:
        async with aclosing(structured_events(ask, context, verifier, _in_turn(route))) as data:
            async for event in data:
                yield event
        return
    async with aclosing(_written(route, ask, context, verifier, release)) as events:
        async for event in events:
            if isinstance(event, TextRetracted) and release == "sentence":
                raise UpstreamTruncated("The model broke off in the middle of the answer.")
            yield event


def _in_turn(route: Route) -> Iterator[Generator]:
    """Who writes an answer that is data, and who does if that one cannot: with what is left of time and calls then."""
    begun = time.perf_counter()
    yield route.generator
    if route.up is not None:
        yield route.up(time.perf_counter() - begun, _BOTH)


async def _written(
    route: Route, ask: Ask, context: Context, verifier: Verifier, release: Release
) -> AsyncGenerator[Drafted, None]:
    first = answer_events(route.generator.draft(ask, context), context, verifier, release)
    if route.up is None:
        async with aclosing(first):
            async for event in first:
                yield event
        return
    begun, before, again = time.perf_counter(), list[Attempt](), route.up

    def once_more(rejected: Rejected) -> AsyncGenerator[Drafted, None]:
        gone_s = time.perf_counter() - begun
        before.extend(_attempts(rejected, route, ask, context, gone_s * 1e3))
        calls = sum(attempt.tier != EXTRACTIVE for attempt in before)
        return answer_events(again(gone_s, calls).draft(ask, context), context, verifier, release)

    declines = route.decision is not None and route.decision.tier == EXTRACTIVE
    async with aclosing(escalated(first, once_more, release, must_answer=declines)) as events:
        async for event in events:
            yield with_attempt(event, *before) if isinstance(event, DraftEnd) else event


def broken_off(route: Route, ask: Ask, context: Context, written: str) -> Attempt:
    """What an answer has taken that was left in the middle. Who quotes takes nothing."""
    tier = route.decision.tier if route.decision else EXTRACTIVE
    usage = Usage() if tier == EXTRACTIVE else _estimated(ask, context, written)
    return Attempt(route.generator.name, tier, "cancelled", usage)


def _attempts(rejected: Rejected, route: Route, ask: Ask, context: Context, ms: float) -> list[Attempt]:
    """Those of the answer that was thrown away; the last of them wrote it."""
    if rejected.end is None:
        return [replace(broken_off(route, ask, context, rejected.written), outcome=rejected.fault, ms=ms)]
    end, tier = rejected.end, route.decision.tier if route.decision else None
    made = end.attempts or (Attempt(end.model or route.generator.name, end.tier or tier, "ok", end.usage, ms),)
    return [*made[:-1], replace(made[-1], outcome=rejected.fault)]


def _estimated(ask: Ask, context: Context, written: str) -> Usage:
    """Of an answer that was broken off the endpoint tells no tokens, and takes money for them all the same."""
    read = len(ask.question) + sum(len(text) for _, text in ask.history) + sum(len(p.text) for p in context.passages)
    return Usage(-(-(read + _PROMPT_CHARS) // _CHARS_A_TOKEN), -(-len(written) // _CHARS_A_TOKEN))
