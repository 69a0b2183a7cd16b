"""The composition root: the only module that knows the adapters. Choosing is a `match`; heavy imports stand inside it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from app.admission import Admission
from app.cost import Prices
from app.dispatch import Dispatcher
from app.explanations import Explanations
from app.followups import FollowUps
from app.generations import (
    GenerationIndex,
    LivePoints,
    LiveScorer,
    LiveSearch,
    LiveSplitter,
    LoadableEmbedder,
    OpenGenerations,
    SearchedVectors,
)
from app.index_settings import IndexSettings
from app.model_settings import EmbedderSettings
from app.opening import GenerationOpener, Parts, open_generations
from app.patterns import patterns
from app.pipeline import AnswerPipeline, Packing
from app.recipe import recipe_of
from app.reindex import Limits as ReindexLimits
from app.reindex import Reindex
from app.settings import ConfigurationError, Settings
from app.state import StateFolder
from app.uploads import UploadReader, Uploads
from app.work import Worker
from generation.parts import ByParts
from generation.ports import Generator, SentenceScorer
from generation.prompt import Prompt, load_prompt
from generation.rewrite import ModelRewriter
from generation.sizes import PromptSizes
from generation.verify import VerbatimVerifier
from ingest.pipeline import Ingest
from ingest.pipeline import Limits as IngestLimits
from ingest.ports import Catalog, Reader
from ingest.readers.pool import ReaderLimits, ReaderPool
from ingest.readers.registry import supported
from ingest.rules import Rules
from ingest.split import CutRule, SplitterByName, by_rules
from retrieval.assembly import Assembly
from retrieval.corpus import CatalogCorpus
from retrieval.errors import RerankerUnavailable
from retrieval.model import Arm
from retrieval.names import DocumentNames
from retrieval.ports import Embedder, Engine, LexicalIndex, Reranker, Search, VectorStore
from retrieval.search import HybridSearch, SearchLimits
from retrieval.sentences import WaitingSentences
from retrieval.standby import StandbyLexical
from retrieval.watch import IndexWatch, Mend, WatchedSearch

if TYPE_CHECKING:
    from ingest.adapters.sql_catalog import SqlCatalog
    from retrieval.adapters.cross_encoder import CrossEncoderReranker
    from retrieval.adapters.http_rerank import HttpReranker
    from retrieval.adapters.qdrant_server import QdrantServerIndex


_REWRITTEN = 160  # tokens of a rewritten question at most


@dataclass(frozen=True, slots=True)
class Grounded:
    """The whole product, put together. Valid inside `opened`."""

    settings: Settings
    catalog: Catalog
    generations: OpenGenerations
    search: Search
    ingest: Ingest
    generator: Generator
    admission: Admission
    pipeline: AnswerPipeline
    explanations: Explanations
    uploads: Uploads
    jobs: Dispatcher
    reindex: Reindex
    wanted: asyncio.Event  # set when the models are to be loaded; until then nothing waits for torch
    warming: "asyncio.Task[None]"  # done once a reranker that has to be loaded is, or holds the error
    upkeep: "asyncio.Task[None]"  # done once the index is in step with the catalog again
    watch: IndexWatch

    @property
    def embedder(self) -> Embedder:
        """Of the generation that is live now, as the next three are."""
        return self.generations.live.embedder

    @property
    def points(self) -> Engine:
        return self.generations.live.stores.points

    @property
    def vectors(self) -> VectorStore:
        return self.generations.live.stores.vectors

    @property
    def models(self) -> "asyncio.Task[None]":
        """Done once the models are loaded; holds the error if they could not be."""
        return self.generations.live.loading

    async def ready(self) -> None:
        """Wait for the models. Raises EmbedderUnavailable."""
        await asyncio.shield(self.models)

    async def settled(self) -> None:
        """Wait until the models are loaded or have failed to, and the index holds what it should: neither is part of a
        question's own time, and an index that is being filled would answer that there is nothing."""
        await asyncio.wait({self.models, self.warming, self.upkeep})


