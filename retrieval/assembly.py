"""The context of a question, assembled: counted in the reading model's tokens, packed, and made whole where it was cut."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from ingest.ports import Span
from retrieval.context import Limits, pack
from retrieval.errors import RetrievalError
from retrieval.model import Bits, Context, Found, Hit, Passage
from retrieval.ports import Surroundings
from retrieval.search import as_passage
from retrieval.widen import REACH, Stretch, joined, key, section, section_of, stretches, with_joined


class Sizes(Protocol):
    """What passages cost the model that reads them."""

    async def sized(self, passages: Sequence[Passage]) -> tuple[tuple[Passage, ...], tuple[str, ...]]:
        """The passages with `tokens` as that model counts them, and the names of parts that failed meanwhile."""
        ...


class TokenVectors(Protocol):
    """Where the token vectors of passages come from. `retrieval.ports.VectorStore` satisfies it."""

    async def get(self, ids: Sequence[str]) -> dict[str, Bits]:
        """Of the chunks that are stored. Raises IndexUnavailable."""
        ...


class Assembly:
    """Makes contexts. Without `sizes` a passage costs what the embedder counted when it was cut; without `surroundings`
    none is widened."""

    def __init__(
        self,
        surroundings: Surroundings | None = None,
        vectors: TokenVectors | None = None,
        sizes: Sizes | None = None,
    ) -> None:
        self._surroundings = surroundings
        self._vectors = vectors
        self._sizes = sizes

    async def context(self, found: Found, limits: Limits, asked: str = "") -> tuple[Context, tuple[str, ...]]:
        """The context, and the names of parts that failed meanwhile. Raises CatalogUnavailable."""
        passages, degraded = await self._sized(found.passages)
        context = pack(replace(found, passages=passages), limits, asked)
        if self._surroundings is None or limits.widen == "off" or not context.passages:
            return context, degraded
        near = await self._around(self._surroundings, context, passages)
        around = {key(passage): passage for passage in (*passages, *near)}
        found_wider = stretches(context, around, limits.token_budget, limits.widen)
        if not any(stretch.is_wider for stretch in found_wider):
            return context, degraded
        return with_joined(context, await self._joined(self._surroundings, found_wider)), degraded

    async def _sized(self, passages: Sequence[Passage]) -> tuple[tuple[Passage, ...], tuple[str, ...]]:
        return (tuple(passages), ()) if self._sizes is None else await self._sizes.sized(passages)

    async def _around(
        self, surroundings: Surroundings, context: Context, known: Sequence[Passage]
    ) -> tuple[Passage, ...]:
        """The neighbours of the context's passages, of the same sections, that were not found themselves."""
        spans = [Span(p.document_id, p.version, p.ordinal - REACH, p.ordinal + REACH + 1) for p in context.passages]
        live = await surroundings.around(spans, {passage.id for passage in known})
        sections = {section(passage) for passage in context.passages}
        near = (as_passage(Hit(c.chunk.id, {}), c, None) for c in live if section_of(c) in sections)
        return (await self._sized(list(near)))[0]

    async def _joined(
        self, surroundings: Surroundings, found: Sequence[Stretch]
    ) -> list[tuple[Stretch, Passage | None]]:
        wider = [stretch for stretch in found if stretch.is_wider]
        spans = [Span(s.own.document_id, s.own.version, s.start, s.end) for s in wider]
        texts = dict(zip(map(id, wider), await surroundings.excerpts(spans), strict=True))
        bits = await self._bits([c.id for s in wider for c in s.chunks if c.bits is None])
        out: list[tuple[Stretch, Passage | None]] = []
        for stretch in found:
            if not stretch.is_wider:
                out.append((stretch, stretch.own))
                continue
            text = texts[id(stretch)]
            chunks = tuple(replace(c, bits=c.bits if c.bits is not None else bits.get(c.id)) for c in stretch.chunks)
            out.append((stretch, None if text is None else joined(replace(stretch, chunks=chunks), text)))
        return out

    async def _bits(self, ids: Sequence[str]) -> dict[str, Bits]:
        """Token vectors of the chunks that joined; where they cannot be had, who needs them makes them."""
        try:
            return await self._vectors.get(ids) if ids and self._vectors is not None else {}
        except RetrievalError:
            return {}
