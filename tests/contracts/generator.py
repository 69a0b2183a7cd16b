"""What every generator must do. Inherit, and open one that answers, one that declines, and one that does not end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from generation.model import Ask, Draft, DraftEnd, DraftSentence, DraftText, Quote
from generation.ports import Generator
from retrieval.model import Context
from tests.fakes import FakeEmbedder
from tests.passages import context
from tests.patience import PATIENCE_S

ASK = Ask("To whom did the Normans and their leader Rollo swear fealty?")
TEXTS = (
    "Bolts are sold by weight. A box of bolts weighs two kilograms.",
    "The Normans 🙂 gave their name to Normandy. Under their leader Rollo, the Normans swore fealty to King Charles.",
)


@dataclass(frozen=True)
class Opened:
    """A generator, and whether anything is still at work for a draft of its."""

    generator: Generator
    busy: Callable[[], bool]

    async def draft(self, over: Context) -> AsyncIterator[Draft]:
        async with aclosing(self.generator.draft(ASK, over)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                yield piece

    async def becomes(self, *, busy: bool) -> None:
        """Soon, on a machine that has nothing else to do."""
        async with asyncio.timeout(PATIENCE_S):
            while self.busy() != busy:  # noqa: ASYNC110  foreign things tell it
                await asyncio.sleep(0.002)


class GeneratorContract:
    """A draft is text and the sentences it makes up, in order, then one DraftEnd. A sentence cites numbers of the
    context only, and its quotes are the passages' own text byte for byte. Who closes or cancels a draft ends all work."""

    def answering(self) -> AbstractAsyncContextManager[Opened]:
        """Drafts at least one cited sentence."""
        raise NotImplementedError

    def declining(self) -> AbstractAsyncContextManager[Opened]:
        """Finds that the passages do not answer."""
        raise NotImplementedError

    def hanging(self) -> AbstractAsyncContextManager[Opened]:
        """Begins, and never comes to the end by itself."""
        raise NotImplementedError

    def using(
        self, opening: AbstractAsyncContextManager[Opened], use: Callable[[Opened, Context], Awaitable[Any]]
    ) -> None:
        async def main() -> None:
            async with opening as opened:
                over = context(*TEXTS)
                query = await FakeEmbedder().embed_query(ASK.question)
                await use(opened, Context(over.passages, (), over.tokens, query))
                await opened.generator.aclose()

        asyncio.run(main())

    def test_it_says_what_it_is(self) -> None:
        async def use(opened: Opened, _: Context) -> None:
            assert opened.generator.name
            assert opened.generator.prompt_version != ""

        self.using(self.answering(), use)

    def test_a_draft_is_texts_their_sentences_and_one_end(self) -> None:
        async def use(opened: Opened, over: Context) -> None:
            pieces = [piece async for piece in opened.draft(over)]
            assert [type(piece) for piece in pieces].count(DraftEnd) == 1
            end = pieces.pop()
            assert isinstance(end, DraftEnd)
            assert end.abstained is None
            said = ""
            for piece in pieces:
                if isinstance(piece, DraftText):
                    assert piece.text
                    said += piece.text
                else:
                    assert isinstance(piece, DraftSentence)
                    assert piece.text == said.lstrip()
                    assert piece.text
                    said = ""
            assert said == "", "text that no sentence closed"
            assert not pieces[0].text[0].isspace()  # type: ignore[union-attr]
            await opened.becomes(busy=False)

        self.using(self.answering(), use)

    def test_citations_and_quotes_are_of_the_context(self) -> None:
        async def use(opened: Opened, over: Context) -> None:
            sentences = [piece async for piece in opened.draft(over) if isinstance(piece, DraftSentence)]
            assert any(sentence.cited for sentence in sentences)
            for sentence in sentences:
                assert all(1 <= n <= len(over.passages) for n in sentence.cited)
                assert len(set(sentence.cited)) == len(sentence.cited)
                for quote in sentence.quotes:
                    assert quote.n in sentence.cited
                    assert self.quoted(quote, over) in sentence.text

        self.using(self.answering(), use)

    def test_declining_is_an_end_alone(self) -> None:
        async def use(opened: Opened, over: Context) -> None:
            (end,) = [piece async for piece in opened.draft(over)]
            assert isinstance(end, DraftEnd)
            assert end.abstained in {"not_in_passages", "no_supported_sentence"}
            assert all(self.quoted(quote, over) for quote in end.nearest)

        self.using(self.declining(), use)

    def test_drafts_at_once_do_not_mix(self) -> None:
        async def use(opened: Opened, over: Context) -> None:
            async def whole() -> list[Draft]:
                return [piece async for piece in opened.draft(over)]

            one, *others = await asyncio.gather(*(whole() for _ in range(4)))
            assert others == [one] * 3

        self.using(self.answering(), use)

    def test_closing_ends_all_work(self) -> None:
        async def use(opened: Opened, over: Context) -> None:
            pieces = opened.generator.draft(ASK, over)
            await anext(pieces)
            await pieces.aclose()  # type: ignore[attr-defined]
            await opened.becomes(busy=False)
            assert await anext(pieces, None) is None

        self.using(self.answering(), use)

    def test_cancelling_ends_all_work(self) -> None:
        async def use(opened: Opened, over: Context) -> None:
            async def whole() -> list[Draft]:
                return [piece async for piece in opened.draft(over)]

            task = asyncio.create_task(whole())
            await opened.becomes(busy=True)
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, PATIENCE_S)
            await opened.becomes(busy=False)

        self.using(self.hanging(), use)

    def quoted(self, quote: Quote, over: Context) -> str:
        assert 1 <= quote.n <= len(over.passages)
        text = over.passages[quote.n - 1].text
        assert 0 <= quote.start < quote.end <= len(text)
        return text[quote.start : quote.end]
