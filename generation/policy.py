"""What becomes of sentences that failed their check: they are marked, left out, written again one tier up, or take the whole
answer back. Escalation is in `generation.escalation`; leaving out and taking back are here, behind it and in front of the
output filter, which so sees nothing but what goes out.

With release `sentence` nothing is ever taken back: what may have to be, is held until that is decided. With `token` the text
is out already and is taken back by a TextRetracted with reason `unsupported`. Both end with the same text and claims.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal

from generation.answer import Drafted
from generation.events import ClaimJudged, Release, TextAdded, TextRetracted
from generation.model import Action, Claim, DraftEnd, Fault, Quote
from retrieval.model import Context


@dataclass(frozen=True, slots=True)
class Policy:
    """What is done about each fault. A verifier misses sentences that are right in other words, so by default nothing but the
    want of any citation, which is certain, costs a second answer."""

    unsupported: Action = "mark"
    contradicted: Action = "mark"
    uncited: Action = "escalate"
    none_carried: Literal["mark", "abstain"] = "mark"  # about an answer that asserts what no passage carries
    carried_from: float | None = None  # a probability that stands in for the verdict, where one was fitted

    def carries(self, claim: Claim) -> bool:
        """Whether the passages carry the sentence, at least in part, or that cannot be told."""
        if claim.status == "unchecked" or claim.score is None or self.carried_from is None:
            return claim.status in ("supported", "partial") or (claim.status == "unchecked" and claim.check_required)
        return not claim.contradicted and claim.score >= self.carried_from

    def action(self, claim: Claim) -> Action:
        """What is done about this sentence; `mark` about one without fault."""
        match fault_of(claim):
            case "unsupported":
                return self.unsupported
            case "contradicted":
                return self.contradicted
            case "uncited":
                return self.uncited
            case None:
                return "mark"

    def does(self, *actions: Action) -> bool:
        """Whether it does one of these about anything."""
        return bool({self.unsupported, self.contradicted, self.uncited} & set(actions))


MARKING = Policy(uncited="mark")


def fault_of(claim: Claim) -> Fault | None:
    """A sentence that is carried in part, or was not checked, has none."""
    if claim.contradicted:
        return "contradicted"
    if claim.status == "unsupported":
        return "unsupported"
    return "uncited" if claim.status == "uncited" else None


def enforced(
    events: AsyncGenerator[Drafted, None], policy: Policy, context: Context, release: Release, *, data: bool = False
) -> AsyncGenerator[Drafted, None]:
    """The events of an answer as the policy lets them out; `data` is an answer that is JSON, of which nothing can be left out:
    it goes out whole or not at all. An answer that is taken back, or of which nothing that is carried was left, ends as an
    abstention with the reason `no_supported_sentence`; the nearest are then what its sentences cited. The strings of data
    are too short for a verdict on the whole."""
    if not (policy.does("drop", "abstain") or (policy.none_carried == "abstain" and not data)):
        return events
    return _enforced(events, _Whole(policy, context) if data else _Enforcement(policy, context, release))


async def _enforced(
    events: AsyncGenerator[Drafted, None], enforcement: "_Enforcement"
) -> AsyncGenerator[Drafted, None]:
    async with aclosing(events):
        async for event in events:
            for passed in enforcement.step(event):
                yield passed


class _Enforcement:
    """Where one answer is. What was let through is called kept, whether it was sent or is still held."""

    def __init__(self, policy: Policy, context: Context, release: Release) -> None:
        self._policy = policy
        self._context = context
        self._at_once = release == "token"
        self._begin()

    def _begin(self) -> None:
        self._kept = 0  # code points of the sentences that were let through
        self._text = ""  # of the sentence we are in, as it goes out
        self._came = 0  # its code points as they came
        self._from = 0  # where it began in the text that comes
        self._seam: str | None = (
            None  # white space around sentences that were left out; it joins what stands beside them
        )
        self._index = 0
        self._carried = False  # something that was let through is
        self._asserted = False  # something was said that needs to be carried
        self._dropped = 0
        self._withdrawn: Fault | None = None
        self._sent = 0
        self._held: list[Drafted] = []
        self._nearest: list[Quote] = []

    def step(self, event: Drafted) -> list[Drafted]:
        """What may go out now."""
        match event:
            case DraftEnd():
                return self._end(event)
            case TextRetracted():
                return self._restart(event)
            case _ if self._withdrawn is not None:
                return []
            case TextAdded():
                return self._add(event.text)
            case ClaimJudged():
                return self._judge(event.claim)

    def _add(self, piece: str) -> list[Drafted]:
        self._came += len(piece)
        text = self._joined(piece)
        self._text += text
        if not (self._at_once and text):
            return []
        self._sent += len(text)
        return [TextAdded(text)]

    def _joined(self, piece: str) -> str:
        """Behind sentences that were left out: of all white space around them the piece with most line breaks is left, and
        none at the beginning of the answer."""
        if self._seam is None:
            return piece
        rest = piece.lstrip()
        self._seam = _stronger(self._seam, piece[: len(piece) - len(rest)])
        if not rest:
            return ""
        seam, self._seam = self._seam if self._kept else "", None
        return seam + rest

    def _judge(self, claim: Claim) -> list[Drafted]:
        self._note(claim)
        self._asserted = self._asserted or claim.check_required
        match self._policy.action(claim):
            case "abstain":
                return self._withdraw(claim)
            case "drop":
                return self._drop()
            case "mark" | "escalate":
                return self._keep(claim)

    def _note(self, claim: Claim) -> None:
        numbers = {passage.id: n for n, passage in enumerate(self._context.passages, 1)}
        for citation in claim.citations:
            n = numbers[citation.source]
            begin = self._context.passages[n - 1].start
            self._nearest.append(Quote(n, citation.start - begin, citation.end - begin))

    def _keep(self, claim: Claim) -> list[Drafted]:
        start = self._kept + len(self._text) - (self._came - (claim.start - self._from))
        moved = replace(claim, index=self._index, start=start, end=start + len(claim.text))
        self._carried = self._carried or self._policy.carries(claim)
        self._index += 1
        text = self._close()
        self._kept += len(text)
        if self._at_once:
            return [ClaimJudged(moved)]
        self._held += [TextAdded(text), ClaimJudged(moved)]
        return self._release() if self._carried and not self._policy.does("abstain") else []

    def _drop(self) -> list[Drafted]:
        self._dropped += 1
        text = self._close()
        self._seam = text[: len(text) - len(text.lstrip())]
        if not (self._at_once and text):
            return []
        self._sent = self._kept
        return [TextRetracted(self._kept, self._kept + len(text), "unsupported")]

    def _close(self) -> str:
        """The sentence is over; its text."""
        text, self._text = self._text, ""
        self._from, self._came = self._from + self._came, 0
        return text

    def _release(self) -> list[Drafted]:
        held, self._held = self._held, []
        self._sent = self._kept
        return held

    def _withdraw(self, claim: Claim | None) -> list[Drafted]:
        self._withdrawn = "unsupported" if claim is None else fault_of(claim)
        self._held = []
        sent, self._sent = self._sent, 0
        return [TextRetracted(0, sent, "unsupported")] if sent else []

    def _restart(self, event: TextRetracted) -> list[Drafted]:
        """The answer begins anew: nothing else takes text back in front of the output filter."""
        sent = self._sent
        self._begin()
        return [TextRetracted(0, sent, event.reason)] if sent else []

    def _end(self, end: DraftEnd) -> list[Drafted]:
        withdrawn: list[Drafted] = []
        if self._is_empty() and self._withdrawn is None and end.abstained is None:
            withdrawn = self._withdraw(None)
        if self._withdrawn is None:
            return [*self._release(), replace(end, dropped=self._dropped)]
        nearest = tuple(dict.fromkeys(self._nearest)) or end.nearest
        told = replace(
            end,
            finish_reason="stop",
            abstained="no_supported_sentence",
            nearest=nearest,
            dropped=self._dropped,
            withdrawn=self._withdrawn,
        )
        return [*withdrawn, told]

    def _is_empty(self) -> bool:
        """Whether what was let through is no answer."""
        empty = self._dropped or (self._asserted and self._policy.none_carried == "abstain")
        return bool(empty) and not self._carried


class _Whole(_Enforcement):
    """An answer that is data comes as one text with its sentences behind it, and is held until all of them were judged."""

    def __init__(self, policy: Policy, context: Context) -> None:
        super().__init__(policy, context, "sentence")

    def _add(self, piece: str) -> list[Drafted]:
        self._held.append(TextAdded(piece))
        return []

    def _judge(self, claim: Claim) -> list[Drafted]:
        self._note(claim)
        if self._policy.action(claim) in ("drop", "abstain"):
            return self._withdraw(claim)
        self._held.append(ClaimJudged(claim))
        return []


def _stronger(one: str, other: str) -> str:
    return other if other.count("\n") > one.count("\n") or not one else one
