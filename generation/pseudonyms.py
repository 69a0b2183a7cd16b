"""A generator that never shows its model personal data: placeholders go out, and what the model says of them comes back as
the values. Citations and verdicts see the answer as if there had been none."""

from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import replace

from generation.around import Around
from generation.filters.placeholders import Placeholders
from generation.model import Ask, Draft, DraftRestarted, DraftSentence, DraftText
from retrieval.model import Context, Passage


class Pseudonymous(Around):
    """The generator port over another one. Values keep their placeholders within a call."""

    async def draft(self, ask: Ask, context: Context) -> AsyncGenerator[Draft, None]:
        """See ports.Generator. Quotes are left to whoever verifies: places in a passage are not the same with values."""
        words = Placeholders(_texts(ask, context))
        sent = _ask(ask, words), _context(context, words)
        restoring = _Restored(words, data=ask.response_format is not None)
        async with aclosing(self._generator.draft(*sent)) as drafts:  # type: ignore[type-var]
            async for draft in drafts:
                for restored in restoring.step(draft):
                    yield restored


class _Restored:
    """Drafts with the values in them."""

    def __init__(self, words: Placeholders, *, data: bool) -> None:
        self._words = words
        self._data = data
        self._stream = words.restoring(data=data)

    def step(self, draft: Draft) -> Iterator[Draft]:
        if not self._words:
            yield draft
            return
        if isinstance(draft, DraftText):
            yield from _text(self._stream.feed(draft.text))
            return
        if not isinstance(draft, DraftRestarted):
            yield from _text(self._stream.feed("", final=True))
        self._stream = self._words.restoring(data=self._data)
        yield (
            replace(draft, text=self._words.restored(draft.text), quotes=())
            if isinstance(draft, DraftSentence)
            else draft
        )


def _text(text: str) -> Iterable[DraftText]:
    return [DraftText(text)] if text else []


def _texts(ask: Ask, context: Context) -> Iterator[str]:
    """All that is sent of a request."""
    yield from (ask.question, ask.standalone or "", *(text for _, text in ask.history))
    if ask.repair is not None:
        yield from (ask.repair.reply, ask.repair.problem)
    for passage in context.passages:
        yield from (passage.title, passage.text, *passage.heading_path)


def _ask(ask: Ask, words: Placeholders) -> Ask:
    """Answers of examples and schemas are the operator's and the caller's own words."""
    hidden = replace(
        ask,
        question=words.hide(ask.question),
        history=tuple((role, words.hide(text)) for role, text in ask.history),
        standalone=words.hide(ask.standalone) if ask.standalone else ask.standalone,
    )
    if ask.repair is None:
        return hidden
    reply, problem = words.hide(ask.repair.reply), words.hide(ask.repair.problem)
    return replace(hidden, repair=replace(ask.repair, reply=reply, problem=problem))


def _context(context: Context, words: Placeholders) -> Context:
    return replace(context, passages=tuple(_passage(passage, words) for passage in context.passages))


def _passage(passage: Passage, words: Placeholders) -> Passage:
    text, title = words.hide(passage.text), words.hide(passage.title)
    heading = tuple(map(words.hide, passage.heading_path))
    if (text, title, heading) == (passage.text, passage.title, passage.heading_path):
        return passage
    return replace(passage, text=text, title=title, heading_path=heading)
