"""Answers that a model writes ahead, many at a time: what is asked of it, what comes back, and how that becomes a draft.

A provider's batch API answers hours later, and documents change meanwhile. So nothing of a context is kept: the question is
searched for again, and what was written counts only if it was written for the very context that is found then.
"""

import hashlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from generation.citations import Marks
from generation.errors import UpstreamTruncated
from generation.model import Ask, Draft, DraftEnd, Usage
from generation.not_in_sources import NotInSources
from generation.ports import Generator
from generation.prompt import Message
from retrieval.model import Context


@dataclass(frozen=True, slots=True)
class Order:
    """One answer to be written: `id` comes back with it."""

    id: str
    messages: Sequence[Message]
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote for an order, whole."""

    id: str
    text: str
    finish: Literal["stop", "length"]
    usage: Usage


class BatchModel(Protocol):
    """A provider's batch API. Its calls raise a GenerationError."""

    @property
    def name(self) -> str:
        """The model that writes."""
        ...

    async def find(self, label: str) -> str | None:
        """The id of the batch that was handed in under this label, if it was."""
        ...

    async def submit(self, orders: Sequence[Order], label: str) -> str:
        """Hand orders in; the id of their batch."""
        ...

    async def ended(self, batch_id: str) -> bool:
        """Whether nothing more will be written for it, however it ended."""
        ...

    async def written(self, batch_id: str) -> list[Written]:
        """What was written for it, of a batch that has ended. What is missing or damaged is left out."""
        ...

    async def cancel(self, batch_id: str) -> None:
        """Write no more."""
        ...

    async def forget(self, batch_id: str) -> None:
        """Remove what was sent and what was written from the provider."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


def fingerprint(ask: Ask, context: Context) -> str:
    """The same only for the same request: the question with what belongs to it, and passages, each with its span."""
    asked = repr((ask.question, ask.standalone, tuple(ask.history), ask.max_tokens))
    passages = "\n".join(f"{passage.id} {passage.start} {passage.end}" for passage in context.passages)
    return hashlib.sha256(f"{asked}\n{passages}".encode()).hexdigest()[:32]


class WrittenFirst:
    """What was written ahead, by the fingerprint of its request; and generators that give it before they ask anybody."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Written, str | None]] = {}

    def learn(self, print_: str, written: Written, prompt_version: str | None = None) -> None:
        """What was written for a request of that fingerprint, under which prompt."""
        self._known[print_] = written, prompt_version or None

    def forget(self, print_: str) -> None:
        """Nobody asks for it any more."""
        self._known.pop(print_, None)

    def drafts(self, ask: Ask, context: Context) -> list[Draft] | None:
        """The whole draft, or None where none was written that is an answer."""
        known = self._known.get(fingerprint(ask, context))
        if known is None or ask.response_format is not None or ask.repair is not None:
            return None
        try:
            return list(drafted(*known, context))
        except UpstreamTruncated:
            return None

    def before(self, generator: Generator) -> Generator:
        """The generator, asked only for what was not written ahead."""
        return _Before(self, generator)


class _Before:
    """Generator that gives what was written ahead, and asks another one for the rest."""

    def __init__(self, written: WrittenFirst, otherwise: Generator) -> None:
        self._written = written
        self._otherwise = otherwise

    @property
    def name(self) -> str:
        return self._otherwise.name

    @property
    def prompt_version(self) -> str | None:
        return self._otherwise.prompt_version

    async def draft(self, ask: Ask, context: Context) -> AsyncGenerator[Draft, None]:
        """See ports.Generator."""
        drafts = self._written.drafts(ask, context)
        if drafts is not None:
            for piece in drafts:
                yield piece
            return
        rest = self._otherwise.draft(ask, context)
        try:
            async for piece in rest:
                yield piece
        finally:
            if isinstance(rest, AsyncGenerator):
                await rest.aclose()

    async def aclose(self) -> None:
        """The other one belongs to whoever made it."""


def drafted(written: Written, prompt_version: str | None, context: Context) -> Iterator[Draft]:
    """The draft of a whole text, as its stream would have been read. Raises UpstreamTruncated for one without a word."""
    gate, marks = NotInSources(), Marks(len(context.passages))
    pieces = [*marks.feed(gate.feed(written.text)), *marks.feed(gate.close()), *marks.close()]
    if gate.abstained:
        yield DraftEnd(abstained="not_in_passages", usage=written.usage, prompt_version=prompt_version)
        return
    if not pieces:
        raise UpstreamTruncated("The model endpoint sent an answer without a word.")
    yield from pieces
    yield DraftEnd(written.finish, usage=written.usage, unknown_marks=marks.unknown, prompt_version=prompt_version)
