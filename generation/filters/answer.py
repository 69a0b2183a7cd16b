"""The output filter on an answer's events: behind the citations and verdicts, in front of moderation and the wires.

Text is held back until it is safe, so nothing has to be taken back for what was masked. An answer that a filter ends stops
behind the last whole sentence in front of that place; with release `token` the part of a sentence that was out already is
taken back. The model's stream is read to its end all the same, since what it costs is only told there.
"""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from generation.answer import Drafted
from generation.events import ClaimJudged, Release, RetractReason, TextAdded, TextRetracted
from generation.filters.leaks import PROMPT_LEAK
from generation.filters.output import Filtering, OutputPolicy
from generation.model import Ask, Citation, Claim, DraftEnd
from retrieval.model import Context


async def filtered_events(
    events: AsyncGenerator[Drafted, None], policy: OutputPolicy, ask: Ask, context: Context, release: Release
) -> AsyncGenerator[Drafted, None]:
    """The events as far as they may go out, with texts and offsets as they went. The end tells for what text was changed, in
    `filtered`; where a filter ended the answer its finish reason is `filtered`. Raises what the events raise."""
    data = ask.response_format is not None
    run = _Data(policy, ask, context) if data else _Prose(policy, ask, context, at_once=release == "token")
    async with aclosing(events):
        async for event in events:
            for passed in run.step(event):
                yield passed


