"""An answer as it is written along its route, and what the parts of it that were thrown away have cost."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace

from app.checking import Checked
from app.routing import Route
from generation.answer import Drafted, answer_events
from generation.errors import GenerationError, UpstreamTruncated
from generation.escalation import Rejected, escalated, with_attempt
from generation.events import Release, TextRetracted
from generation.model import Ask, Attempt, DraftEnd, Meter
from generation.policy import enforced
from generation.ports import Generator
from generation.route import EXTRACTIVE
from generation.structured_answer import structured_events
from retrieval.model import Context

_BOTH = 2  # calls that are gone when a reply and its repair could not be used


async def drafted(
    route: Route, ask: Ask, context: Context, checked: Checked, release: Release
) -> AsyncGenerator[Drafted, None]:
    """The events of the answer, the DraftEnd last. An answer that fails its checks is written again by `route.up`; the
    end then holds the attempts of both. What the policy leaves out or takes back is not in them. With release `sentence`
    nothing is ever withdrawn: where a model breaks off behind a sentence that was sent, and another would begin anew,
    UpstreamTruncated is raised."""
    policy = checked.policy
    if ask.response_format is not None:
        whole = structured_events(ask, context, checked.checks, _in_turn(route))
        async with aclosing(enforced(whole, policy, context, release, data=True)) as data:
            async for event in data:
                yield event
        return
    written = _written(route, ask, context, checked, release)
    async with aclosing(enforced(written, policy, context, release)) as events:
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
    route: Route, ask: Ask, context: Context, checked: Checked, release: Release
) -> AsyncGenerator[Drafted, None]:
    first = answer_events(route.generator.draft(ask, context), context, checked.checks, release)
    declines = route.decision is not None and route.decision.tier == EXTRACTIVE
    if route.up is None or not (declines or checked.policy.does("escalate")):
        async with aclosing(first):
            async for event in first:
                yield event
        return
    begun, before, again = time.perf_counter(), list[Attempt](), route.up

    def once_more(rejected: Rejected) -> AsyncGenerator[Drafted, None]:
        gone_s = time.perf_counter() - begun
        before.extend(_attempts(rejected, route, ask.meter))
        calls = sum(attempt.tier != EXTRACTIVE for attempt in before)
        return answer_events(again(gone_s, calls).draft(ask, context), context, checked.checks, release)

    try:
        async with aclosing(escalated(first, once_more, release, checked.policy, must_answer=declines)) as events:
            async for event in events:
                yield with_attempt(event, *before) if isinstance(event, DraftEnd) else event
    except GenerationError as error:
        error.attempts = (*before, *error.attempts)
        raise
    except (GeneratorExit, asyncio.CancelledError):
        ask.meter.attempts[:0] = before
        raise


def _attempts(rejected: Rejected, route: Route, meter: Meter) -> list[Attempt]:
    """Those of the answer that was thrown away; the last of them wrote it. Where it was closed before its end, the meter
    has them, and has them no more."""
    if rejected.end is None:
        made, meter.attempts = meter.attempts, []
    else:
        end, tier = rejected.end, route.decision.tier if route.decision else None
        made = list(end.attempts or (Attempt(end.model or route.generator.name, end.tier or tier, "ok", end.usage),))
    return [*made[:-1], *(replace(last, outcome=rejected.fault) for last in made[-1:])]
