"""What generation needs from models."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from generation.model import Ask, Draft, DraftSentence, Quote, Rewritten
from retrieval.model import Context, EmbeddedQuery, Passage
from retrieval.query import Turn


class Generator(Protocol):
    """Drafts an answer from a context and nothing else."""

    @property
    def name(self) -> str:
        """The model that writes the text; `extractive` for the built-in one."""
        ...

    @property
    def prompt_version(self) -> str | None:
        """Version and hash of the prompt, or None where there is none."""
        ...

    def draft(self, ask: Ask, context: Context) -> AsyncIterator[Draft]:
        """DraftTexts and DraftSentences in order, then exactly one DraftEnd, always last. A DraftRestarted voids all
        before it; only a generator that can go over to another model gives one.

        Closing the iterator stops all work within a second. Raises a GenerationError leaf, before or after the first
        piece. The context is never empty.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections; nothing is drafted afterwards."""
        ...


class Rewriter(Protocol):
    """Makes a question that points back to earlier turns standalone."""

    @property
    def prompt_version(self) -> str | None:
        """Version and hash of the prompt."""
        ...

    async def rewrite(self, question: str, history: Sequence[Turn]) -> Rewritten:
        """The question as it stands alone, with what it cost. Ends within its own time limit. Raises a GenerationError."""
        ...

    async def aclose(self) -> None:
        """Let go of connections; nothing is rewritten afterwards."""
        ...


class TokenCounter(Protocol):
    """Counts tokens as the model does that reads the passages."""

    @property
    def name(self) -> str:
        """How it counts, for people."""
        ...

    async def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, none for an empty one. Raises UpstreamUnavailable."""
        ...

    async def aclose(self) -> None:
        """Let go of connections; nothing is counted afterwards."""
        ...


class SentenceScorer(Protocol):
    """How near a question's tokens come to those of sentences, read inside their passages."""

    async def matches(
        self, query: EmbeddedQuery, passages: Sequence[Passage], spans: Sequence[Sequence[tuple[int, int]]]
    ) -> list[NDArray[np.float32]]:
        """For each passage an array of shape (its spans, t): the best cosine, about, that each of the question's t tokens
        reaches among the span's own tokens, -1 where a span has none. Spans are half open, in the passage's text.
        Raises EmbedderUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class ReadSentence:
    """A sentence as the embedder reads it; `spans` has where each row of `query.tokens` stands in it, half open."""

    query: EmbeddedQuery
    spans: tuple[tuple[int, int], ...]


class SentenceReader(Protocol):
    """Token vectors of a sentence, in the space of the passages that were searched."""

    async def read(self, sentence: str) -> ReadSentence:
        """Raises EmbedderUnavailable, also where the embedder has no token vectors."""
        ...


Verdict = Literal["supported", "partial", "unsupported", "unchecked"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a verifier says of a sentence. `score` is the probability that the cited passages carry it, `contradiction` the
    probability that they say the opposite rather than the same; each is None where it was not measured. `evidence` are the
    spans that carry the sentence, the best first, none where the verifier does not tell them."""

    verdict: Verdict
    score: float | None = None
    contradiction: float | None = None
    evidence: tuple[Quote, ...] = ()


UNCHECKED = Judged("unchecked")


class Verifier(Protocol):
    """Whether cited passages carry a sentence."""

    @property
    def name(self) -> str:
        """For `degraded` and `doctor`."""
        ...

    async def judge(self, sentence: DraftSentence, context: Context) -> Judged:
        """What it says of the passages that the sentence cites or quotes. UNCHECKED where it cannot tell."""
        ...