@asynccontextmanager
async def opened(
    settings: Settings,
    state: StateFolder,
    reader: Reader | None = None,
    *,
    models_now: bool = True,
    repair: bool = False,
) -> AsyncIterator[Grounded]:
    """Open everything on a state folder that the caller owns; close it in the other order. Models load meanwhile, or once
    they are `wanted`: a run that finds nothing to do needs none. With `repair` also an index whose embedder is gone.

    Evaluations bring a `reader` of their own, since their corpora are rows of a file. Longer than other functions, since it
    is one list: each part is opened, and its closing is pushed, in the order in which the next one needs it.
    """
    from app.adapters.dbos_runner import DbosRunner
    from app.adapters.sql_jobs import SqlJobs
    from ingest.adapters import job_tables, tables
    from ingest.adapters.sql_catalog import SqlCatalog
    from ingest.adapters.sql_generations import SqlGenerations
    from ingest.adapters.sql_surroundings import SqlSurroundings

    async with AsyncExitStack() as closing:
        wanted = asyncio.Event()
        if models_now:
            wanted.set()
        catalog = await asyncio.to_thread(SqlCatalog, f"sqlite:///{state.catalog}")
        closing.push_async_callback(catalog.close)
        await catalog.check()
        rows = SqlGenerations(catalog)
        seen = _Watched()
        cross = _cross(settings, closing)
        warming = asyncio.create_task(_warmed(cross, wanted))
        closing.push_async_callback(_stopped, warming)
        opener = GenerationOpener(settings, state.index, _parts(settings, catalog, seen, cross), wanted)
        generations = await open_generations(recipe_of(settings.embedder), catalog, rows, opener, repair=repair)
        closing.push_async_callback(generations.close)
        watch = seen.watch = _watch(settings, LivePoints(generations), catalog)
        uploads = Uploads(state.uploads, settings.ingest.min_free_mb * 2**20, settings.ingest.max_file_mb * 2**20)
        await uploads.tidy()
        files = UploadReader(await _reader(settings, reader, closing), uploads)
        ingest = _ingest(settings, state, catalog, generations, files)
        mend = partial(_mend, generations, ingest)
        upkeep = asyncio.create_task(watch.restore(mend))
        closing.push_async_callback(_stopped, upkeep)
        closing.push_async_callback(_stopped, asyncio.create_task(_watched(upkeep, watch, mend)))
        search = LiveSearch(generations)
        generator = _generator(settings, ByParts(LiveScorer(generations)))
        closing.push_async_callback(generator.aclose)
        assembly = Assembly(SqlSurroundings(catalog), SearchedVectors(generations), _sizes(settings, closing))
        admission = Admission(settings.max_running, settings.max_waiting)
        closing.callback(admission.close)
        limits = ReindexLimits(settings.reindex.allowed_drop, settings.ingest.min_free_mb * 2**20)
        reindex = Reindex(catalog, rows, generations, opener, ingest, state.root, limits)
        store = SqlJobs(catalog, job_tables.jobs, job_tables.job_files, job_tables.idempotency_keys, tables.documents)
        wanted_files = partial(patterns, settings)
        worker = Worker(catalog, ingest, uploads, store, wanted_files, generations.loaded, reindex)
        jobs = Dispatcher(store, DbosRunner(state.jobs), worker, settings.jobs_keep_days)
        closing.push_async_callback(jobs.stop)
        explanations = await _explanations(settings, catalog, closing)
        yield Grounded(
            settings=settings,
            catalog=catalog,
            generations=generations,
            search=search,
            ingest=ingest,
            generator=generator,
            admission=admission,
            pipeline=AnswerPipeline(
                catalog,
                WatchedSearch(search, watch, refuse=settings.index.on_failure == "refuse"),
                generator,
                VerbatimVerifier(),
                admission,
                _packing(settings),
                _prices(settings),
                assembly=assembly,
                follow_ups=_follow_ups(settings, closing),
                log_content=settings.log_content,
                explanations=explanations,
            ),
            explanations=explanations,
            uploads=uploads,
            jobs=jobs,
            reindex=reindex,
            wanted=wanted,
            warming=warming,
            upkeep=upkeep,
            watch=watch,
        )


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


def _parts(settings: Settings, catalog: "SqlCatalog", seen: _Watched, cross: Reranker | None) -> Parts:
    """How the parts of a generation are made: the same for the live one and for one that is built beside it."""
    from retrieval.adapters.late_interaction import LateInteractionScorer, TokenEmbedder
    from retrieval.adapters.vector_store import SqliteVectorStore

    reranker, limits = _reranker(), _search_limits(settings)
    names = DocumentNames(catalog) if settings.retrieval.named_weight else None

    def search(embedder: Embedder, points: Engine, vectors: VectorStore) -> Search:
        lexical = _lexical(settings, points, catalog, seen)
        return HybridSearch(embedder, points, lexical, catalog, vectors, reranker, limits, names, cross)

    def scorer(embedder: Embedder) -> SentenceScorer | None:
        return LateInteractionScorer(embedder) if isinstance(embedder, TokenEmbedder) else None

    async def engine(folder: Path, dimension: int, closing: AsyncExitStack) -> Engine:
        return await _engine(settings, folder, dimension, catalog, closing)

    return Parts(
        embedder=_embedder,
        engine=engine,
        vectors=SqliteVectorStore,
        search=search,
        scorer=scorer,
        splitter=partial(_splitter, settings),
    )


