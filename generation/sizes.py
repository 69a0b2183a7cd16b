"""What passages cost the model that answers, counted as they stand in its prompt."""

import math
from collections.abc import Sequence
from dataclasses import replace

from generation.errors import GenerationError
from generation.ports import TokenCounter
from generation.prompt import Prompt
from retrieval.model import Passage

LATIN_PER_TOKEN = 3  # letters; English takes about four, so this leaves a third of margin
_LATIN = 0x250


def estimated(text: str) -> int:
    """Tokens of a text for a model whose tokenizer is not at hand: three Latin characters are one, any other character is
    one by itself. On English prose a third too many, which fills a window less than it could and never more."""
    latin = sum(ord(char) < _LATIN for char in text)
    return math.ceil(latin / LATIN_PER_TOKEN) + len(text) - latin


class Estimate:
    """The token counter that asks nobody."""

    name = "estimate"

    async def count(self, texts: Sequence[str]) -> list[int]:
        return [estimated(text) for text in texts]

    async def aclose(self) -> None:
        """There is nothing to let go of."""


class PromptSizes:
    """`retrieval.assembly.Sizes` for a model that gets its passages in a prompt."""

    def __init__(self, counter: TokenCounter, prompt: Prompt) -> None:
        self._counter = counter
        self._prompt = prompt

    async def sized(self, passages: Sequence[Passage]) -> tuple[tuple[Passage, ...], tuple[str, ...]]:
        """Where the counter fails, passages are estimated, and `tokenizer` is named."""
        texts = [self._prompt.quoted(passage) for passage in passages]
        try:
            counts, degraded = await self._counter.count(texts), tuple[str, ...]()
        except GenerationError:
            counts, degraded = [estimated(text) for text in texts], ("tokenizer",)
        return tuple(replace(p, tokens=n) for p, n in zip(passages, counts, strict=True)), degraded
