"""A chain of generators that is one generator: who fails is asked again or passed over, and all of it has one deadline.

Before the first text the next link takes over unseen. After it, what was drafted is void and the draft begins anew, or the
draft ends with the error; text of two models is never mixed. A link without a breaker needs no network: it is always asked,
time is kept for it, and it is no attempt. Who closes or cancels the draft ends all work, and no breaker holds it against
its endpoint.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from generation.breaker import Breaker, Permit
from generation.errors import GenerationError, UpstreamTimeout, UpstreamTruncated, UpstreamUnavailable
from generation.model import Ask, Attempt, Draft, DraftEnd, DraftRestarted, Meter, Usage
from generation.ports import Generator
from generation.retry import Backoff, RetryBudget, is_worth_again
from retrieval.model import Context

GENERATOR = "generator"  # in `degraded`: another one wrote than was to
_KEPT_S, _KEPT_SHARE = 2.0, 0.1  # of the deadline, the smaller, for the link that needs no network
_FAIR = 0.5  # of the deadline; who was given less is not to blame for not having finished


@dataclass(frozen=True, slots=True)
class Limits:
    """`deadline_s` is for everything, waits included; `attempts` are calls to endpoints over the whole chain. `restart`:
    whether a draft may begin anew after text was given. `patience_s` is the longest wait for an endpoint to be asked again
    while somebody else could answer."""

    deadline_s: float = 120.0
    attempts: int = 3
    restart: bool = True
    patience_s: float = 5.0
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class Link:
    """A generator and what is remembered of its endpoint: keep both for as long as the endpoint is used. Without a breaker
    it works without a network."""

    generator: Generator
    tier: str | None = None
    breaker: Breaker | None = None
    budget: RetryBudget = field(default_factory=RetryBudget)


class Chain:
    """The generator port over links, the preferred first. Cheap to make: it keeps nothing between drafts."""

    def __init__(
        self,
        links: Sequence[Link],
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """One link at least. `clock` in seconds, never backwards, the event loop's own; `dice` in [0, 1)."""
        self._links = tuple(links)
        self._limits = limits or Limits()
        self._clock = clock
        self._dice = dice

    @property
    def name(self) -> str:
        """The model that is asked first."""
        return self._links[0].generator.name

    @property
    def prompt_version(self) -> str | None:
        return self._links[0].generator.prompt_version

    async def draft(self, ask: Ask, context: Context) -> AsyncGenerator[Draft, None]:
        """See ports.Generator. The end says who wrote, with all attempts. Raises the last link's error, with the attempts,
        when nobody is left or the deadline is over."""
        course = _Course(self._links, self._limits, self._clock, self._dice)
        void: GenerationError | None = None
        try:
            while True:
                call = course.next_call()
                async with aclosing(call.pieces(ask, context, void)) as pieces:
                    async for piece in pieces:
                        yield piece
                if call.end is not None:
                    break
                await asyncio.sleep(course.wait_after(call))
                void = course.void
        except (GeneratorExit, asyncio.CancelledError):
            ask.meter.left(*course.left())
            raise
        yield course.ended(call, call.end)

    async def aclose(self) -> None:
        """Let go of what all links hold."""
        for link in self._links:
            await link.generator.aclose()


