"""A gate in front of a generator: who is asked, and what is said instead."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from generation.abstention import Bars
from generation.errors import UpstreamUnavailable
from generation.gate import Gate
from generation.model import Ask, Draft, DraftEnd, DraftText
from retrieval.model import Context
from tests.generation.test_abstention import near

BARS = Bars(near=0.4, answer=0.5)


class Model:
    name = "model"
    prompt_version = "answer@1"

    def __init__(self, error: Exception | None = None) -> None:
        self.asked = 0
        self.closed = False
        self._error = error

    async def draft(self, ask: Ask, context: Context) -> AsyncIterator[Draft]:
        self.asked += 1
        try:
            yield DraftText("Yes.")
            if self._error is not None:
                raise self._error
            yield DraftEnd()
        finally:
            self.closed = True

    async def aclose(self) -> None:
        raise AssertionError("the gate does not own it")


def pieces(model: Model, context: Context, bars: Bars = BARS) -> list[Draft]:
    async def main() -> list[Draft]:
        gated = Gate(lambda: bars).before(model)
        assert (gated.name, gated.prompt_version) == ("model", "answer@1")
        found = [piece async for piece in gated.draft(Ask("What?"), context)]
        await gated.aclose()
        return found

    return asyncio.run(main())


def test_a_hopeless_context_asks_nobody() -> None:
    model = Model()
    (end,) = pieces(model, near(0.39, 0.1))
    assert isinstance(end, DraftEnd)
    assert (end.abstained, end.confidence, end.attempts) == ("below_threshold", 0.39, ())
    assert (end.model, end.tier) == ("extractive", "extractive")
    assert not end.usage.total_tokens
    assert model.asked == 0


def test_any_other_goes_through() -> None:
    model = Model()
    assert pieces(model, near(0.1, 0.4)) == [DraftText("Yes."), DraftEnd()]
    assert pieces(Model(), near(None)) == [DraftText("Yes."), DraftEnd()]
    assert pieces(Model(), near(0.0), Bars(None, 0.5)) == [DraftText("Yes."), DraftEnd()]
    assert model.closed


def test_what_the_model_raises_comes_through_and_leaving_closes_it() -> None:
    with pytest.raises(UpstreamUnavailable):
        pieces(Model(UpstreamUnavailable("gone")), near(0.9))

    async def leave() -> Model:
        model = Model()
        drafts = Gate(lambda: BARS).before(model).draft(Ask("What?"), near(0.9))
        await anext(drafts)
        await drafts.aclose()  # type: ignore[attr-defined]
        return model

    assert asyncio.run(leave()).closed


def test_the_bars_are_those_of_the_moment() -> None:
    bars = [BARS]
    gate = Gate(lambda: bars[0])
    assert gate.is_shut(near(0.3))
    bars[0] = Bars(near=0.2, answer=0.5)
    assert not gate.is_shut(near(0.3))
