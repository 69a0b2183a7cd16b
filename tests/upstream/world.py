"""Endpoints in virtual time: generators that answer, fail and stall as their hour has it."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Literal

from generation.errors import UpstreamTimeout, UpstreamTruncated, UpstreamUnavailable
from generation.model import Ask, Draft, DraftEnd, DraftSentence, DraftText, Usage
from retrieval.model import Context

State = Literal["well", "refuses", "breaks off", "tears", "stalls"]
FIRST_TOKEN_S = 25.0  # after which a stall is a failure; a call that began in an outage may well outlast it
_WORD_S = 0.02


@dataclass
class Endpoint:
    """A model whose state is drawn for each call. `calls` and `answers` have the times; `failures` those of its faults."""

    name: str
    state: Callable[[float], State]
    calls: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    failures: list[float] = field(default_factory=list)
    prompt_version: str | None = None

    @property
    def words(self) -> list[str]:
        return [f"{self.name} says", " all", " of it."]

    async def draft(self, ask: Ask, context: Context) -> AsyncGenerator[Draft, None]:
        """A sentence in three pieces, or what the state makes of it; every fault comes at another point."""
        now = asyncio.get_running_loop().time
        self.calls.append(now())
        state = self.state(now())
        try:
            await self._begin(state)
            for word in self.words[:-1]:
                await asyncio.sleep(_WORD_S)
                yield DraftText(word)
            _end(state)
            yield DraftText(self.words[-1])
            yield DraftSentence("".join(self.words))
            self.answers.append(now())
            yield DraftEnd(usage=Usage(100, 10))
        except (UpstreamUnavailable, UpstreamTruncated, UpstreamTimeout):
            self.failures.append(now())
            raise

    async def _begin(self, state: State) -> None:
        if state == "stalls":
            await asyncio.sleep(FIRST_TOKEN_S)
            raise UpstreamTimeout("It was silent for too long.")
        await asyncio.sleep(_WORD_S)
        if state == "refuses":
            raise UpstreamUnavailable("It refused.")
        if state == "breaks off":
            raise UpstreamTruncated("It broke off before a word.")

    async def aclose(self) -> None:
        """Nothing is held."""


def _end(state: State) -> None:
    if state == "tears":
        raise UpstreamTruncated("It broke off.")


def always(state: State) -> Callable[[float], State]:
    return lambda _: state


def at_times(faults: dict[State, float], seed: int) -> Callable[[float], State]:
    """Each fault with its share of the calls, all else is well."""
    dice = random.Random(seed)

    def state(_: float) -> State:
        drawn, below = dice.random(), 0.0
        for fault, share in faults.items():
            below += share
            if drawn < below:
                return fault
        return "well"

    return state


def tally(values: list[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
