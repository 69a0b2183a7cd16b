"""Late interaction: every token of the question looks for its best match among the tokens of a passage.

MaxSim is that of ColBERT (Khattab & Zaharia 2020, "Efficient and Effective Passage Search via Contextualized Late
Interaction over BERT", section 3.3), here over the embedder's own token vectors, of which only the signs are stored:

    score(q, p) = 1/t · Σ_i max_j  q_i · s_j / √d        s_j in {-1, +1}^d, so that s_j / √d has unit length

The mean over the question's t tokens, where ColBERT has the sum, makes scores of short and long questions comparable and
keeps them within [-1, 1]. On the project's sets the signs rank as well as the full vectors, at 1/32 of their size.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from threadpoolctl import threadpool_limits

from ingest.model import embedded_text
from retrieval.adapters.token_places import KnownPlaces, TokenPlaces
from retrieval.errors import RerankerUnavailable
from retrieval.model import Bits, EmbeddedPassage, EmbeddedQuery, Floats, Passage, Ranked

Span = tuple[int, int]


def similarities(query_tokens: Floats, bits: Bits) -> Floats:
    """q_i · s_j / √d for question tokens of shape (t, d) and packed signs of shape (n, d / 8); shape (t, n).

    With b = (s + 1) / 2 the stored bits, q · s = 2 (q · b) - Σ q, so the bits are used as they are. Raises ValueError
    for bits of another dimension.
    """
    d = query_tokens.shape[1]
    if bits.shape[1] * 8 != d:
        raise ValueError(f"{bits.shape[1] * 8} bits a token for vectors of {d}")
    unpacked = np.unpackbits(bits, axis=1).astype(np.float32)
    dots = query_tokens @ unpacked.T
    return np.asarray((2.0 * dots - query_tokens.sum(axis=1, keepdims=True)) / np.sqrt(d), dtype=np.float32)


def maxsim(query_tokens: Floats, passages: Sequence[Bits]) -> Floats:
    """One score per passage, shape (len(passages),). A passage without tokens, or a question without any, scores -1."""
    scores = np.full(len(passages), -1.0, dtype=np.float32)
    filled = [i for i, bits in enumerate(passages) if len(bits)]
    if not filled or not len(query_tokens):
        return scores
    lengths = [len(passages[i]) for i in filled]
    starts = np.cumsum([0, *lengths[:-1]])
    every = similarities(query_tokens, np.concatenate([passages[i] for i in filled]))
    scores[filled] = np.maximum.reduceat(every, starts, axis=1).mean(axis=0)
    return scores


class LateInteractionReranker:
    """The reranker port over `Passage.bits`. Passages without bits keep their order, behind those that have them."""

    def __init__(self) -> None:
        """NumPy's matrix products get one thread in the whole process. These are small, a millisecond's work; shared among
        the threads of BLAS, which wait for each other in a loop, they took twenty as soon as anything else wanted a core."""
        threadpool_limits(1, user_api="blas")

    async def rerank(self, query: EmbeddedQuery, text: str, passages: Sequence[Passage]) -> list[Ranked]:
        """Scores as `maxsim`; a passage without bits scores -1. Raises RerankerUnavailable for vectors that do not fit."""
        del text
        try:
            return await asyncio.to_thread(_ranked, query, passages)
        except ValueError as error:
            raise RerankerUnavailable(f"Stored token vectors do not fit the question's: {error}.") from error


def _ranked(query: EmbeddedQuery, passages: Sequence[Passage]) -> list[Ranked]:
    read = [passage for passage in passages if passage.bits is not None]
    scores = maxsim(query.tokens, [passage.bits for passage in read if passage.bits is not None])
    best_first = np.argsort(-scores, kind="stable")
    ranked = [Ranked(read[i].id, float(scores[i])) for i in best_first]
    return ranked + [Ranked(passage.id, -1.0) for passage in passages if passage.bits is None]


@runtime_checkable
class TokenEmbedder(Protocol):
    """The part of an embedder that tells where its tokens stand."""

    def offsets(self, texts: Sequence[str]) -> list[list[Span]]:
        """One half-open span per row of a text's bits, (0, 0) for the special tokens at both ends."""
        ...

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        """As `Embedder.embed_passages`."""
        ...


class LateInteractionScorer:
    """The sentence scorer port over stored token vectors: no model runs at question time.

    A token's vector was made in sight of its whole passage, so a sentence that says "he" is found by the name that stands
    a sentence earlier; sentences embedded by themselves did not do better in measurements, and cost 40 ms.
    """

    def __init__(self, embedder: TokenEmbedder) -> None:
        self._embedder = embedder
        self._places = KnownPlaces(embedder.offsets)

    async def matches(
        self, query: EmbeddedQuery, passages: Sequence[Passage], spans: Sequence[Sequence[Span]]
    ) -> list[Floats]:
        """As the port says. Passages whose bits were not read, or do not fit their tokens, are embedded now."""
        stored = await asyncio.to_thread(self._stored, query.tokens, passages, spans)
        missing = [work for work in stored if isinstance(work, _Work)]
        if not missing:  # nearly always, and a thread is not waited for once more
            return [found for found in stored if not isinstance(found, _Work)]
        embedded = await self._embedder.embed_passages([work.text for work in missing])
        pairs = zip(missing, embedded, strict=True)
        made = iter(await asyncio.to_thread(lambda: [work.matched(query.tokens, e.bits) for work, e in pairs]))
        return [next(made) if isinstance(one, _Work) else one for one in stored]

    def _stored(
        self, query_tokens: Floats, passages: Sequence[Passage], spans: Sequence[Sequence[Span]]
    ) -> list["Floats | _Work"]:
        """Matched by what is stored, where that fits."""
        texts = [embedded_text(passage.header, passage.text) for passage in passages]
        found: list[Floats | _Work] = []
        for passage, text, places, own in zip(passages, texts, self._places.of(texts), spans, strict=True):
            work = _Work(text, places, own, len(text) - len(passage.text))
            fits = passage.bits is not None and len(passage.bits) == places.count
            found.append(work.matched(query_tokens, passage.bits) if fits and passage.bits is not None else work)
        return found


@dataclass(frozen=True, slots=True)
class _Work:
    """Spans of a passage that are to be matched. `text` is what is embedded, in which the passage begins at `shift`."""

    text: str
    places: TokenPlaces
    spans: Sequence[Span]
    shift: int

    def matched(self, query_tokens: Floats, bits: Bits) -> Floats:
        """Shape (spans, t); -1 for a span without tokens."""
        out = np.full((len(self.spans), len(query_tokens)), -1.0, dtype=np.float32)
        if not len(out):
            return out
        edges = np.searchsorted(self.places.begins, np.array(self.spans, dtype=np.int32) + self.shift) + 1
        filled = edges[:, 0] < edges[:, 1]
        if filled.any():
            # The maxima from the first to the last token of each span; those between spans, at odd places, go unused.
            found = np.maximum.reduceat(similarities(query_tokens, bits), edges[filled].ravel(), axis=1)
            out[filled] = found[:, ::2].T
        return out
