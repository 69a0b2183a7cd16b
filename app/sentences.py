"""Sentences of an answer read by the embedder of the live index, token by token."""

import asyncio
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from app.generations import AskedQuery, OpenGenerations
from generation.ports import ReadSentence
from retrieval.errors import EmbedderUnavailable


@runtime_checkable
class _TokenEmbedder(Protocol):
    """The part of an embedder that tells where its tokens stand."""

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """One half-open span per token, special tokens at both ends included."""
        ...


class LiveSentences:
    """SentenceReader by the embedder of the generation that is live."""

    def __init__(self, generations: OpenGenerations) -> None:
        self._generations = generations

    async def read(self, sentence: str) -> ReadSentence:
        """As the port says."""
        with self._generations.using(self._generations.live) as live:
            embedder = live.embedder
            if not isinstance(embedder, _TokenEmbedder):
                raise EmbedderUnavailable("The embedder gives no token vectors.", "Choose a local embedder.")
            query = await embedder.embed_query(sentence)
            [spans] = await asyncio.to_thread(embedder.offsets, [sentence])
        asked = AskedQuery(query.vector, query.tokens, live.fingerprint)
        return ReadSentence(asked, tuple(spans[1:-1]))
