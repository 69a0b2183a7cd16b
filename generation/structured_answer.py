"""An answer in a form that the caller asked for: written whole, checked, repaired once, and told with its sentences judged.

Nothing is sent before the reply is what was asked for, so nothing has to be taken back.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace

from generation.answer import Drafted
from generation.checks import Checks, claim_of
from generation.errors import GenerationError, StructuredOutputInvalid
from generation.events import ClaimJudged, TextAdded
from generation.model import (
    Ask,
    Attempt,
    Claim,
    DraftEnd,
    DraftRestarted,
    DraftSentence,
    DraftText,
    Repair,
    Usage,
)
from generation.ports import Generator
from generation.structured import Filled, Form, Said, UnusableError
from generation.verify import find_verbatim
from retrieval.model import Context

_REPAIRS = 1  # a model that was told once what is wrong and goes wrong again will not get it right


async def structured_events(
    ask: Ask, context: Context, checks: Checks, generators: Iterable[Generator]
) -> AsyncGenerator[Drafted, None]:
    """One TextAdded with the JSON, a ClaimJudged for each sentence in its strings, then the DraftEnd. Each generator is
    asked, and asked once more with what was wrong, before the next one is. Raises StructuredOutputInvalid and what the
    generators raise, with every attempt."""
    assert ask.response_format is not None
    form, before = Form(ask.response_format, len(context.passages)), list[Attempt]()
    failed = UnusableError("There is no reply.", "json")
    for generator in generators:
        asked = ask
        for _ in range(1 + _REPAIRS):
            reply, end = await _replied(generator, asked, context, before)
            whole = _whole(end, generator, before)
            if end.abstained is not None:
                yield whole
                return
            try:
                filled = _read(form, reply, end)
            except UnusableError as error:
                failed = error
                before = [*whole.attempts[:-1], replace(whole.attempts[-1], outcome=StructuredOutputInvalid.code)]
                asked = replace(ask, repair=Repair(reply, str(error)))
                continue
            for event in await _told(filled, context, checks):
                yield event
            yield whole if filled is not None else replace(whole, abstained="not_in_passages")
            return
    raise _invalid(failed, before)


async def _replied(generator: Generator, ask: Ask, context: Context, before: Sequence[Attempt]) -> tuple[str, DraftEnd]:
    """The reply, whole, and its end. An error of the generator takes along what was spent before."""
    said, end = "", DraftEnd()
    try:
        async with aclosing(generator.draft(ask, context)) as drafts:  # type: ignore[type-var]
            async for draft in drafts:
                match draft:
                    case DraftText():
                        said += draft.text
                    case DraftRestarted():
                        said = ""
                    case DraftEnd():
                        end = draft
                    case DraftSentence():
                        pass
    except GenerationError as error:
        error.attempts = (*before, *error.attempts)
        raise
    except asyncio.CancelledError:
        ask.meter.left(*before)
        raise
    return said, end


def _read(form: Form, reply: str, end: DraftEnd) -> Filled | None:
    if end.finish_reason == "length":
        raise UnusableError("The reply was cut off because it was too long. Be much shorter.", "length")
    return form.read(reply)


def _whole(end: DraftEnd, generator: Generator, before: Sequence[Attempt]) -> DraftEnd:
    """The end with all attempts up to it."""
    made = end.attempts or (Attempt(end.model or generator.name, end.tier, "ok", end.usage),)
    attempts = (*before, *made)
    return replace(end, attempts=attempts, usage=sum((attempt.usage for attempt in attempts), Usage()))


def _invalid(failed: UnusableError, attempts: Sequence[Attempt]) -> StructuredOutputInvalid:
    """Names the place in the caller's own schema, and nothing of what the model said."""
    if failed.keyword == "length":
        error = StructuredOutputInvalid(
            "The model's reply was cut off before it was whole.", "Ask with a larger max_tokens or a smaller schema."
        )
    else:
        error = StructuredOutputInvalid(
            f"The model's reply does not have the form that was asked for ({failed.keyword})."
        )
    error.attempts = tuple(attempts)
    error.usage = sum((attempt.usage for attempt in attempts), Usage())
    return error


async def _told(filled: Filled | None, context: Context, checks: Checks) -> list[Drafted]:
    if filled is None:
        return []
    claims = [await _claim(n, said, filled.text, context, checks) for n, said in enumerate(filled.said)]
    return [TextAdded(filled.text), *map(ClaimJudged, claims)]


async def _claim(index: int, said: Said, text: str, context: Context, checks: Checks) -> Claim:
    """A sentence that names no source and stands word for word in some is cited there: that is certain without the model."""
    sentence = said.sentence
    if not sentence.cited:
        numbers = [n for n, p in enumerate(context.passages, 1) if find_verbatim(sentence.text, p.text)]
        sentence = replace(sentence, cited=tuple(numbers))
    claim = await claim_of(replace(sentence, check_required=True), index, said.start, context, checks)
    return replace(claim, end=said.end, text=text[said.start : said.end])
