"""The SentenceEmbedder that ingest asked for: the embedder itself, for a thread that may wait."""

import asyncio
from collections.abc import Sequence

from retrieval.ports import Embedder


class WaitingSentences:
    """Embeds on the loop that questions are embedded on, so both take turns; the thread that asks waits.

    Never to be called on that loop: it would wait for itself.
    """

    def __init__(self, embedder: Embedder, loop: asyncio.AbstractEventLoop) -> None:
        self._embedder = embedder
        self._loop = loop

    @property
    def fingerprint(self) -> str:
        return self._embedder.fingerprint

    def embed_sentences(self, texts: Sequence[str]) -> list[list[float]]:
        """Raises EmbedderUnavailable."""
        waiting = asyncio.run_coroutine_threadsafe(self._embedder.embed_passages(texts), self._loop)
        return [passage.vector.tolist() for passage in waiting.result()]