def _embedder(settings: Settings, closing: AsyncExitStack) -> LoadableEmbedder:
    e = settings.embedder
    match e.backend:
        case "sentence_transformers":
            from retrieval.adapters.model_folder import ModelChoice
            from retrieval.adapters.sentence_transformers import SentenceTransformersEmbedder

            choice = ModelChoice(e.model, e.dimensions, e.query_prefix, e.passage_prefix)
            own = SentenceTransformersEmbedder(e.threads, e.precision, e.device, e.batch_tokens, choice)
            closing.callback(own.close)
            return own
        case "openai":
            from retrieval.adapters.openai_embeddings import Batches, EndpointModel, OpenAIEmbedder

            prefixes = e.query_prefix or "", e.passage_prefix or ""
            model = EndpointModel(e.model, e.dimensions, e.window, *prefixes, ask_dimension=e.ask_dimensions)
            batches = Batches(e.batch_tokens, e.batch_texts, e.attempts)
            key = e.api_key.get_secret_value()
            asked = OpenAIEmbedder(e.base_url, model, key, batches, e.timeout_s, _counter(e))
            closing.push_async_callback(asked.aclose)
            return asked


def _counter(e: EmbedderSettings) -> Callable[[Sequence[str]], list[int]]:
    from retrieval.adapters.token_counts import counter_for

    try:
        return counter_for(e.model, e.tokenizer)
    except ValueError as error:
        raise ConfigurationError(
            f"Setting 'embedder.tokenizer': {error}.", "Name the tokenizer.json of the model that the endpoint serves."
        ) from error


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
            whose = await catalog.installation()
            server = await asyncio.to_thread(_server, settings.index, folder.name, dimension, whose)
            closing.push_async_callback(server.close)
            return server


def _watch(settings: Settings, engine: LivePoints, catalog: Catalog) -> IndexWatch:
    """Nobody but this process changes the embedded engine, so it is counted only when something failed."""
    served = settings.index.engine == "qdrant_server"
    return IndexWatch(engine, catalog, trusted=not served, every_s=settings.index.check_s if served else None)


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


async def _explanations(settings: Settings, catalog: "SqlCatalog", closing: AsyncExitStack) -> Explanations:
    from app.adapters.sql_explanations import SqlExplanations
    from ingest.adapters.answer_tables import explanations as table

    found = Explanations(SqlExplanations(catalog, table), settings.explanations, settings.explanations_keep_days)
    closing.push_async_callback(found.close)
    await found.prune()
    return found


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


def _reranker() -> Reranker:
    from retrieval.adapters.late_interaction import LateInteractionReranker

    return LateInteractionReranker()


def _cross(settings: Settings, closing: AsyncExitStack) -> "CrossEncoderReranker | HttpReranker | None":
    """Who reads once more after late interaction, where somebody does."""
    r = settings.reranker
    match r.backend:
        case "none":
            return None
        case "cross_encoder":
            from retrieval.adapters.cross_encoder import CrossEncoderReranker

            own = CrossEncoderReranker(r.model, r.threads, r.precision, r.device, r.batch_tokens, r.window)
            closing.callback(own.close)
            return own
        case "http":
            from retrieval.adapters.http_rerank import HttpReranker

            asked = HttpReranker(r.base_url, r.model, r.api_key.get_secret_value(), r.dialect, r.timeout_s)
            closing.push_async_callback(asked.aclose)
            return asked


async def _warmed(cross: "CrossEncoderReranker | HttpReranker | None", wanted: asyncio.Event) -> None:
    """A reranker that cannot be loaded keeps no answer from being given: each says that it did without."""
    await wanted.wait()
    try:
        if cross is not None:
            await cross.load()
    except RerankerUnavailable as error:
        structlog.get_logger().warning("reranker.not_loaded", cause=error.message, next_step=error.next_step)
        raise


async def _mend(generations: OpenGenerations, ingest: Ingest) -> None:
    """What was lost comes back from the catalog and the store of vectors. Raises GroundedError."""
    await generations.live.stores.points.prepare()
    if chunks := await ingest.reconcile():
        structlog.get_logger().info("index.refilled", chunks=chunks)
    await generations.live.stores.points.activate()


async def _watched(upkeep: "asyncio.Task[None]", watch: IndexWatch, mend: Mend) -> None:
    await asyncio.wait({upkeep})
    await watch.keep(mend)


