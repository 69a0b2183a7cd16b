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
        self,
        moderator: Moderator | None,
        *,
        question: bool = True,
        answer: bool = True,
        fail_open: bool = False,
        kept_from: frozenset[str] = frozenset(),
    ) -> None:
        """Without a moderator everything passes. `fail_open` lets through what could not be looked at, and says so; texts
        about the collections `kept_from` it may not be shown to the moderator, which is a failure."""
        self._moderator = moderator
        self._question = question and moderator is not None
        self._answer = answer and moderator is not None
        self._fail_open = fail_open
        self._kept_from = kept_from

    async def question(self, texts: Sequence[str], collection: str = "") -> Looked:
        """Look at a question, with all that its asker sent along. Raises ModerationUnavailable where a failure must not let
        it through."""
        return await self.look(texts, collection) if self._question else Looked()

    async def watched(
        self, events: AsyncGenerator[Drafted, None], release: Release, collection: str = ""
    ) -> AsyncGenerator[Drafted, None]:
        """The events of an answer as far as they may pass. The end of one that may not has the finish reason `filtered` and
        the categories. Raises what the events raise, and ModerationUnavailable."""
        watch = _BySentence(self, collection) if release == "sentence" else _ByAnswer(self, collection)
        async with aclosing(events):
            async for event in events:
                for passed in await watch.step(event) if self._answer else [event]:
                    yield passed

    async def look(self, texts: Sequence[str], collection: str = "") -> Looked:
        """Look at texts, whatever they are of. Raises ModerationUnavailable where a failure must not let them through."""
        shown = [text for text in texts if text.strip()]
        if self._moderator is None or not shown:
            return Looked()
        try:
            return Looked(await self._categories(self._moderator, shown, collection))
        except ModerationUnavailable:
            if not self._fail_open:
                raise
            return Looked(degraded=(MODERATOR,))

    async def _categories(self, moderator: Moderator, texts: Sequence[str], collection: str) -> Categories:
        if collection in self._kept_from:
            raise ModerationUnavailable(
                "What is about this collection may not be sent to the moderation endpoint.",
                "Use moderation.backend classifier, or set moderation.self_hosted where the endpoint is yours.",
            )
        found = await moderator.look(texts)
        return tuple(dict.fromkeys(category for categories in found for category in categories))

    async def aclose(self) -> None:
        """Let go of what the moderator holds."""
        if self._moderator is not None:
            await self._moderator.aclose()


class _Watch:
    """What was found so far in one answer."""

    def __init__(self, moderation: Moderation, collection: str) -> None:
        self._moderation = moderation
        self._collection = collection
        self._found: Categories = ()
        self._degraded: tuple[str, ...] = ()

    async def _passes(self, text: str) -> bool:
        looked = await self._moderation.look((text,), self._collection)
        self._found = looked.categories
        self._degraded = looked.degraded or self._degraded
        return not looked.categories

    def _ended(self, end: DraftEnd) -> DraftEnd:
        end = replace(end, degraded=tuple(dict.fromkeys((*end.degraded, *self._degraded))))
        if not self._found:
            return end
        found = tuple(dict.fromkeys((*end.filtered, *self._found)))
        return replace(end, finish_reason="filtered", abstained=None, filtered=found)


class _BySentence(_Watch):
    """Holds a sentence's text until it has passed."""

    def __init__(self, moderation: Moderation, collection: str) -> None:
        super().__init__(moderation, collection)
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
        if not held:
            return []
        text = "".join(event.text for event in held if isinstance(event, TextAdded))
        return held if await self._passes(text) else []


class _ByAnswer(_Watch):
    """Lets everything through and takes it back at the end if it has to be."""

    def __init__(self, moderation: Moderation, collection: str) -> None:
        super().__init__(moderation, collection)
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
