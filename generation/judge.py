"""A chat model as the judge of sentences that do not stand word for word in what they cite."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

from generation.errors import GenerationError
from generation.model import DraftSentence, Usage
from generation.ports import UNCHECKED, Generator, Judged, Verdict, Verifier
from generation.short_reply import one_of, short_reply
from retrieval.model import Context

_SAID: dict[str, Judged] = {word: Judged(word) for word in get_args(Verdict) if word != "unchecked"} | {
    "contradicted": Judged("unsupported", contradiction=1.0)
}
_LONGEST = 2000  # characters of a sentence; a longer one is no sentence


class ModelVerifier:
    """The verifier port for one answer: another verifier first, which costs nothing, and the model for what it leaves
    `unchecked`. `usage` is what the model took so far; after a call that failed, or once the time is used up, the model is
    not asked again, and `failed` says so."""

    def __init__(
        self, first: Verifier, generator: Generator, timeout_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`generator` was given the prompt `verify`. `timeout_s` is for all verdicts of the answer together."""
        self._first = first
        self._generator = generator
        self._left_s = timeout_s
        self._clock = clock
        self.usage = Usage()
        self.failed = False

    @property
    def name(self) -> str:
        return self._generator.name

    async def judge(self, sentence: DraftSentence, context: Context) -> Judged:
        """See ports.Verifier. The model gives no score; that it says `contradicted` counts as certain."""
        judged = await self._first.judge(sentence, context)
        numbers = [n for n in dict.fromkeys(sentence.cited) if 1 <= n <= len(context.passages)]
        if judged.verdict != "unchecked" or not numbers:
            return judged
        self.failed = self.failed or self._left_s <= 0
        if self.failed:
            return UNCHECKED
        cited = replace(context, passages=tuple(context.passages[n - 1] for n in numbers))
        begun = self._clock()
        try:
            said, usage = await short_reply(self._generator, sentence.text[:_LONGEST], self._left_s, cited)
        except GenerationError as error:
            self.failed = True
            self.usage += error.usage
            return UNCHECKED
        self._left_s -= self._clock() - begun
        self.usage += usage
        return _SAID.get(one_of(said, _SAID) or "", UNCHECKED)
