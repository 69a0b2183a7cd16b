"""The composition root: what is opened, in which order, and what closes it. With the files `wiring_*.py`, which make single
parts, it is alone in knowing the adapters. Choosing is a `match`; heavy imports stand inside it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from app.admission import Admission
from app.batch import Batches
from app.budgets.ledger import Ledger
from app.budgets.purse import Purses
from app.cache.answers import CachedAnswers
from app.calibration import LiveBars, live_bars
from app.dispatch import Dispatcher
from app.explanations import Explanations
from app.flagging import FlaggingReader
from app.generations import GenerationIndex, LiveSplitter, OpenGenerations
from app.keys.authenticator import Authenticator
from app.lead import Lead
from app.limits.ports import Rates
from app.patterns import patterns
from app.pipeline import AnswerPipeline
from app.recordings import Recordings
from app.reindex import Limits as ReindexLimits
from app.reindex import Reindex
from app.routing import Router
from app.settings import Settings
from app.state import StateFolder
from app.tasks import begun
from app.uploads import UploadReader, Uploads
from app.webhooks import Webhooks
from app.wiring_answers import AnsweringParts, answering_parts, pipeline_of
from app.wiring_batch import batches_of, webhooks_of
from app.wiring_cache import cache_of
from app.wiring_index import OpenIndex, kept_up, learnt, open_index
from app.wiring_keys import authenticator_of
from app.wiring_limits import ledger_of, rates_of
from app.work import Worker
from generation.breaker import Breaker
from generation.prompt_library import PromptLibrary
from ingest.errors import StateLocked
from ingest.pipeline import Ingest
from ingest.pipeline import Limits as IngestLimits
from ingest.ports import Catalog, Reader
from ingest.readers.pool import ReaderLimits, ReaderPool
from ingest.readers.registry import supported
from ingest.rules import Rules
from retrieval.ports import Embedder, Engine, Search, VectorStore
from retrieval.watch import IndexWatch

if TYPE_CHECKING:
    from app.adapters.sql_jobs import SqlJobs
    from ingest.adapters.sql_catalog import SqlCatalog


@dataclass(frozen=True, slots=True)
class Grounded:
    """The whole product, put together. Valid inside `opened`."""

    settings: Settings
    index: OpenIndex
    answering: AnsweringParts
    authenticator: Authenticator
    budgets: Ledger
    rates: Rates
    ingest: Ingest
    bars: LiveBars
    pipeline: AnswerPipeline
    cache: CachedAnswers | None  # None where it is off
    recordings: Recordings  # of answers that can be taken up again
    explanations: Explanations
    uploads: Uploads
    jobs: Dispatcher
    batches: Batches
    webhooks: Webhooks
    reindex: Reindex
    wanted: asyncio.Event  # set when the models are to be loaded; until then nothing waits for torch
    upkeep: "asyncio.Task[None]"  # done once the index is in step with the catalog again
    learnt: Callable[[], Awaitable[None]]  # returns once the names of all documents are known

    @property
    def catalog(self) -> Catalog:
        return self.index.catalog

    @property
    def generations(self) -> OpenGenerations:
        return self.index.generations

    @property
    def search(self) -> Search:
        return self.index.search

    @property
    def watch(self) -> IndexWatch:
        return self.index.watch

    @property
    def lead(self) -> Lead:
        """Over the other processes on the same database; without it nothing is ingested here."""
        return self.index.lead

    @property
    def warming(self) -> "asyncio.Task[None]":
        """Done once a reranker that has to be loaded is, or holds the error."""
        return self.index.warming

    @property
    def reranking(self) -> Breaker | None:
        """Of a reranker that is asked over a network: while it is open, answers do without."""
        return self.index.breaker

    @property
    def router(self) -> Router:
        return self.answering.router

    @property
    def prompts(self) -> PromptLibrary:
        return self.answering.prompts

    @property
    def admission(self) -> Admission:
        return self.answering.admission

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

    def check_lead(self) -> None:
        """For work that is done here and not by a job. Raises StateLocked while another process has the lead."""
        if not self.lead.held:
            raise StateLocked(
                "Another process works on this database.",
                "Give the work to it: run the command with the GROUNDED_STATE of a replica, or send it POST /v1/jobs.",
            )

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

    Evaluations bring a `reader` of their own, since their corpora are rows of a file. Each line opens what the next ones
    need, and pushes its closing.
    """
    async with AsyncExitStack() as closing:
        wanted = _wanted(now=models_now)
        index = await open_index(settings, state, wanted, closing, repair=repair)
        authenticator = await authenticator_of(settings, index.catalog, closing)
        budgets, rates = await ledger_of(settings, index.catalog, closing), rates_of(settings, closing)
        uploads = await _uploads(settings, state)
        files = UploadReader(FlaggingReader(await _reader(settings, reader, closing)), uploads)
        ingest = _ingest(settings, state, index, files)
        upkeep = kept_up(index, ingest, closing)
        if models_now:  # who asks will name documents
            begun(learnt(index), closing)
        bars = live_bars(settings, lambda: index.generations.live.fingerprint)
        parts = answering_parts(settings, index, bars, authenticator.ring.check, Purses(budgets, rates), closing)
        cache = cache_of(settings, index, parts.prompts)
        explanations = await _explanations(settings, index.catalog, closing)
        reindex = _reindex(settings, state, index, ingest)
        store = _job_store(index.catalog)
        batches = batches_of(settings, index, parts, store, closing)
        webhooks = webhooks_of(settings, index, closing)
        jobs = _jobs(settings, state, index, ingest, uploads, reindex, store, batches, closing)
        recordings = Recordings(settings.resume_grace_s, settings.resume_mb * 2**20)
        closing.push_async_callback(recordings.close)
        yield Grounded(
            settings=settings,
            index=index,
            answering=parts,
            authenticator=authenticator,
            budgets=budgets,
            rates=rates,
            ingest=ingest,
            bars=bars,
            pipeline=pipeline_of(settings, index, parts, explanations, cache),
            cache=cache,
            recordings=recordings,
            explanations=explanations,
            uploads=uploads,
            jobs=jobs,
            batches=batches,
            webhooks=webhooks,
            reindex=reindex,
            wanted=wanted,
            upkeep=upkeep,
            learnt=partial(learnt, index),
        )


