"""A second model as the judge of sentences that do not stand word for word in what they cite."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, get_args

from generation.errors import GenerationError
from generation.model import DraftSentence, Usage
from generation.ports import UNCHECKED, Generator, Judged, Verdict, Verifier
from generation.short_reply import one_of, short_reply
from retrieval.model import Context

_SAID: dict[str, Judged] = {word: Judged(word) for word in get_args(Verdict) if word != "unchecked"} | {
    "contradicted": Judged("unsupported", contradiction=1.0)
}
_LONGEST = 2000  # characters of a sentence; a longer one is no sentence


class JudgingModel(Protocol):
    """A model that judges one sentence, and may fail."""

    @property
    def name(self) -> str:
        """For reports."""
        ...

    async def judge(
        self, text: str, numbers: Sequence[int], context: Context, timeout_s: float
    ) -> tuple[Judged, Usage]:
        """What it says of a sentence and these passages of the context, counted from 1, and what that took. Raises a
        GenerationError, with what was spent."""
        ...


class ChatJudge:
    """A chat model that was given the prompt `verify`. It gives no score; that it says `contradicted` counts as certain."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    @property
    def name(self) -> str:
        return self._generator.name

    async def judge(
        self, text: str, numbers: Sequence[int], context: Context, timeout_s: float
    ) -> tuple[Judged, Usage]:
        """See JudgingModel. Of a reply that is no verdict nothing is taken."""
        cited = replace(context, passages=tuple(context.passages[n - 1] for n in numbers))
        said, usage = await short_reply(self._generator, text, timeout_s, cited)
        return _SAID.get(one_of(said, _SAID) or "", UNCHECKED), usage


class ModelVerifier:
    """The verifier port for one answer: another verifier first, which costs nothing, and the model for what it leaves
    `unchecked`. `usage` is what the model took so far; after a call that failed, or once the time is used up, the model is
    not asked again, and `failed` says so."""

    def __init__(
        self, first: Verifier, model: JudgingModel, timeout_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`timeout_s` is for all verdicts of the answer together."""
        self._first = first
        self._model = model
        self._left_s = timeout_s
        self._clock = clock
        self.usage = Usage()
        self.failed = False

    @property
    def name(self) -> str:
        return self._model.name

    async def judge(self, sentence: DraftSentence, context: Context) -> Judged:
        """See ports.Verifier."""
        judged = await self._first.judge(sentence, context)
        named = dict.fromkeys((*sentence.cited, *(quote.n for quote in sentence.quotes)))
        numbers = [n for n in named if 1 <= n <= len(context.passages)]
        if judged.verdict != "unchecked" or not numbers:
            return judged
        self.failed = self.failed or self._left_s <= 0
        if self.failed:
            return UNCHECKED
        begun = self._clock()
        try:
            judged, usage = await self._model.judge(sentence.text[:_LONGEST], numbers, context, self._left_s)
        except GenerationError as error:
            self.failed = True
            self.usage += error.usage
            return UNCHECKED
        self._left_s -= self._clock() - begun
        self.usage += usage
        return judged
