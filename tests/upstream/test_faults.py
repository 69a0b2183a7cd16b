"""Every scripted fault on a real socket: alone, and as the first link of a chain."""

import asyncio
import math
import time
from collections.abc import Sequence

import pytest

from generation.adapters.extractive import ExtractiveGenerator
from generation.adapters.openai_chat import Limits, OpenAIChatGenerator
from generation.answer import answer_events
from generation.breaker import Breaker
from generation.checks import Checks
from generation.errors import GenerationError, UpstreamTimeout
from generation.events import ClaimJudged, Release, TextAdded, TextRetracted
from generation.fallback import Chain, Link
from generation.fallback import Limits as ChainLimits
from generation.model import Ask, Claim, Draft, DraftEnd, DraftText
from generation.ports import Generator
from generation.retry import Backoff
from generation.verify import VerbatimVerifier
from tests.passages import context
from tests.patience import PATIENCE_S, least
from tests.scripted_upstream import Upstream, upstream
from tests.upstream.faults import FAULTS, STALL_S, WHOLE_S, Fault

CONTEXT = context("Refunds are issued within 14 days of the order.", "Shipping is free.")
ASK = Ask("Within how many days are refunds issued?")
QUOTED = "Refunds are issued within 14 days of the order."
DEADLINE_S, SLACK_S = 0.6, 0.25
SOON = Backoff(0.001, 0.002)
PATIENT = Limits(30, 30, 30, 30)
STALLS = [fault for fault in FAULTS if fault.outcome is UpstreamTimeout]


def model(url: str, fault: Fault) -> OpenAIChatGenerator:
    """With short limits only where they are to be reached: on a busy machine they would end other scripts too."""
    limits = Limits(STALL_S, STALL_S, STALL_S, WHOLE_S) if fault in STALLS else PATIENT
    return OpenAIChatGenerator(base_url=url, model="m", limits=limits)


async def drafts(generator: Generator) -> list[Draft]:
    return [piece async for piece in generator.draft(ASK, CONTEXT)]


def said(pieces: Sequence[Draft]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, DraftText)).strip()


def test_there_are_enough_and_no_two_are_called_alike() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 60
    assert sum(not fault.completes for fault in FAULTS) >= 60


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_alone_it_is_a_whole_answer_or_an_error(fault: Fault) -> None:
    async def main() -> list[Draft]:
        async with upstream(*fault.script) as server:
            generator = model(server.url, fault)
            try:
                return await drafts(generator)
            finally:
                await generator.aclose()

    if isinstance(fault.outcome, str):
        pieces = asyncio.run(main())
        assert said(pieces) == fault.outcome
        assert isinstance(pieces[-1], DraftEnd)
    else:
        with pytest.raises(GenerationError) as raised:
            asyncio.run(main())
        assert type(raised.value) is fault.outcome


def shown(events: Sequence[object]) -> tuple[str, list[Claim]]:
    """What a reader has before the eyes at the end."""
    text, claims = "", list[Claim]()
    for event in events:
        if isinstance(event, TextAdded):
            text += event.text
        elif isinstance(event, TextRetracted):
            assert (event.start, event.end, event.reason) == (0, len(text), "restart")
            text, claims = "", []
        elif isinstance(event, ClaimJudged):
            claims.append(event.claim)
    return text, claims


async def answered(generator: Generator, release: Release) -> list[object]:
    events = answer_events(generator.draft(ASK, CONTEXT), CONTEXT, Checks(VerbatimVerifier()), release)
    return [event async for event in events]


@pytest.mark.parametrize("release", ["sentence", "token"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_in_a_chain_there_is_always_an_answer_and_it_is_of_one_writer(fault: Fault, release: Release) -> None:
    async def main() -> tuple[list[object], Upstream]:
        async with upstream(*fault.script) as server:
            links = [Link(model(server.url, fault), "first", Breaker()), Link(ExtractiveGenerator(None), "extractive")]
            chain = Chain(links, ChainLimits(backoff=SOON))
            try:
                return await answered(chain, release), server
            finally:
                await chain.aclose()

    events, server = asyncio.run(main())
    text, claims = shown(events)
    end = events[-1]
    assert isinstance(end, DraftEnd)
    assert [claim.index for claim in claims] == list(range(len(claims)))
    assert all(text[claim.start : claim.end] == claim.text for claim in claims)
    assert server.connections <= fault.calls
    assert len(end.attempts) == fault.calls + (not fault.completes)
    if isinstance(fault.outcome, str):
        assert (text, end.model, end.tier, end.degraded) == (fault.outcome, "m", "first", ())
        return
    assert (text, end.model, end.tier, end.degraded) == (QUOTED, "extractive", "extractive", ("generator",))
    assert [attempt.outcome for attempt in end.attempts] == [fault.outcome.code] * fault.calls + ["ok"]
    assert [attempt.tier for attempt in end.attempts] == ["first"] * fault.calls + ["extractive"]
    assert end.usage == sum((attempt.usage for attempt in end.attempts[1:]), end.attempts[0].usage)


class Stillness:
    """How long this machine let the event loop wait beyond what it had asked for, since `watch` began."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def watch(self) -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.01)
            self.seconds += time.monotonic() - begun - 0.01


@pytest.mark.parametrize("fallback", [True, False], ids=["quoted", "refused"])
@pytest.mark.parametrize("fault", STALLS, ids=lambda fault: fault.name)
def test_no_stall_outlasts_the_deadline_by_a_quarter_of_a_second(fault: Fault, fallback: bool) -> None:
    async def main() -> float:
        async with upstream(*fault.script) as server:
            generator = OpenAIChatGenerator(base_url=server.url, model="m", limits=PATIENT)
            last = [Link(ExtractiveGenerator(None))] if fallback else []
            chain = Chain([Link(generator, "first", Breaker()), *last], ChainLimits(DEADLINE_S, backoff=SOON))
            still = Stillness()
            watching = asyncio.ensure_future(still.watch())
            too_short = 0.0
            begun = time.monotonic()
            try:
                pieces = await drafts(chain)
                assert fallback
                assert said(pieces).endswith(QUOTED)
            except UpstreamTimeout:
                if fallback:  # of so short a time a busy machine left none to quote in
                    too_short = math.inf
            took = time.monotonic() - begun - still.seconds + too_short
            watching.cancel()
            await asyncio.wait_for(server.gone.wait(), PATIENCE_S)
            await chain.aclose()
            return took

    most = DEADLINE_S + SLACK_S
    assert least(lambda: asyncio.run(main()), most) < most
