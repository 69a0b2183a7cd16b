"""A chat model that is asked only with money in hand: reserved before the call, settled behind it whatever became of it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from app.budgets.ledger import Hold
from app.budgets.model import Amount
from app.budgets.purse import Purse, current
from app.cost import Prices, cost_of
from generation.around import Around
from generation.errors import GenerationError
from generation.model import Ask, Draft, DraftEnd, Usage
from generation.ports import Generator
from generation.prompt import PromptSource
from retrieval.model import Context

_FRAME = 64  # tokens that an endpoint puts around a message, with room to spare
_BYTES_A_TOKEN = 4  # English; for the pace, where an estimate will do


@dataclass(frozen=True, slots=True)
class Terms:
    """Of a tier for one kind of call: what it takes for tokens, what it is told, and how long its reply may be.
    `per_minute` tokens at most go to it, 0 for any number."""

    tier: str
    prices: Prices
    told: Sequence[PromptSource]  # the prompt, and last the one for answers that are data
    max_tokens: int
    per_minute: int = 0

    def most(self, ask: Ask, context: Context) -> Usage:
        """The upper bound of what the call takes. No tokenizer makes more tokens of a text than it has bytes; what the
        reply may take is limited by the request itself."""
        prompt = self.told[-1 if ask.response_format else 0].now()
        messages = prompt.request(ask, context)
        schema = ask.response_format.shown if ask.response_format else ""
        given = sum(len(message["content"].encode("utf-8", "replace")) + _FRAME for message in messages)
        limits = (self.max_tokens, ask.max_tokens, prompt.max_tokens)
        return Usage(given + len(schema.encode()), min(limit for limit in limits if limit is not None))

    def bound(self, most: Usage) -> Amount:
        """What that may cost: at the dearest price that input may have."""
        dearest = Prices(max(self.prices.input, self.prices.cached_input or self.prices.input), self.prices.output)
        return Amount(cost_of(most, dearest), most.total_tokens)

    def amount(self, usage: Usage) -> Amount:
        """What it did cost."""
        return Amount(cost_of(usage, self.prices), usage.total_tokens)


class Paid(Around):
    """The generator port over a chat model."""

    def __init__(self, generator: Generator, terms: Terms) -> None:
        super().__init__(generator)
        self._terms = terms

    def draft(self, ask: Ask, context: Context) -> AsyncIterator[Draft]:
        """See ports.Generator. Raises BudgetSpent, BudgetExceeded, EndpointPaced, CatalogUnavailable before the call."""
        purse = current()
        return self._generator.draft(ask, context) if purse is None else self._drafted(purse, ask, context)

    async def _drafted(self, purse: Purse, ask: Ask, context: Context) -> AsyncGenerator[Draft, None]:
        most = self._terms.most(ask, context)
        await purse.pace(
            self._terms.tier, self._terms.per_minute, most.input_tokens // _BYTES_A_TOKEN + most.output_tokens
        )
        hold = await purse.hold(self._terms.bound(most))
        if hold is None:
            async with aclosing(self._generator.draft(ask, context)) as drafts:  # type: ignore[type-var]
                async for draft in drafts:
                    yield draft
            return
        async with aclosing(self._settled(hold, ask, context)) as drafts:
            async for draft in drafts:
                yield draft

    async def _settled(self, hold: Hold, ask: Ask, context: Context) -> AsyncGenerator[Draft, None]:
        """What it took is told by the end, by the error, or, where the draft is closed before it, by the meter. Where nobody
        tells it, it is all that was reserved."""
        usage: Usage | None = None
        before = len(ask.meter.attempts)
        try:
            async with aclosing(self._generator.draft(ask, context)) as drafts:  # type: ignore[type-var]
                async for draft in drafts:
                    if isinstance(draft, DraftEnd):
                        usage = draft.usage
                    yield draft
        except GenerationError as error:
            usage = error.usage
            raise
        except (GeneratorExit, asyncio.CancelledError):
            if usage is None:  # a draft that is closed behind its end has told it already
                usage = sum((attempt.usage for attempt in ask.meter.attempts[before:]), Usage())
            raise
        finally:
            await hold.settle(hold.most if usage is None else self._terms.amount(usage))
