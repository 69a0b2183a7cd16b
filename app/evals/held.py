"""Claims held against texts as the service would hold them: the text is cut by the splitter that serves, its token vectors
are stored as an ingest stores them, and every chunk of it counts as cited."""

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.evals.corpus import opened_anew
from app.generations import LiveScorer, OpenGenerations
from app.sentences import LiveSentences
from app.settings import Settings
from generation.parts import ByParts
from generation.verification.embedded import EmbeddedVerifier
from ingest.model import Chunk, Document, Source
from ingest.ports import LiveChunk
from ingest.readers import registry
from retrieval.model import EmbeddedPassage, Hit, Passage
from retrieval.search import as_passage

_KEPT = 256  # texts; the rows of a file that share one stand near each other
_WRITTEN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

Cited = list[tuple[int, Passage]]


class Held:
    """The verifier that serves, and passages for it."""

    def __init__(self, generations: OpenGenerations) -> None:
        self._generations = generations
        self._known: dict[str, Cited] = {}
        self.reader = LiveSentences(generations)
        self.scorer = ByParts(LiveScorer(generations))
        self.verifier = EmbeddedVerifier(self.reader, self.scorer)

    async def cited(self, text: str) -> Cited:
        """The text's chunks as numbered passages; none of a text without content."""
        if text not in self._known:
            if len(self._known) >= _KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[text] = await self._passages(text)
        return self._known[text]

    async def _passages(self, text: str) -> Cited:
        if not text.strip():
            return []
        live = self._generations.live
        parsed = registry.read("row.txt", text.encode("utf-8", "replace"))
        source = Source(Path("/"), "row.txt", len(text), _WRITTEN)
        document = Document("row", "eval", source, "", parsed)
        chunks = live.splitter.split(document)
        embedded = await live.embedder.embed_passages([chunk.embedded for chunk in chunks])
        made = [_passage(document, chunk, vectors) for chunk, vectors in zip(chunks, embedded, strict=True)]
        return list(enumerate(made, start=1))


@asynccontextmanager
async def held(settings: Settings) -> AsyncIterator[Held]:
    """With the models loaded, on a state folder that is forgotten afterwards."""
    async with opened_anew(settings) as grounded:
        yield Held(grounded.generations)


def _passage(document: Document, chunk: Chunk, embedded: EmbeddedPassage) -> Passage:
    parsed, name = document.parsed, document.source.name
    live = LiveChunk(chunk, document.collection_id, 1, name, parsed.title, parsed.media_type, _WRITTEN)
    return as_passage(Hit(chunk.id, {}), live, embedded.bits)
