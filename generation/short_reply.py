"""A few words from a chat model, through the very port that writes answers: limits, errors and cost are the same.

What the model says is untrusted: whoever asks says which replies there can be, and anything else is none.
"""

import asyncio
import re
from collections.abc import Collection
from contextlib import aclosing

from generation.errors import UpstreamTimeout
from generation.model import Ask, DraftEnd, DraftText, Usage
from generation.ports import Generator
from retrieval.model import Context

NOTHING = Context((), (), 0)
# A generator that has the same limit is to reach it first: a call that is closed from outside is held against nobody, and
# an endpoint that hangs would cost every question its time instead of being left alone.
_GRACE_S = 0.1
_WORDS = re.compile(r"[a-z]+")


async def short_reply(
    generator: Generator, question: str, timeout_s: float, context: Context = NOTHING
) -> tuple[str, Usage]:
    """What the model says, whole, and what it took. `timeout_s` is for all of it. Raises a GenerationError, with what was
    spent."""
    said: list[str] = []
    usage, ask = Usage(), Ask(question)
    try:
        async with asyncio.timeout(timeout_s + _GRACE_S):
            async with aclosing(generator.draft(ask, context)) as drafts:  # type: ignore[type-var]
                async for draft in drafts:
                    if isinstance(draft, DraftText):
                        said.append(draft.text)
                    elif isinstance(draft, DraftEnd):
                        usage = draft.usage
    except TimeoutError:
        late = UpstreamTimeout("The model took too long for a short reply.")
        late.usage = ask.meter.usage
        raise late from None
    return "".join(said), usage


def one_of(said: str, words: Collection[str]) -> str | None:
    """The one of the words that a reply holds; None where it holds none or several."""
    found = set(words) & set(_WORDS.findall(said.casefold()))
    return found.pop() if len(found) == 1 else None