class _Course:
    """One draft's way along the links."""

    def __init__(
        self, links: Sequence[Link], limits: Limits, clock: Callable[[], float], dice: Callable[[], float]
    ) -> None:
        self._links = links
        self._limits = limits
        self._clock = clock
        self._dice = dice
        self._at = 0
        self._failed_here = 0
        self._calls = 0
        self._call: _Call | None = None  # that has not been accounted for
        self._attempts: list[Attempt] = []
        self._error: GenerationError | None = None
        self._end = clock() + limits.deadline_s
        local = any(link.breaker is None for link in links)
        self._kept_s = min(_KEPT_S, _KEPT_SHARE * limits.deadline_s) if local else 0.0
        self.void: GenerationError | None = None  # why the text that was given counts no more

    def next_call(self) -> "_Call":
        """A call of the first link, from where we are, that may be asked. Raises when there is none."""
        while self._at < len(self._links):
            link = self._links[self._at]
            if link.breaker is None:
                return self._made(_Call(link, None, self._clock, self._end))
            end = self._end - self._kept_s
            may = self._calls < self._limits.attempts and self._clock() < end
            permit = link.breaker.admit() if may else None
            if permit is not None:
                self._calls += 1
                if not self._failed_here:
                    link.budget.called()
                fair = end - self._clock() >= _FAIR * self._limits.deadline_s
                return self._made(_Call(link, permit, self._clock, end, fair=fair))
            self._pass_on()
        raise self._failure()

    def wait_after(self, call: "_Call") -> float:
        """Seconds until the next call; which link's is decided here. Raises the call's error when it is the last word."""
        error = call.error or UpstreamTruncated("The generator stopped without saying that it had finished.")
        if call.drafted and not error.usage.total_tokens:
            error.usage = call.meter.usage  # the deadline cut it off in the middle
        self._error = error
        self._call = None
        self._attempts.append(call.attempt(error.code, error.usage))
        self.void = error if call.drafted else None
        if call.drafted and not self._limits.restart:
            raise self._failure()
        wait = self._again(call.link, error, drafted=call.drafted)
        if wait is None:
            self._pass_on()
            return 0.0
        self._failed_here += 1
        return wait

    def ended(self, call: "_Call", end: DraftEnd) -> DraftEnd:
        """The end of the draft, with what was learnt on the way to it."""
        attempts = (*self._attempts, call.attempt("ok", end.usage))
        return replace(
            end,
            usage=sum((attempt.usage for attempt in attempts), Usage()),
            model=call.link.generator.name,
            tier=call.link.tier,
            prompt_version=end.prompt_version or call.link.generator.prompt_version,
            attempts=attempts,
            degraded=(*end.degraded, *(() if call.link is self._links[0] else (GENERATOR,))),
        )

    def left(self) -> tuple[Attempt, ...]:
        """All calls, now that nobody waits for the draft any more."""
        call = self._call
        if call is None or not call.asked:
            return tuple(self._attempts)
        return (*self._attempts, call.attempt("cancelled", call.meter.usage))

    def _made(self, call: "_Call") -> "_Call":
        self._call = call
        return call

    def _again(self, link: Link, error: GenerationError, *, drafted: bool) -> float | None:
        """How long until the same link is asked once more; None where it is not. One attempt is kept for each endpoint
        that is left."""
        if link.breaker is None or link.breaker.state != "closed" or not is_worth_again(error, drafted=drafted):
            return None
        others = self._links[self._at + 1 :]
        endpoints = sum(other.breaker is not None and other.breaker.state != "open" for other in others)
        wanted = error.retry_after_s if isinstance(error, UpstreamUnavailable) else None
        wait = (wanted or 0.0) + self._limits.backoff.wait_s(self._failed_here + 1, self._dice)
        left = self._end - self._kept_s - self._clock()
        if wait >= (min(left, self._limits.patience_s) if others else left):
            return None
        if self._calls + endpoints >= self._limits.attempts or not link.budget.take():
            return None
        return wait

    def _pass_on(self) -> None:
        self._at += 1
        self._failed_here = 0

    def _failure(self) -> GenerationError:
        error = self._error or UpstreamUnavailable(
            "Every model endpoint has failed of late and is left alone for some seconds."
        )
        error.attempts = tuple(self._attempts)
        return error


class _Call:
    """One call of one link. Ends with `end` or `error` set, or is closed from outside."""

    def __init__(
        self, link: Link, permit: Permit | None, clock: Callable[[], float], deadline: float, *, fair: bool = True
    ) -> None:
        self.link = link
        self.end: DraftEnd | None = None
        self.error: GenerationError | None = None
        self.asked = False
        self.drafted = False
        self.meter = Meter()
        self._permit = permit
        self._clock = clock
        self._deadline = deadline
        self._fair = fair
        self._cut = False  # by the deadline, not by the link's own limits
        self._begun_at = clock()

    async def pieces(
        self, ask: Ask, context: Context, void: GenerationError | None = None
    ) -> AsyncGenerator[Draft, None]:
        """What is drafted, up to the end. `void` is why all earlier text counts no more; it is said before the call costs
        anything, for whoever cannot take text back."""
        drafts: AsyncIterator[Draft] | None = None
        try:
            if void is not None:
                yield DraftRestarted(void.code)
            self.asked = True
            drafts = self.link.generator.draft(replace(ask, meter=self.meter), context)
            while not isinstance(piece := await self._next(drafts), DraftEnd):
                self.drafted = True
                yield piece
            self.end = piece
        except GenerationError as error:
            self.error = error
        finally:
            self._give_back()
            if isinstance(drafts, AsyncGenerator):
                await drafts.aclose()

    def attempt(self, outcome: str, usage: Usage) -> Attempt:
        """What is remembered of this call, now that it is over."""
        return Attempt(self.link.generator.name, self.link.tier, outcome, usage, (self._clock() - self._begun_at) * 1e3)

    async def _next(self, drafts: AsyncIterator[Draft]) -> Draft:
        """The next piece, before the deadline. No limit is open across a yield."""
        left = self._deadline - self._clock()
        limit = asyncio.timeout(left)
        try:
            if left <= 0:  # a stream that is always ready would never see the limit
                raise self._too_late()
            async with limit:
                return await anext(drafts)
        except StopAsyncIteration:
            raise UpstreamTruncated("The generator stopped without saying that it had finished.") from None
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._too_late() from None

    def _too_late(self) -> UpstreamTimeout:
        self._cut = True
        return UpstreamTimeout("The answer was not finished by its deadline.")

    def _give_back(self) -> None:
        breaker, permit = self.link.breaker, self._permit
        if breaker is None or permit is None:
            return
        if self.end is not None:
            breaker.succeeded(permit)
        elif self.error is None or self.error.by_request or (self._cut and not self._fair):
            breaker.unused(permit)
        else:
            breaker.failed(permit)
