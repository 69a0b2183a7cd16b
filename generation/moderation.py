"""Moderation: a question is looked at before any model sees it, an answer before anybody does.

With release `sentence` each sentence is looked at before it goes out; with `token` the text is out already, and is taken
back whole where it must not stay. What a moderator does not let through ends the answer; the model's stream is read to its
end all the same, since what it costs is only told there.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from generation.answer import Drafted
from generation.errors import ModerationUnavailable
from generation.events import ClaimJudged, Release, TextAdded, TextRetracted
from generation.model import DraftEnd

MODERATOR = "moderator"  # in `degraded`
Categories = tuple[str, ...]


class Moderator(Protocol):
    """Says what is wrong with a text."""

    async def look(self, texts: Sequence[str]) -> list[Categories]:
        """For each text the categories for which it must not pass, none where it may. Raises ModerationUnavailable."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and threads; nothing is looked at afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found wrong with a text, and what could not be done to find out."""

    categories: Categories = ()
    degraded: tuple[str, ...] = ()


class Moderation:
    """The rules around a moderator: what is looked at, and what happens when it fails."""

    def __init__(
        self, moderator: Moderator | None, *, question: bool = True, answer: bool = True, fail_open: bool = False
    ) -> None:
        """Without a moderator everything passes. `fail_open` lets through what could not be looked at, and says so."""
        self._moderator = moderator
        self._question = question and moderator is not None
        self._answer = answer and moderator is not None
        self._fail_open = fail_open

    async def question(self, text: str) -> Looked:
        """Look at a question. Raises ModerationUnavailable where a failure must not let it through."""
        return await self.look(text) if self._question else Looked()

    async def watched(self, events: AsyncGenerator[Drafted, None], release: Release) -> AsyncGenerator[Drafted, None]:
        """The events of an answer as far as they may pass. The end of one that may not has the finish reason `filtered` and
        the categories. Raises what the events raise, and ModerationUnavailable."""
        watch = _BySentence(self) if release == "sentence" else _ByAnswer(self)
        async with aclosing(events):
            async for event in events:
                for passed in await watch.step(event) if self._answer else [event]:
                    yield passed

    async def look(self, text: str) -> Looked:
        """Look at a text, whatever it is of. Raises ModerationUnavailable where a failure must not let it through."""
        if self._moderator is None or not text.strip():
            return Looked()
        try:
            return Looked((await self._moderator.look([text]))[0])
        except ModerationUnavailable:
            if not self._fail_open:
                raise
            return Looked(degraded=(MODERATOR,))

    async def aclose(self) -> None:
        """Let go of what the moderator holds."""
        if self._moderator is not None:
            await self._moderator.aclose()


class _Watch:
    """What was found so far in one answer."""

    def __init__(self, moderation: Moderation) -> None:
        self._moderation = moderation
        self._found: Categories = ()
        self._degraded: tuple[str, ...] = ()

    async def _passes(self, text: str) -> bool:
        looked = await self._moderation.look(text)
        self._found = looked.categories
        self._degraded = looked.degraded or self._degraded
        return not looked.categories

    def _ended(self, end: DraftEnd) -> DraftEnd:
        end = replace(end, degraded=tuple(dict.fromkeys((*end.degraded, *self._degraded))))
        if not self._found:
            return end
        return replace(end, finish_reason="filtered", abstained=None, filtered=self._found)


class _BySentence(_Watch):
    """Holds a sentence's text until it has passed."""

    def __init__(self, moderation: Moderation) -> None:
        super().__init__(moderation)
        self._held: list[Drafted] = []

    async def step(self, event: Drafted) -> list[Drafted]:
        """What may go out now."""
        if isinstance(event, DraftEnd):
            return [*await self._release(), self._ended(event)]
        if self._found:
            return []
        if isinstance(event, TextRetracted):
            return [*await self._release(), event]
        self._held.append(event)
        return await self._release() if isinstance(event, ClaimJudged) else []

    async def _release(self) -> list[Drafted]:
        held, self._held = self._held, []
        if self._found or not held:
            return []
        text = "".join(event.text for event in held if isinstance(event, TextAdded))
        return held if await self._passes(text) else []


class _ByAnswer(_Watch):
    """Lets everything through and takes it back at the end if it has to be."""

    def __init__(self, moderation: Moderation) -> None:
        super().__init__(moderation)
        self._text = ""

    async def step(self, event: Drafted) -> list[Drafted]:
        """The event itself, and at the end what takes all of it back."""
        match event:
            case TextAdded():
                self._text += event.text
            case TextRetracted():
                self._text = self._text[: event.start] + event.replacement + self._text[event.end :]
            case DraftEnd():
                if await self._passes(self._text):
                    return [self._ended(event)]
                return [TextRetracted(0, len(self._text), "policy"), self._ended(event)]
            case ClaimJudged():
                pass
        return [event]
