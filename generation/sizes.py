"""What passages cost the model that answers, counted as they stand in its prompt."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from generation.errors import GenerationError
from generation.model import Example
from generation.ports import TokenCounter
from generation.prompt import Prompt, PromptSource
from retrieval.model import Context, Passage

# Four letters of a word make a token; longer words take fewer, so this is where the margin comes from. What is written in
# capitals is a name, and falls into smaller pieces.
_TOKEN = re.compile(r"[A-Z]{1,3}(?![a-z])|[A-Za-z\u00c0-\u024f]{1,4}|\S|\n")


@lru_cache(maxsize=4096)  # passages come again and again
def estimated(text: str) -> int:
    """Tokens of a text for a model whose tokenizer is not at hand: one for every four letters of a Latin word, or three in
    capitals, begun or full, and one for every other character but spaces. On the manual and on source code that is a third
    more than word pieces: a window is filled less than it could be and not more."""
    return len(_TOKEN.findall(text))


class Estimate:
    """The token counter that asks nobody."""

    name = "estimate"

    async def count(self, texts: Sequence[str]) -> list[int]:
        return [estimated(text) for text in texts]

    async def aclose(self) -> None:
        """There is nothing to let go of."""


def told(prompt: Prompt, examples: Sequence[Example] = ()) -> int:
    """Tokens of a request without its question and its sources, estimated."""
    messages = prompt.fill("", Context((), (), 0), examples=examples)
    return sum(estimated(message["content"]) for message in messages)


class PromptSizes:
    """`retrieval.assembly.Sizes` for a model that gets its passages in a prompt."""

    def __init__(self, counter: TokenCounter, prompt: PromptSource) -> None:
        self._counter = counter
        self._prompt = prompt

    async def sized(self, passages: Sequence[Passage]) -> tuple[tuple[Passage, ...], tuple[str, ...]]:
        """Where the counter fails, passages are estimated, and `tokenizer` is named."""
        prompt = self._prompt.now()
        texts = [prompt.quoted(passage) for passage in passages]
        try:
            counts, degraded = await self._counter.count(texts), tuple[str, ...]()
        except GenerationError:
            counts, degraded = [estimated(text) for text in texts], ("tokenizer",)
        return tuple(replace(p, tokens=n) for p, n in zip(passages, counts, strict=True)), degraded
