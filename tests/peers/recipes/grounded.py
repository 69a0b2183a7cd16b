"""Grounded itself: the ingest and the search of the product on a real state folder, both arms, fusion, texts from the
catalog and the rerank by late interaction.

Two parts stand in, so that all peers have the same: each text is one chunk, and the embedder gives the vectors that the
parent made. So the splitter and the model are not measured, and everything else is what serves.
"""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Self

import numpy as np

from app.settings import Settings
from app.state import StateFolder
from app.wiring import Grounded, opened
from ingest.model import Block, Chunk, Document, Parsed, Source, chunk_id
from ingest.run import Request, Summary
from retrieval.model import Bits, EmbeddedPassage, EmbeddedQuery, Query, Scope
from tests.app.serving import fake_embedder
from tests.peers.measure import RESULTS, Corpus, Embedding, Search, main

_OPEN = AsyncExitStack()  # until the process ends
_PER_FILE = 20  # texts that pad the corpus; what is judged is one document each


class Texts:
    """Reader of files that hold a list of texts: one block each."""

    async def read(self, source: Source, data: bytes) -> Parsed:
        del source
        blocks, text = [], ""
        for own in json.loads(data):
            blocks.append(Block("paragraph", len(text), len(text) + len(own)))
            text += f"{own}\n\n"
        return Parsed("", text, tuple(blocks), "text/plain")


class OneEach:
    """Splitter that makes a chunk of every block."""

    def fingerprint_for(self, name: str) -> str:
        del name
        return "peers"

    def split(self, document: Document) -> tuple[Chunk, ...]:
        return tuple(self._chunk(document, number, block) for number, block in enumerate(document.parsed.blocks))

    def _chunk(self, document: Document, number: int, block: Block) -> Chunk:
        own = chunk_id(document.collection_id, document.id, document.sha256, "peers", number)
        text = document.text[block.start : block.end]
        return Chunk(
            own, document.id, number, block.start, block.end, text, (), None, None, None, len(text.split()), ""
        )


class Given:
    """Embedder over the vectors that all peers share, and the token vectors that belong to them."""

    name = "given"
    fingerprint = hashlib.sha256(b"peers").hexdigest()
    window = 256

    def __init__(self, corpus: Corpus, embedding: Embedding) -> None:
        self.dimension = corpus.vectors.shape[1]
        self._embedding = embedding
        self._rows = {hash(text): row for row, text in enumerate(corpus.texts)}
        self._vectors = np.load(corpus.folder / "vectors.npy", mmap_mode="r")
        self._bits = np.load(corpus.folder / "bits.npy", mmap_mode="r")
        self._ends = np.load(corpus.folder / "bits_ends.npy")
        self._parts = np.load(corpus.folder / "parts.npy")

    def load(self) -> Self:
        return self

    def close(self) -> None:
        """Nothing is held."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    async def embed_query(self, text: str) -> EmbeddedQuery:
        """As in the product, the loop is free while the model works."""
        both = self._embedding.both
        vector, tokens = await asyncio.to_thread(both, text) if self._embedding.asking else both(text)
        return EmbeddedQuery(vector, tokens)

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        return [self._passage(self._rows[hash(text)]) for text in texts]

    def forget(self) -> None:
        """What only the ingest needs."""
        self._rows.clear()

    def _passage(self, row: int) -> EmbeddedPassage:
        first, second, share = self._parts[row]
        one, other = self._token_bits(int(first)), self._token_bits(int(second))
        bits = np.concatenate([one[: round(share * len(one))], other[round(share * len(other)) :]])
        return EmbeddedPassage(np.array(self._vectors[row]), bits)

    def _token_bits(self, row: int) -> Bits:
        start = self._ends[row - 1] if row else 0
        return np.asarray(self._bits[start : self._ends[row]])


def build(corpus: Corpus, embedding: Embedding, variant: str) -> Search:
    """Ingests, closes, and opens again, as a service does that is started on what was ingested."""
    del variant
    docs, state = corpus.scratch / "docs", corpus.scratch / "state"
    ids = _write(corpus, docs)
    settings = Settings(state=state)
    embedder = Given(corpus, embedding)
    loop = asyncio.new_event_loop()
    with fake_embedder(embedder):
        loop.run_until_complete(_ingested(settings, docs, len(corpus.ids)))
        embedder.forget()
        grounded, scope = loop.run_until_complete(_serving(settings))

    notes = corpus.notes

    def search(text: str) -> list[str]:
        found = loop.run_until_complete(grounded.search.search(Query(text, scope)))
        if found.degraded:
            notes.append(f"went without {', '.join(found.degraded)}")
        return [ids[passage.name][passage.ordinal] for passage in found.passages[:RESULTS]]

    return search


def _write(corpus: Corpus, docs: Path) -> dict[str, list[str]]:
    """Files, and the ids of what stands in each, in order. Judged texts are documents of their own."""
    docs.mkdir()
    padding = [row for row, i in enumerate(corpus.ids) if i.startswith("pad-")]
    judged = [[row] for row in range(len(corpus.ids) - len(padding))]
    groups = judged + [padding[start : start + _PER_FILE] for start in range(0, len(padding), _PER_FILE)]
    ids: dict[str, list[str]] = {}
    for number, rows in enumerate(groups):
        name = f"{number:06}.txt"
        (docs / name).write_text(json.dumps([corpus.texts[row] for row in rows]))
        ids[name] = [corpus.ids[row] for row in rows]
    return ids


async def _ingested(settings: Settings, docs: Path, expected: int) -> None:
    state = StateFolder(settings.state)
    with state.owned():
        async with opened(settings, state, Texts()) as grounded:
            grounded.ingest._splitter = OneEach()
            request, summary = Request(docs), Summary()
            plan = await grounded.ingest.plan(request)
            async with aclosing(grounded.ingest.run(request, plan, summary)) as reports:
                async for report in reports:
                    if report.error is not None:
                        raise report.error
    if summary.chunks != expected:
        raise RuntimeError(f"{summary.chunks} chunks were made of {expected} texts.")


async def _serving(settings: Settings) -> tuple[Grounded, Scope]:
    state = StateFolder(settings.state)
    _OPEN.enter_context(state.owned())
    grounded = await _OPEN.enter_async_context(opened(settings, state, Texts()))
    await grounded.ready()
    await grounded.settled()
    await grounded.learnt()
    return grounded, await grounded.pipeline.scope("default")


if __name__ == "__main__":
    main(build, ["grounded-qa", "qdrant-edge-py"])