def _wanted(*, now: bool) -> asyncio.Event:
    event = asyncio.Event()
    if now:
        event.set()
    return event


async def _uploads(settings: Settings, state: StateFolder) -> Uploads:
    i = settings.ingest
    folder = settings.uploads.absolute() if settings.uploads is not None else state.uploads
    shared = settings.uploads is not None
    uploads = Uploads(folder, i.min_free_mb * 2**20, i.max_file_mb * 2**20, shared=shared)
    await uploads.tidy()
    return uploads


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


def _ingest(settings: Settings, state: StateFolder, index: OpenIndex, reader: Reader) -> Ingest:
    i = settings.ingest
    limits = IngestLimits(i.group_chunks, i.min_free_mb * 2**20, i.max_file_mb * 2**20)
    rules = Rules(tuple(rule.rule() for rule in i.metadata))
    points, splitter = GenerationIndex(index.generations), LiveSplitter(index.generations)
    return Ingest(index.catalog, points, reader, splitter, supported, state.root, limits, rules)


def _reindex(settings: Settings, state: StateFolder, index: OpenIndex, ingest: Ingest) -> Reindex:
    limits = ReindexLimits(settings.reindex.allowed_drop, settings.ingest.min_free_mb * 2**20)
    return Reindex(index.catalog, index.rows, index.generations, index.opener, ingest, state.root, limits)


def _job_store(catalog: "SqlCatalog") -> "SqlJobs":
    from app.adapters.sql_jobs import SqlJobs
    from ingest.adapters import batch_tables, tables
    from ingest.adapters import job_tables as t

    return SqlJobs(catalog, t.jobs, t.job_files, t.idempotency_keys, tables.documents, batch_tables.batch_questions)


def _jobs(
    settings: Settings,
    state: StateFolder,
    index: OpenIndex,
    ingest: Ingest,
    uploads: Uploads,
    reindex: Reindex,
    store: "SqlJobs",
    batches: Batches,
    closing: AsyncExitStack,
) -> Dispatcher:
    from app.adapters.dbos_runner import DbosRunner
    from ingest.adapters.engine import jobs_engine_of

    shared = index.catalog.shared
    where = jobs_engine_of(settings.database_url.get_secret_value()) if shared else state.jobs
    wanted_files = partial(patterns, settings)
    worker = Worker(index.catalog, ingest, uploads, store, wanted_files, index.generations.loaded, reindex, batches)
    jobs = Dispatcher(store, DbosRunner(where), worker, settings.jobs_keep_days, index.lead)
    closing.push_async_callback(jobs.stop)
    return jobs


async def _explanations(settings: Settings, catalog: "SqlCatalog", closing: AsyncExitStack) -> Explanations:
    from app.adapters.sql_explanations import SqlExplanations
    from ingest.adapters.answer_tables import explanations as table

    found = Explanations(SqlExplanations(catalog, table), settings.explanations, settings.explanations_keep_days)
    closing.push_async_callback(found.close)
    await found.prune()
    return found
