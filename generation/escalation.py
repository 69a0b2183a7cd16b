"""An answer that fails its checks is written once more, one tier up: before anything of it is released where possible.

What fails is for the policy to say. With release `sentence` nothing is sent until the first sentence that has to be checked
has passed; what fails behind it is marked, not withdrawn. With `token` the text is out already, so it is taken back whole when
a sentence fails.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal

from generation.answer import Drafted
from generation.events import ClaimJudged, Release, TextAdded, TextRetracted
from generation.model import Attempt, DraftEnd, Usage
from generation.model import Fault as Failing
from generation.policy import Policy, fault_of

Fault = Failing | Literal["abstained"]


@dataclass(frozen=True, slots=True)
class Rejected:
    """An answer that failed: of what, the text that it had by then, and its end if it had come."""

    fault: Fault
    written: str
    end: DraftEnd | None


async def escalated(
    first: AsyncGenerator[Drafted, None],
    again: Callable[[Rejected], AsyncGenerator[Drafted, None]],
    release: Release,
    policy: Policy,
    *,
    must_answer: bool = False,
) -> AsyncGenerator[Drafted, None]:
    """The events of the first answer, or, where it fails its checks, those of the second. `first` is closed before `again`
    begins; `must_answer` says that an abstention of the first is a failure too. What `again` gives is not checked."""
    trial = _Trial(policy, at_once=release == "token", must_answer=must_answer)
    async with aclosing(first):
        async for event in first:
            for ready in trial.step(event):
                yield ready
            if trial.rejected is not None:
                break
    if trial.rejected is None:
        return
    if trial.shown:
        yield TextRetracted(0, trial.shown, "restart")
    async with aclosing(again(trial.rejected)) as second:
        async for event in second:
            yield event


def with_attempt(end: DraftEnd, *before: Attempt) -> DraftEnd:
    """The end of an answer, with what was spent before it began."""
    spent = sum((attempt.usage for attempt in before), Usage())
    return replace(end, attempts=(*before, *end.attempts), usage=spent + end.usage)


class _Trial:
    """What of the first answer may go out already. `shown` counts the characters that have."""

    def __init__(self, policy: Policy, *, at_once: bool, must_answer: bool) -> None:
        self._policy = policy
        self._at_once = at_once
        self._must_answer = must_answer
        self._held: list[Drafted] = []
        self._passed = False  # a sentence has, with its citations
        self._written = ""
        self.shown = 0
        self.rejected: Rejected | None = None

    def step(self, event: Drafted) -> list[Drafted]:
        """What may be sent now; nothing, and `rejected` set, where the answer has failed."""
        if isinstance(event, TextRetracted) and not (self._at_once or self._passed):
            self._held, self._written = [], ""  # the draft began anew, and nothing of it had been sent
            return []
        fault = self._fault(event)
        if fault is not None:
            end = event if isinstance(event, DraftEnd) else None
            self.rejected = Rejected(fault, self._written, end)
            return []
        self._note(event)
        if self._at_once or self._passed or isinstance(event, DraftEnd):
            return self._release(event)
        self._held.append(event)
        return []

    def _fault(self, event: Drafted) -> Fault | None:
        """Behind a sentence that was sent for good, nothing is a failure any more."""
        if isinstance(event, ClaimJudged) and (self._at_once or not self._passed):
            return fault_of(event.claim) if self._policy.action(event.claim) == "escalate" else None
        if isinstance(event, DraftEnd) and not self._passed:
            if event.abstained is not None:
                return "abstained" if self._must_answer else None
            return "uncited" if self._policy.uncited == "escalate" else None
        return None

    def _note(self, event: Drafted) -> None:
        if isinstance(event, TextAdded):
            self._written += event.text
        elif isinstance(event, TextRetracted):
            self._written = self._written[: event.start] + event.replacement + self._written[event.end :]
            self._passed = self._passed and not self._at_once
        elif isinstance(event, ClaimJudged) and event.claim.citations and self._policy.action(event.claim) == "mark":
            self._passed = True

    def _release(self, event: Drafted) -> list[Drafted]:
        ready, self._held = [*self._held, event], []
        self.shown = len(self._written)
        return ready
