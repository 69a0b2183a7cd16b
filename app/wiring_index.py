"""The index, as the settings choose it: engine and stores, the generations made of them, and who watches over it.

Heavy imports stand inside the branch that chooses them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from app.generations import LivePoints, LiveSearch, OpenGenerations
from app.index_settings import IndexSettings
from app.lead import ALONE, Lead
from app.opening import ClosableVectors, GenerationOpener, Parts, followed, open_generations
from app.recipe import recipe_of
from app.settings import ConfigurationError, Settings
from app.state import StateFolder, catalog_url
from app.tasks import begun
from app.wiring_models import cross_reranker_of, embedder_of, late_interaction, rerank_breaker_of, warmed
from generation.breaker import Breaker
from generation.ports import SentenceScorer
from ingest.errors import GroundedError, StateLocked
from ingest.generation import Generations
from ingest.pipeline import Ingest
from ingest.ports import Catalog
from ingest.split import CutRule, SplitterByName, by_rules
from retrieval.corpus import CatalogCorpus
from retrieval.model import Arm
from retrieval.names import DocumentNames
from retrieval.ports import Embedder, Engine, LexicalIndex, Reranker, Search, VectorStore
from retrieval.search import HybridSearch, SearchLimits
from retrieval.sentences import WaitingSentences
from retrieval.standby import StandbyLexical
from retrieval.watch import IndexWatch, Mend

if TYPE_CHECKING:
    from ingest.adapters.sql_catalog import SqlCatalog
    from retrieval.adapters.qdrant_server import QdrantServerIndex

_LATER_S = 30.0  # until what could not be opened is tried again


@dataclass(frozen=True, slots=True)
class OpenIndex:
    """The catalog with the generations of its index, how more of them are opened, and who counts what they hold."""

    catalog: "SqlCatalog"
    rows: Generations
    opener: GenerationOpener
    generations: OpenGenerations
    search: Search  # of the generation that is live
    watch: IndexWatch
    warming: "asyncio.Task[None]"  # done once a reranker that has to be loaded is, or holds the error
    breaker: Breaker | None  # of a reranker that is asked over a network
    names: DocumentNames | None  # None where nobody asks for them
    lead: Lead  # over the other processes on the same database


async def open_index(
    settings: Settings, state: StateFolder, wanted: asyncio.Event, closing: AsyncExitStack, *, repair: bool
) -> OpenIndex:
    """Models load once they are `wanted`. With `repair` also an index whose embedder is gone. Raises GroundedError."""
    from ingest.adapters.sql_catalog import SqlCatalog
    from ingest.adapters.sql_generations import SqlGenerations

    catalog = await asyncio.to_thread(SqlCatalog, catalog_url(state, settings.database_url))
    closing.push_async_callback(catalog.close)
    await catalog.check()
    lead = await _lead(settings, catalog, closing)
    rows, seen = SqlGenerations(catalog), _Watched()
    cross = cross_reranker_of(settings, closing)
    warming = begun(warmed(cross, wanted), closing)
    names = _names(settings, catalog, closing)
    breaker = rerank_breaker_of(settings)  # one for all generations: they ask the same endpoint
    opener = GenerationOpener(settings, state.index, _parts(settings, catalog, seen, names, cross, breaker), wanted)
    generations = await open_generations(recipe_of(settings.embedder), catalog, rows, opener, repair=repair)
    closing.push_async_callback(generations.close)
    watch = seen.watch = _watch(settings, LivePoints(generations), catalog)
    search = LiveSearch(generations)
    return OpenIndex(catalog, rows, opener, generations, search, watch, warming, breaker, names, lead)


async def _lead(settings: Settings, catalog: "SqlCatalog", closing: AsyncExitStack) -> Lead:
    """Taken at once, if it is free. Raises StateLocked where only one process may be there at all."""
    if not catalog.shared:
        return ALONE
    from ingest.adapters.lead import PostgresLead

    lead = PostgresLead(settings.database_url.get_secret_value())
    closing.push_async_callback(lead.close)
    if not await lead.hold() and settings.index.engine == "qdrant_edge":
        raise StateLocked(
            "Another process works on this database, and each would have an embedded index of its own.",
            "Give them a Qdrant server with GROUNDED_QDRANT_URL, or stop the other one.",
        )
    return lead


def kept_up(index: OpenIndex, ingest: Ingest, closing: AsyncExitStack) -> "asyncio.Task[None]":
    """Done once the index is in step with the catalog again; then its vectors are read through, which may take a minute
    and which no question waits for, and from then on it is counted now and then. Half a reconciliation does no harm; the
    next start does the rest."""
    mend = partial(_mend, index, ingest)
    if index.catalog.shared:
        begun(_following(index), closing)
    upkeep = begun(index.watch.restore(mend), closing)
    begun(_watched(upkeep, index, mend), closing)
    return upkeep


@dataclass(slots=True)
class _Watched:
    """A search may tell the watch that it failed; the watch counts what the search that is live looks into."""

    watch: IndexWatch | None = None

    @property
    def down(self) -> bool:
        return self.watch is not None and self.watch.seen.state == "unavailable"

    def suspect(self) -> None:
        if self.watch is not None:
            self.watch.suspect()


def _names(settings: Settings, catalog: "SqlCatalog", closing: AsyncExitStack) -> DocumentNames | None:
    if not settings.retrieval.named_weight:
        return None
    names = DocumentNames(catalog)
    closing.push_async_callback(names.aclose)
    return names


async def learnt(index: OpenIndex) -> None:
    """Names of all documents are known when this returns, as far as the catalog can be read: a question says what it lacks."""
    if index.names is not None:
        with suppress(GroundedError):
            await index.names.learn(await index.catalog.collection_ids())


def _parts(
    settings: Settings,
    catalog: "SqlCatalog",
    seen: _Watched,
    names: DocumentNames | None,
    cross: Reranker | None,
    breaker: Breaker | None,
) -> Parts:
    """How the parts of a generation are made: the same for the live one and for one that is built beside it."""
    from retrieval.adapters.late_interaction import LateInteractionScorer, TokenEmbedder

    reranker, limits = late_interaction(), _search_limits(settings)

    def search(embedder: Embedder, points: Engine, vectors: VectorStore) -> Search:
        lexical = _lexical(settings, points, catalog, seen)
        return HybridSearch(embedder, points, lexical, catalog, vectors, reranker, limits, names, cross, breaker)

    def scorer(embedder: Embedder) -> SentenceScorer | None:
        return LateInteractionScorer(embedder) if isinstance(embedder, TokenEmbedder) else None

    async def engine(folder: Path, dimension: int, closing: AsyncExitStack) -> Engine:
        return await _engine(settings, folder, dimension, catalog, closing)

    vectors, forget = _vectors(settings, catalog)
    return Parts(
        embedder=embedder_of,
        engine=engine,
        vectors=vectors,
        search=search,
        scorer=scorer,
        splitter=partial(_splitter, settings),
        forget=forget,
    )


def _vectors(
    settings: Settings, catalog: "SqlCatalog"
) -> tuple[Callable[[Path, int], ClosableVectors], Callable[[Path], Awaitable[None]] | None]:
    """Beside the shard where that is this process's own, else where every replica finds them; and how those of a generation
    are removed that do not go with its folder."""
    if not catalog.shared or settings.index.engine == "qdrant_edge":
        from retrieval.adapters.vector_store import SqliteVectorStore

        return SqliteVectorStore, None
    from retrieval.adapters.sql_vectors import SqlVectorStore, remove

    return lambda file, dimension: SqlVectorStore(catalog, file.parent.name, dimension), lambda folder: remove(
        catalog, folder.name
    )


async def _engine(
    settings: Settings, folder: Path, dimension: int, catalog: "SqlCatalog", closing: AsyncExitStack
) -> Engine:
    match settings.index.engine:
        case "qdrant_edge":
            from retrieval.adapters.qdrant_edge import QdrantEdgeIndex

            embedded = await asyncio.to_thread(QdrantEdgeIndex, folder / "shard", dimension)
            closing.push_async_callback(embedded.close)
            return embedded
        case "qdrant_server":
            if catalog.shared:
                from retrieval.adapters.sql_vectors import prepare

                await prepare(catalog)
            whose = await catalog.installation()
            server = await asyncio.to_thread(_server, settings.index, folder.name, dimension, whose)
            closing.push_async_callback(server.close)
            return server


def _server(i: IndexSettings, generation: str, dimension: int, installation: str) -> "QdrantServerIndex":
    """Says nothing to the server yet."""
    try:
        from retrieval.adapters.qdrant_layout import Layout, Names
        from retrieval.adapters.qdrant_server import Deadlines, QdrantServerIndex, connect
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"index.engine qdrant_server needs the package {error.name}.",
            "Install it with the extra: pip install 'grounded-qa[qdrant]'.",
        ) from error
    quantized = i.quantization == "scalar"
    layout = Layout(dimension, i.shard_number, i.replication_factor, i.write_consistency_factor, quantized)
    key = i.api_key.get_secret_value()
    client = connect(i.url, key, grpc=i.grpc, grpc_port=i.grpc_port, timeout_s=i.write_timeout_s)
    names = Names(i.collection, generation, installation)
    return QdrantServerIndex(client, names, layout, Deadlines(i.timeout_s, i.write_timeout_s))


def _lexical(settings: Settings, engine: LexicalIndex, catalog: Catalog, seen: _Watched) -> LexicalIndex:
    """Where the engine is a server that may fail, rank-bm25 stands by, so that words are found without it."""
    r, i = settings.retrieval, settings.index
    if r.lexical == "engine" and (i.engine == "qdrant_edge" or i.on_failure == "refuse"):
        return engine
    from retrieval.adapters.rank_bm25 import RankBm25Index

    own = RankBm25Index(CatalogCorpus(catalog), r.rank_bm25_chunks)
    if r.lexical == "rank_bm25":
        return own
    return StandbyLexical(engine, own, down=lambda: seen.down, failed=seen.suspect)


def _search_limits(settings: Settings) -> SearchLimits:
    r, cross = settings.retrieval, settings.reranker
    weights: dict[Arm, float] = {
        "dense": r.dense_weight,
        "bm25": r.bm25_weight,
        "named_dense": r.named_weight,
        "named_bm25": r.named_weight,
        "rerank": r.rerank_weight,
        "cross": cross.weight,
    }
    return SearchLimits(
        candidates=r.candidates,
        rrf_k=r.rrf_k,
        rerank_k=r.rerank_k,
        weights=weights,
        read_closely=r.read_closely,
        timeout_s=r.timeout_s,
        deadlines={"embed": r.embed_timeout_s, "dense": r.dense_timeout_s, "bm25": r.bm25_timeout_s},
        rerank_s=r.rerank_timeout_s,
        cross_s=cross.timeout_s,
        cross_reads=cross.reads,
    )


def _splitter(settings: Settings, embedder: Embedder) -> SplitterByName:
    """Rules in the order of the file. Vectors of sentences are made on the loop that runs now."""
    rules = [
        CutRule(rule.glob, rule.strategy, rule.target_tokens, rule.overlap_tokens) for rule in settings.ingest.chunking
    ]
    return by_rules(rules, embedder, embedder.window, WaitingSentences(embedder, asyncio.get_running_loop()))


def _watch(settings: Settings, engine: LivePoints, catalog: Catalog) -> IndexWatch:
    """Nobody but this process changes the embedded engine, so it is counted only when something failed."""
    served = settings.index.engine == "qdrant_server"
    return IndexWatch(engine, catalog, trusted=not served, every_s=settings.index.check_s if served else None)


async def _following(index: OpenIndex) -> None:
    """What the leader swaps and drops is swapped and dropped here, for as long as the process lives."""
    while True:
        await asyncio.sleep(index.lead.every_s)
        try:
            if not index.lead.held:
                await followed(index.rows, index.opener, index.generations)
        except GroundedError as error:
            structlog.get_logger().error("generation.not_followed", code=error.code, cause=error.message)
            await asyncio.sleep(_LATER_S)


async def _mend(index: OpenIndex, ingest: Ingest) -> None:
    """What was lost comes back from the catalog and the store of vectors; of several processes the leader sees to it.
    Raises GroundedError."""
    if not index.lead.held:
        return
    generations = index.generations
    await generations.live.stores.points.prepare()
    if chunks := await ingest.reconcile():
        structlog.get_logger().info("index.refilled", chunks=chunks)
    await generations.live.stores.points.activate()


async def _proved(vectors: VectorStore, mend: Mend) -> None:
    """What is found damaged is made again. Raises GroundedError."""
    if not await vectors.verify():
        await mend()


async def _watched(upkeep: "asyncio.Task[None]", index: OpenIndex, mend: Mend) -> None:
    await asyncio.wait({upkeep})
    await index.watch.restore(partial(_proved, index.generations.live.stores.vectors, mend))
    await index.watch.keep(mend)
