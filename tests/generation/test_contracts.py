"""Every generator keeps the contract of its port: the one that quotes, with and without vectors, the one that asks a
model, and the fake."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from generation.adapters.extractive import ExtractiveGenerator
from generation.adapters.openai_chat import OpenAIChatGenerator
from generation.breaker import Breaker
from generation.fallback import Chain, Link
from generation.model import DraftEnd, DraftSentence, DraftText, Quote
from retrieval.adapters.late_interaction import LateInteractionScorer
from retrieval.model import EmbeddedQuery, Floats, Passage
from tests.contracts.generator import TEXTS, GeneratorContract, Opened
from tests.fakes import FakeEmbedder, ScriptedGenerator
from tests.scripted_upstream import HEAD, Stall, Step, chunk, reply, upstream


class Endless:
    """A sentence scorer that never comes to an end."""

    def __init__(self) -> None:
        self.running = 0

    async def matches(self, query: EmbeddedQuery, passages: Sequence[Passage], spans: Any) -> list[Floats]:
        self.running += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.running -= 1
        return []


class TestExtractive(GeneratorContract):
    @asynccontextmanager
    async def answering(self) -> AsyncIterator[Opened]:
        yield Opened(ExtractiveGenerator(LateInteractionScorer(FakeEmbedder())), lambda: False)

    @asynccontextmanager
    async def declining(self) -> AsyncIterator[Opened]:
        scorer = LateInteractionScorer(FakeEmbedder())
        yield Opened(ExtractiveGenerator(scorer, abstain_below=1.1), lambda: False)

    @asynccontextmanager
    async def hanging(self) -> AsyncIterator[Opened]:
        scorer = Endless()
        yield Opened(ExtractiveGenerator(scorer), lambda: scorer.running > 0)


class TestExtractiveByWords(TestExtractive):
    @asynccontextmanager
    async def answering(self) -> AsyncIterator[Opened]:
        yield Opened(ExtractiveGenerator(None), lambda: False)


class TestOpenAIChat(GeneratorContract):
    @asynccontextmanager
    async def served(self, *script: Step) -> AsyncIterator[Opened]:
        async with upstream(*script) as server:
            generator = OpenAIChatGenerator(base_url=server.url, model="m")
            yield Opened(generator, lambda: server.asked.is_set() and not server.gone.is_set())

    def answering(self) -> Any:
        return self.served(
            *reply("They swore", " fealty to King Charles [", "2][2]. \n\n🙂 ", "Bolts [1][9] are sold. ")
        )

    def declining(self) -> Any:
        return self.served(*reply("NOT_IN", "_SOURCES"))

    def hanging(self) -> Any:
        return self.served(HEAD, chunk("One. Two. "), Stall())


class TestChain(TestOpenAIChat):
    """What goes through a chain keeps the same contract."""

    @asynccontextmanager
    async def served(self, *script: Step) -> AsyncIterator[Opened]:
        async with super().served(*script) as opened:
            links = [Link(opened.generator, "first", Breaker()), Link(ExtractiveGenerator(None))]
            yield Opened(Chain(links), opened.busy)


class TestScripted(GeneratorContract):
    @asynccontextmanager
    async def playing(self, *script: Any) -> AsyncIterator[Opened]:
        generator = ScriptedGenerator(*script)
        yield Opened(generator, lambda: generator.open > 0)

    def answering(self) -> Any:
        quoted = TEXTS[0][:25]
        return self.playing(
            DraftText(quoted[:5]), DraftText(quoted[5:]), DraftSentence(quoted, (1,), (Quote(1, 0, 25),)), DraftEnd()
        )

    def declining(self) -> Any:
        return self.playing(DraftEnd(abstained="not_in_passages"))

    def hanging(self) -> Any:
        return self.playing(DraftText("One."), asyncio.Event())
