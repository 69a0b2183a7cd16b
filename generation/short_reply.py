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
_WORDS = re.compile(r"[a-z]+")


async def short_reply(
    generator: Generator, question: str, timeout_s: float, context: Context = NOTHING
) -> tuple[str, Usage]:
    """What the model says, whole, and what it took. `timeout_s` is for all of it. Raises a GenerationError."""
    said: list[str] = []
    usage = Usage()
    try:
        async with asyncio.timeout(timeout_s):
            async with aclosing(generator.draft(Ask(question), context)) as drafts:  # type: ignore[type-var]
                async for draft in drafts:
                    if isinstance(draft, DraftText):
                        said.append(draft.text)
                    elif isinstance(draft, DraftEnd):
                        usage = draft.usage
    except TimeoutError:
        raise UpstreamTimeout("The model took too long for a short reply.") from None
    return "".join(said), usage


def one_of(said: str, words: Collection[str]) -> str | None:
    """The one of the words that a reply holds; None where it holds none or several."""
    found = set(words) & set(_WORDS.findall(said.casefold()))
    return found.pop() if len(found) == 1 else None