async def _stopped(task: "asyncio.Task[None]") -> None:
    """Half a reconciliation does no harm; the next start does the rest."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _reader(settings: Settings, given: Reader | None, closing: AsyncExitStack) -> Reader:
    if given is not None:
        return given
    pool = reader_pool(settings)
    closing.push_async_callback(pool.close)
    return pool


def reader_pool(settings: Settings) -> ReaderPool:
    """Readers with the limits of the settings; the caller closes them."""
    i = settings.ingest
    return ReaderPool(
        ReaderLimits(
            max_file_bytes=i.max_file_mb * 2**20,
            max_pages=i.max_pages,
            max_text_chars=i.max_text_chars,
            timeout_s=i.read_timeout_s,
            memory_bytes=i.read_memory_mb * 2**20,
        )
    )


def _ingest(
    settings: Settings, state: StateFolder, catalog: Catalog, generations: OpenGenerations, reader: Reader
) -> Ingest:
    i = settings.ingest
    limits = IngestLimits(i.group_chunks, i.min_free_mb * 2**20, i.max_file_mb * 2**20)
    rules = Rules(tuple(rule.rule() for rule in i.metadata))
    index, splitter = GenerationIndex(generations), LiveSplitter(generations)
    return Ingest(catalog, index, reader, splitter, supported, state.root, limits, rules)


def _splitter(settings: Settings, embedder: Embedder) -> SplitterByName:
    """Rules in the order of the file. Vectors of sentences are made on the loop that runs now."""
    rules = [
        CutRule(rule.glob, rule.strategy, rule.target_tokens, rule.overlap_tokens) for rule in settings.ingest.chunking
    ]
    return by_rules(rules, embedder, embedder.window, WaitingSentences(embedder, asyncio.get_running_loop()))


def _generator(settings: Settings, scorer: SentenceScorer) -> Generator:
    g = settings.generation
    match g.backend:
        case "extractive":
            from generation.adapters.extractive import ExtractiveGenerator

            return ExtractiveGenerator(scorer, g.sentences, g.abstain_below)
        case "openai_chat":
            if not g.base_url or not g.model or g.price_input is None or g.price_output is None:
                raise ConfigurationError(
                    "generation.backend openai_chat needs base_url, model, price_input and price_output.",
                    "Set them in grounded.toml; prices are USD per million tokens, 0 for your own hardware.",
                )
            waits = (g.connect_timeout_s, g.first_token_timeout_s, g.between_tokens_timeout_s, g.timeout_s)
            return _chat(settings, g.max_tokens, g.temperature, waits, load_prompt())


def _chat(
    settings: Settings, max_tokens: int, temperature: float, waits: tuple[float, float, float, float], prompt: Prompt
) -> Generator:
    """The configured chat model under one of its prompts. `waits` are in the order of its limits."""
    from generation.adapters.openai_chat import Limits, OpenAIChatGenerator

    g = settings.generation
    return OpenAIChatGenerator(
        base_url=g.base_url,
        model=g.model,
        api_key=g.api_key.get_secret_value(),
        max_tokens=max_tokens,
        temperature=temperature,
        limits=Limits(*waits),
        prompt=prompt,
    )


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


def _packing(settings: Settings) -> Packing:
    c = settings.context
    return Packing(c.token_budget, c.per_source, c.near_duplicate, c.prefer_latest, c.widen)


def _follow_ups(settings: Settings, closing: AsyncExitStack) -> FollowUps:
    """The model that rewrites is the one that answers, with a prompt and limits of its own."""
    q, g = settings.query, settings.generation
    if q.rewrite != "auto" or g.backend != "openai_chat":
        return FollowUps(rules=q.rewrite != "off")
    t = q.rewrite_timeout_s
    model = _chat(settings, _REWRITTEN, 0.0, (g.connect_timeout_s, t, t, t), load_prompt("rewrite"))
    closing.push_async_callback(model.aclose)
    return FollowUps(ModelRewriter(model, t))


def _sizes(settings: Settings, closing: AsyncExitStack) -> PromptSizes | None:
    """How passages are counted for a chat model; the extractive answer counts as the embedder does."""
    g = settings.generation
    if g.backend != "openai_chat":
        return None
    from generation.adapters.token_counters import counter_for

    try:
        counter = counter_for(settings.context.tokenizer, g.base_url, g.model, g.api_key.get_secret_value())
    except ValueError as error:
        raise ConfigurationError(
            f"Setting 'context.tokenizer': {error}.",
            "Name the tokenizer.json of the model that answers, or write auto.",
        ) from error
    closing.push_async_callback(counter.aclose)
    return PromptSizes(counter, load_prompt())


def _prices(settings: Settings) -> Prices:
    g = settings.generation
    return Prices(Decimal(str(g.price_input or 0)), Decimal(str(g.price_output or 0)))
