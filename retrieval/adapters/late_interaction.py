"""Late interaction: every token of the question looks for its best match among the tokens of a passage.

MaxSim is that of ColBERT (Khattab & Zaharia 2020, "Efficient and Effective Passage Search via Contextualized Late
Interaction over BERT", section 3.3), here over the embedder's own token vectors, of which only the signs are stored:

    score(q, p) = 1/t · Σ_i max_j  q_i · s_j / √d        s_j in {-1, +1}^d, so that s_j / √d has unit length

The mean over the question's t tokens, where ColBERT has the sum, makes scores of short and long questions comparable and
keeps them within [-1, 1]. On the project's sets the signs rank as well as the full vectors, at 1/32 of their size.
"""

import asyncio
from collections.abc import Sequence

import numpy as np

from retrieval.errors import RerankerUnavailable
from retrieval.model import Bits, EmbeddedQuery, Floats, Passage, Ranked


def similarities(query_tokens: Floats, bits: Bits) -> Floats:
    """q_i · s_j / √d for question tokens of shape (t, d) and packed signs of shape (n, d / 8); shape (t, n).

    With b = (s + 1) / 2 the stored bits, q · s = 2 (q · b) - Σ q, so the bits are used as they are.
    """
    d = query_tokens.shape[1]
    unpacked = np.unpackbits(bits, axis=1, count=d).astype(np.float32)
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