class _Prose:
    """Where one answer is."""

    def __init__(self, policy: OutputPolicy, ask: Ask, context: Context, *, at_once: bool) -> None:
        self._policy = policy
        self._sources = tuple(f"{passage.title}\n{passage.text}" for passage in context.passages)
        self._asked = "\n".join((ask.question, *(text for _, text in ask.history)))
        self._at_once = at_once
        self._ended: str | None = None
        self._begin()

    def _begin(self, raw: str = "") -> None:
        self._filtering: Filtering = self._stream()
        self._raw = raw  # as it came
        self._out = self._filtering.feed(raw)  # as it may go
        self._sent = self._whole = 0  # of that: what went out, and up to where it ends a sentence that did
        self._waiting: list[Claim] = []
        self._gone: list[Claim] = []  # those that went out, as they came

    def _stream(self) -> Filtering:
        return self._policy.stream(self._sources, self._asked)

    def step(self, event: Drafted) -> list[Drafted]:
        """What may go out now."""
        match event:
            case DraftEnd():
                return [*self._end(), self._told(event)]
            case _ if self._ended is not None:
                return []
            case TextAdded():
                return self._add(event.text)
            case ClaimJudged():
                self._waiting.append(event.claim)
                return self._go(pause=not self._at_once)
            case TextRetracted():
                return self._retract(event)

    def _add(self, text: str) -> list[Drafted]:
        self._raw += text
        self._out += self._filtering.feed(text)
        return self._go()

    def _go(self, *, pause: bool = False, final: bool = False) -> list[Drafted]:
        """Text and sentences that are sure."""
        if pause or final:
            self._out += self._filtering.feed("", pause=pause, final=final)
        events: list[Drafted] = []
        while self._waiting:
            claim = self._placed(self._waiting[0])
            if claim is None:
                break
            self._gone.append(self._waiting.pop(0))
            self._whole = max(self._whole, claim.end)
            events += [*self._send(claim.end), *([ClaimJudged(claim)] if claim.text else [])]
        if self._filtering.stopped is not None:
            return [*events, *self._stop(self._filtering.stopped)]
        return [*events, *(self._send(len(self._out)) if self._at_once or final else [])]

    def _send(self, end: int) -> list[Drafted]:
        text, self._sent = self._out[self._sent : end], max(self._sent, end)
        return [TextAdded(text)] if text else []

    def _stop(self, category: str) -> list[Drafted]:
        self._ended = category
        if self._sent > self._whole:
            return [TextRetracted(self._whole, self._sent, _reason(category))]
        return []

    def _end(self) -> list[Drafted]:
        return self._go(final=True) if self._ended is None else []

    def _told(self, end: DraftEnd) -> DraftEnd:
        categories = (self._ended,) if self._ended is not None else self._filtering.categories
        if self._ended is not None:
            return replace(end, finish_reason="filtered", abstained=None, filtered=categories)
        return replace(end, filtered=tuple(dict.fromkeys((*end.filtered, *categories)))) if categories else end

    def _retract(self, event: TextRetracted) -> list[Drafted]:
        """What is taken back is taken back of what went out; the text around it is filtered anew, since what stood apart may
        stand together now. A sentence whose text is taken back along, because it is held again, is told again behind it."""
        before, claims = self._out[: self._sent], [*self._gone, *self._waiting]
        self._begin(self._raw[: event.start] + event.replacement + self._raw[event.end :])
        shift = len(event.replacement) - (event.end - event.start)
        claims = [_moved(c, shift if c.start >= event.end else 0) for c in claims if _apart(c, event)]
        if self._filtering.stopped is not None:
            return [TextRetracted(0, len(before), event.reason), *self._stop(self._filtering.stopped)]
        self._sent = len(self._out) if self._at_once else min(len(before), len(self._out))
        same = next((n for n, (a, b) in enumerate(zip(before, self._out, strict=False)) if a != b), None)
        start = min(len(before), self._sent) if same is None else same
        self._sort(claims, start)
        if start == len(before) == self._sent:
            return []
        return [TextRetracted(start, len(before), event.reason, self._out[start : self._sent]), *self._go()]

    def _sort(self, claims: Sequence[Claim], start: int) -> None:
        """Which of them still stand, as their text ends before `start`, and which wait again."""
        for claim in claims:
            placed = self._placed(claim)
            if placed is not None and placed.end <= start:
                self._gone.append(claim)
                self._whole = max(self._whole, placed.end)
            else:
                self._waiting.append(claim)

    def _placed(self, claim: Claim) -> Claim | None:
        """The sentence as it went out; None while it has not."""
        start, end = self._filtering.place(claim.start), self._filtering.place(claim.end)
        if start is None or end is None or end > len(self._out):
            return None
        text = self._out[start:end]
        start += len(text) - len(text.lstrip())
        text = text.strip()
        citations = tuple(cut for citation in claim.citations if (cut := self._cut(citation)) is not None)
        return replace(claim, start=start, end=start + len(text), text=text, citations=citations)

    def _cut(self, citation: Citation) -> Citation | None:
        start, end = self._policy.cut(citation.cited_text)
        if (start, end) == (0, len(citation.cited_text)):
            return citation
        text = citation.cited_text[start:end]
        start += len(text) - len(text.lstrip())
        text = text.strip()
        begin = citation.start + start
        return replace(citation, start=begin, end=begin + len(text), cited_text=text) if text else None


class _Data(_Prose):
    """An answer that is data comes whole, and goes out whole or not at all: half of it would be no data."""

    def __init__(self, policy: OutputPolicy, ask: Ask, context: Context) -> None:
        super().__init__(policy, ask, context, at_once=True)

    def _stream(self) -> Filtering:
        return self._policy.stream(self._sources, self._asked, prose=False)

    def _add(self, text: str) -> list[Drafted]:
        self._raw += text
        self._out += self._filtering.feed(text, final=True)
        broken = self._filtering.categories if self._raw and not _is_json(self._out) else ()
        stopped = self._filtering.stopped or next(iter(broken), None)
        return self._stop(stopped) if stopped is not None else self._go()

    def _end(self) -> list[Drafted]:
        return []


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _reason(category: str) -> RetractReason:
    if category == PROMPT_LEAK:
        return "prompt_leak"
    return "pii" if category.startswith("pii.") else "policy"


def _apart(claim: Claim, event: TextRetracted) -> bool:
    return claim.end <= event.start or claim.start >= event.end


def _moved(claim: Claim, shift: int) -> Claim:
    return replace(claim, start=claim.start + shift, end=claim.end + shift)
