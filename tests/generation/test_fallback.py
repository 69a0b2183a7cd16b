"""The chain: who is asked, when, how often, and what is told of it. In virtual time."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from generation.breaker import Breaker
from generation.errors import (
    ContextTooLong,
    GenerationError,
    UpstreamMisconfigured,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from generation.fallback import Chain, Limits, Link
from generation.model import Ask, Draft, DraftEnd, DraftRestarted, DraftSentence, DraftText, Meter, Usage
from retrieval.model import Context
from tests.passages import context
from tests.upstream.virtual import run_virtually

CONTEXT = context("Refunds are issued within 14 days.")
ASK = Ask("How long?")
YES: tuple[Draft, ...] = (DraftText("Yes."), DraftSentence("Yes.", (1,)), DraftEnd(usage=Usage(100, 10)))
NO: tuple[Draft, ...] = (DraftText("No."), DraftSentence("No.", (1,)), DraftEnd(usage=Usage(7, 3)))


class Model:
    """Plays one script for each call, the last one for ever: pieces, errors, and waits in seconds."""

    def __init__(self, *scripts: Sequence[Any], name: str = "m") -> None:
        self.name = name
        self.prompt_version = f"{name}@1"
        self.scripts = [*scripts]
        self.calls: list[float] = []
        self.open = 0
        self.closed = False

    async def draft(self, ask: Ask, context: Context) -> AsyncGenerator[Draft, None]:
        self.calls.append(asyncio.get_running_loop().time())
        self.open += 1
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        try:
            for step in script:
                if isinstance(step, int | float):
                    await asyncio.sleep(step)
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step
        finally:
            self.open -= 1

    async def aclose(self) -> None:
        self.closed = True


def down(retry_after_s: float | None = None) -> UpstreamUnavailable:
    error = UpstreamUnavailable("It refused.")
    error.retry_after_s = retry_after_s
    return error


def spent(error: GenerationError, usage: Usage) -> GenerationError:
    error.usage = usage
    return error


class Bench:
    """A chain over models, and over one that needs no network where `local` is given."""

    def __init__(self, *models: Model, local: Model | None = None, limits: Limits | None = None) -> None:
        self.clock = asyncio.get_running_loop().time
        self.breakers = [Breaker(self.clock, dice=lambda: 0.0) for _ in models]
        links = [Link(m, f"tier-{m.name}", b) for m, b in zip(models, self.breakers, strict=True)]
        last = [] if local is None else [Link(local, "local")]
        self.chain = Chain([*links, *last], limits, clock=self.clock, dice=lambda: 1.0)

    async def pieces(self) -> list[Draft]:
        return [piece async for piece in self.chain.draft(ASK, CONTEXT)]

    async def end(self) -> DraftEnd:
        end = (await self.pieces())[-1]
        assert isinstance(end, DraftEnd)
        return end

    async def error(self) -> GenerationError:
        with pytest.raises(GenerationError) as raised:
            await self.pieces()
        return raised.value


def virtually(main: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await main()

    run_virtually(run())


def test_who_answers_first_is_told_with_the_end() -> None:
    async def main() -> None:
        bench = Bench(Model(YES), local=Model(NO, name="local"))
        *pieces, end = await bench.pieces()
        assert pieces == [*YES[:-1]]
        assert isinstance(end, DraftEnd)
        assert (end.model, end.tier, end.prompt_version, end.degraded) == ("m", "tier-m", "m@1", ())
        assert [(a.model, a.tier, a.outcome, a.usage) for a in end.attempts] == [("m", "tier-m", "ok", Usage(100, 10))]
        assert (bench.chain.name, bench.chain.prompt_version) == ("m", "m@1")

    virtually(main)


def test_one_endpoint_is_asked_three_times_with_growing_waits_and_then_the_sources_are_quoted() -> None:
    async def main() -> None:
        model, local = Model((down(),)), Model(NO, name="local")
        end = await Bench(model, local=local).end()
        assert model.calls == [0, 0.25, 0.75]
        assert (end.model, end.tier, end.degraded) == ("local", "local", ("generator",))
        assert [a.outcome for a in end.attempts] == ["upstream_unavailable"] * 3 + ["ok"]

    virtually(main)


def test_two_endpoints_share_three_attempts_and_the_second_keeps_one() -> None:
    async def main() -> None:
        one, two = Model((down(),), name="one"), Model((down(),), name="two")
        end = await Bench(one, two, local=Model(NO, name="local")).end()
        assert (len(one.calls), len(two.calls)) == (2, 1)
        assert end.model == "local"

    virtually(main)


def test_a_fourth_endpoint_has_no_attempt_left() -> None:
    async def main() -> None:
        models = [Model((down(),), name=name) for name in "abcd"]
        error = await Bench(*models).error()
        assert [len(model.calls) for model in models] == [1, 1, 1, 0]
        assert [attempt.model for attempt in error.attempts] == ["a", "b", "c"]

    virtually(main)


@pytest.mark.parametrize("error", [UpstreamMisconfigured("401"), ContextTooLong("8"), UpstreamTimeout("late")])
def test_what_is_not_worth_trying_again_goes_to_the_next_at_once(error: GenerationError) -> None:
    async def main() -> None:
        one, two = Model((error,), name="one"), Model(YES, name="two")
        end = await Bench(one, two).end()
        assert (one.calls, two.calls) == ([0], [0])
        assert (end.model, end.degraded) == ("two", ("generator",))

    virtually(main)


def test_a_retry_that_succeeds_is_no_degradation() -> None:
    async def main() -> None:
        end = await Bench(Model((down(),), YES)).end()
        assert end.degraded == ()
        assert [a.outcome for a in end.attempts] == ["upstream_unavailable", "ok"]

    virtually(main)


def test_retry_after_is_waited_for() -> None:
    async def main() -> None:
        model = Model((down(3.0),), YES)
        await Bench(model, local=Model(NO)).end()
        assert model.calls == [0, 3.25]

    virtually(main)


def test_nobody_waits_long_while_another_could_answer() -> None:
    async def main() -> None:
        model = Model((down(20.0),), YES)
        assert (await Bench(model, local=Model(NO, name="local")).end()).model == "local"
        assert model.calls == [0]
        alone = Model((down(20.0),), YES)
        begun = asyncio.get_running_loop().time()
        await Bench(alone).end()
        assert [at - begun for at in alone.calls] == [0, 20.25]

    virtually(main)


def test_a_wait_beyond_the_deadline_is_none() -> None:
    async def main() -> None:
        model = Model((down(500.0),))
        error = await Bench(model).error()
        assert isinstance(error, UpstreamUnavailable)
        assert asyncio.get_running_loop().time() == 0

    virtually(main)


def test_usage_of_failed_attempts_is_counted() -> None:
    async def main() -> None:
        torn = spent(UpstreamTruncated("It broke off."), Usage(50, 5, 2))
        end = await Bench(Model((DraftText("Ye"), torn), name="one"), Model(YES, name="two")).end()
        assert end.usage == Usage(150, 15, 2)
        assert [a.usage for a in end.attempts] == [Usage(50, 5, 2), Usage(100, 10)]

    virtually(main)


def test_after_text_the_draft_begins_anew_with_the_next() -> None:
    async def main() -> None:
        one = Model((DraftText("Ye"), 0.5, UpstreamTruncated("It broke off.")), name="one")
        pieces = await Bench(one, Model(NO, name="two")).pieces()
        assert pieces[:-1] == [DraftText("Ye"), DraftRestarted("upstream_truncated"), *NO[:-1]]
        assert len(one.calls) == 1

    virtually(main)


def test_it_says_so_once_and_before_anybody_is_asked() -> None:
    async def main() -> None:
        torn = (DraftText("Ye"), UpstreamTruncated("It broke off."))
        one, two, three = Model(torn, name="one"), Model((down(),), name="two"), Model(NO, name="three")
        pieces = await Bench(one, two, three).pieces()
        assert pieces[:-1] == [DraftText("Ye"), DraftRestarted("upstream_truncated"), *NO[:-1]]
        one, two = Model(torn, name="one"), Model(YES, name="two")
        drafts = Bench(one, two).chain.draft(ASK, CONTEXT)
        assert [await anext(drafts), await anext(drafts)] == pieces[:2]
        await drafts.aclose()
        assert two.calls == []

    virtually(main)


def test_where_nobody_is_left_what_was_given_stays() -> None:
    async def main() -> None:
        drafts = Bench(Model((DraftText("Ye"), UpstreamTruncated("It broke off.")))).chain.draft(ASK, CONTEXT)
        assert await anext(drafts) == DraftText("Ye")
        with pytest.raises(UpstreamTruncated):
            await anext(drafts)

    virtually(main)


def test_it_begins_anew_twice() -> None:
    async def main() -> None:
        one = Model((DraftText("A"), UpstreamTruncated("It broke off.")), name="one")
        two = Model((DraftText("B"), UpstreamTimeout("It was silent.")), name="two")
        pieces = await Bench(one, two, local=Model(NO, name="local")).pieces()
        assert [type(piece) for piece in pieces] == [
            DraftText, DraftRestarted, DraftText, DraftRestarted, DraftText, DraftSentence, DraftEnd
        ]  # fmt: skip
        assert [piece.reason for piece in pieces if isinstance(piece, DraftRestarted)] == [
            "upstream_truncated",
            "upstream_timeout",
        ]

    virtually(main)


def test_an_abstention_takes_the_place_of_text_too() -> None:
    async def main() -> None:
        one = Model((DraftText("Ye"), UpstreamTruncated("It broke off.")), name="one")
        declines = Model((DraftEnd(abstained="no_supported_sentence"),), name="local")
        pieces = await Bench(one, local=declines).pieces()
        assert [type(piece) for piece in pieces] == [DraftText, DraftRestarted, DraftEnd]

    virtually(main)


def test_where_it_may_not_begin_anew_it_ends_with_the_error() -> None:
    async def main() -> None:
        one = Model((DraftText("Ye"), UpstreamTruncated("It broke off.")), name="one")
        two = Model(YES, name="two")
        error = await Bench(one, two, limits=Limits(restart=False)).error()
        assert isinstance(error, UpstreamTruncated)
        assert [a.outcome for a in error.attempts] == ["upstream_truncated"]
        assert two.calls == []
        before_text = Model((UpstreamTimeout("It was silent."),), name="one")
        assert (await Bench(before_text, two, limits=Limits(restart=False)).end()).model == "two"

    virtually(main)


@pytest.mark.parametrize(
    "script", [(500.0,), (DraftText("Ye"), 500.0), (DraftText("Ye"), *[DraftText("s")] * 3, 500.0)]
)
def test_all_of_it_has_one_deadline_and_time_is_kept_for_quoting(script: Sequence[Any]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        model = Model(script)
        end = await Bench(model, local=Model((0.5, *NO), name="local"), limits=Limits(deadline_s=10)).end()
        assert end.model == "local"
        assert loop.time() == 9.5
        assert model.open == 0
        begun = loop.time()
        error = await Bench(Model(script), Model(YES), limits=Limits(deadline_s=10)).error()
        assert isinstance(error, UpstreamTimeout)
        assert loop.time() - begun == pytest.approx(10)

    virtually(main)


def test_words_that_come_for_ever_end_at_the_deadline() -> None:
    async def main() -> None:
        words = [step for _ in range(1000) for step in (DraftText("word "), 0.1)]
        bench = Bench(Model(words), local=Model(NO, name="local"), limits=Limits(deadline_s=10))
        assert (await bench.end()).model == "local"
        assert asyncio.get_running_loop().time() == pytest.approx(9)

    virtually(main)


def test_a_model_that_never_has_to_be_waited_for_ends_at_the_deadline_too() -> None:
    async def main() -> None:
        bench = Bench(Model([DraftText("word ")] * 1000), local=Model(NO, name="local"), limits=Limits(deadline_s=10))
        pieces = []
        async for piece in bench.chain.draft(ASK, CONTEXT):
            pieces.append(piece)
            await asyncio.sleep(0.1)  # the reader takes its time
        assert DraftRestarted("upstream_timeout") in pieces
        assert asyncio.get_running_loop().time() == pytest.approx(9.5, abs=0.25)

    virtually(main)


def test_quoting_has_the_same_deadline() -> None:
    async def main() -> None:
        bench = Bench(local=Model((500.0,)), limits=Limits(deadline_s=10))
        assert isinstance(await bench.error(), UpstreamTimeout)
        assert asyncio.get_running_loop().time() == 10

    virtually(main)


def test_who_had_little_time_is_not_to_blame() -> None:
    async def main() -> None:
        slow = [Model((7.0, UpstreamTimeout("late")), name="one"), Model((500.0,), name="two")]
        bench = Bench(*slow, limits=Limits(deadline_s=10))
        for _ in range(5):
            await bench.error()
        assert [breaker.state for breaker in bench.breakers] == ["open", "closed"]

    virtually(main)


def test_who_had_all_of_it_is() -> None:
    async def main() -> None:
        bench = Bench(Model((500.0,)), limits=Limits(deadline_s=10))
        for _ in range(5):
            await bench.error()
        assert bench.breakers[0].state == "open"

    virtually(main)


def test_an_open_breaker_costs_no_call_and_no_wait() -> None:
    async def main() -> None:
        model = Model((down(),))
        bench = Bench(model, local=Model(NO, name="local"))
        for _ in range(3):
            await bench.end()
        assert bench.breakers[0].state == "open"
        calls, now = len(model.calls), asyncio.get_running_loop().time()
        end = await bench.end()
        assert (len(model.calls), asyncio.get_running_loop().time()) == (calls, now)
        assert (end.model, end.degraded, len(end.attempts)) == ("local", ("generator",), 1)

    virtually(main)


def test_with_all_breakers_open_and_nobody_else_it_says_so() -> None:
    async def main() -> None:
        bench = Bench(Model((down(),)))
        for _ in range(3):
            await bench.error()
        error = await bench.error()
        assert "left alone" in error.message
        assert error.attempts == ()

    virtually(main)


def test_requests_at_fault_do_not_open_a_breaker() -> None:
    async def main() -> None:
        bench = Bench(Model((ContextTooLong("8"),)), local=Model(NO))
        for _ in range(50):
            await bench.end()
        assert bench.breakers[0].state == "closed"

    virtually(main)


def test_a_refused_key_opens_it() -> None:
    async def main() -> None:
        model = Model((UpstreamMisconfigured("401"),))
        bench = Bench(model, local=Model(NO))
        for _ in range(50):
            await bench.end()
        assert bench.breakers[0].state == "open"
        assert len(model.calls) == 5

    virtually(main)


@pytest.mark.parametrize("script", [(500.0,), (DraftText("Ye"), 500.0)])
def test_callers_that_are_cancelled_stop_the_model_and_open_no_breaker(script: Sequence[Any]) -> None:
    async def main() -> None:
        model = Model(script)
        bench = Bench(model)
        for _ in range(20):
            task = asyncio.ensure_future(bench.pieces())
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert model.open == 0
        assert bench.breakers[0].state == "closed"

    virtually(main)


def test_of_a_draft_that_is_left_the_meter_has_every_call() -> None:
    async def main() -> None:
        first, second = Model((down(60.0),)), Model((DraftText("Ye"), 500.0))
        bench = Bench(first, second)
        ask = replace(ASK, meter=Meter())
        drafts = bench.chain.draft(ask, CONTEXT)
        assert await anext(drafts) == DraftText("Ye")
        assert ask.meter.attempts == []
        await drafts.aclose()
        assert [attempt.outcome for attempt in ask.meter.attempts] == ["upstream_unavailable", "cancelled"]

    virtually(main)


def test_a_caller_may_leave_while_a_retry_is_waited_for() -> None:
    async def main() -> None:
        model = Model((down(60.0),))
        task = asyncio.ensure_future(Bench(model).pieces())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert model.calls == [0]

    virtually(main)


def test_closing_the_draft_closes_the_model() -> None:
    async def main() -> None:
        model = Model((DraftText("Ye"), 500.0))
        bench = Bench(model)
        drafts = bench.chain.draft(ASK, CONTEXT)
        assert await anext(drafts) == DraftText("Ye")
        await drafts.aclose()
        assert model.open == 0
        assert bench.breakers[0].state == "closed"

    virtually(main)


def test_a_bug_is_not_hidden_by_the_next_link() -> None:
    async def main() -> None:
        bench = Bench(Model((ZeroDivisionError(),)), local=Model(NO))
        with pytest.raises(ZeroDivisionError):
            await bench.pieces()

    virtually(main)


def test_a_timeout_of_the_models_own_is_not_taken_for_the_deadline() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            await Bench(Model((TimeoutError(),)), local=Model(NO)).pieces()

    virtually(main)


def test_a_model_that_stops_without_an_end_broke_off() -> None:
    async def main() -> None:
        end = await Bench(Model(YES[:-1]), local=Model(NO, name="local")).end()
        assert [a.outcome for a in end.attempts] == ["upstream_truncated", "ok"]

    virtually(main)


def test_all_links_are_closed() -> None:
    async def main() -> None:
        models = Model(YES), Model(YES), Model(NO)
        await Bench(*models[:2], local=models[2]).chain.aclose()
        assert all(model.closed for model in models)

    virtually(main)
