"""Batches and webhooks, put together: who answers many questions where nobody waits, and who is told of their end."""

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from app.admission import SpareAdmission
from app.batch import Ahead, Batches, BatchStore
from app.batch_settings import secret_bytes
from app.jobs import JobStore
from app.pipeline import AnswerPipeline, Question
from app.settings import ConfigurationError, Settings
from app.tier_settings import TierSettings
from app.tiers import key_of, tiers_of
from app.webhooks import Policy, Webhooks
from app.wiring_answers import AnsweringParts, searched
from app.wiring_index import OpenIndex
from generation.batch import WrittenFirst

if TYPE_CHECKING:
    from app.adapters.sql_jobs import SqlJobs
    from ingest.adapters.sql_catalog import SqlCatalog


def batches_of(
    settings: Settings, index: OpenIndex, shared: AnsweringParts, jobs: "SqlJobs", closing: AsyncExitStack
) -> Batches:
    """Batches with a pipeline of their own: it lets in only what nobody waits for, and keeps no explanations, of which a
    batch would leave none of other answers. Raises ConfigurationError."""
    store = _store(index.catalog, jobs)
    tier = _provider(settings)
    written, router = WrittenFirst(), shared.router
    if tier is not None:
        router = router.batched(tier.name, written.before)
    spare = SpareAdmission(shared.admission, settings.batch.running)
    pipeline = AnswerPipeline(
        index.catalog,
        searched(settings, index),
        router,
        spare,
        shared.packing,
        assembly=shared.assembly,
        moderation=shared.moderation,
        output=shared.output,
        checking=shared.checking,
        purses=shared.purses,
    )
    ahead = (
        None
        if tier is None
        else _ahead(settings, tier, written, store, jobs, pipeline, replace(shared, router=router), closing)
    )
    return Batches(store, jobs, pipeline, settings, index.generations.loaded, shared.check, ahead)


def _store(catalog: "SqlCatalog", jobs: "SqlJobs") -> BatchStore:
    from app.adapters.sql_batches import BatchTables, SqlBatches
    from ingest.adapters import batch_tables as t
    from ingest.adapters import job_tables, tables

    known = BatchTables(
        jobs=job_tables.jobs,
        documents=tables.documents,
        questions=t.batch_questions,
        sources=t.batch_sources,
        parts=t.provider_batches,
        webhooks=t.webhooks,
    )
    return SqlBatches(catalog, jobs, known)


def _provider(settings: Settings) -> TierSettings | None:
    """The tier whose endpoint writes ahead, or None where nobody does: questions that are moderated, and those whose
    personal data stays here, go one by one."""
    moderated = settings.moderation.backend != "off" and settings.moderation.question
    if settings.batch.through == "queue" or moderated:
        return None
    tiers = {tier.name: tier for tier in tiers_of(settings)}
    name = settings.batch.tier or next(iter(tiers), "")
    if name not in tiers:
        raise ConfigurationError(
            "batch.through api needs a tier whose endpoint has a batch API.",
            "Configure it under [[tiers]], and name it with batch.tier if it is not the first.",
        )
    return None if tiers[name].pii == "placeholders" else tiers[name]


def _ahead(
    settings: Settings,
    tier: TierSettings,
    written: WrittenFirst,
    store: BatchStore,
    jobs: JobStore,
    pipeline: AnswerPipeline,
    shared: AnsweringParts,
    closing: AsyncExitStack,
) -> Ahead:
    from app.batch_ahead import AheadByProvider
    from generation.adapters.openai_batch import OpenAIBatch

    api = OpenAIBatch(
        tier.base_url, tier.model, key_of(tier), max_tokens=tier.max_tokens.answer, temperature=tier.temperature
    )
    closing.push_async_callback(api.aclose)

    def takes(question: Question) -> bool:
        """What is handed in is paid for at once, so whoever has a budget is answered by the queue, call by call."""
        named = question.tier in (None, tier.name) and tier.name in shared.router.allowed(question.collection)
        return named and not shared.purses.ledger.limits(question.principal)

    prompt, examples = shared.prompts.live("answer"), shared.examples
    shown = examples.chosen if examples is not None else None
    nobody = shared.router.asks_nobody
    return AheadByProvider(api, written, store, jobs, pipeline, prompt, settings, takes, shown, nobody)


def webhooks_of(settings: Settings, index: OpenIndex, closing: AsyncExitStack) -> Webhooks:
    """Who tells of ends; nothing is sent before `start`."""
    from app.adapters.sql_webhooks import SharedWebhooks, SqlWebhooks
    from app.adapters.webhook_sender import WebhookSender
    from ingest.adapters import batch_tables, job_tables

    w = settings.webhooks
    secret = secret_bytes(w.secret) if w.secret.get_secret_value() else b""
    kept = index.catalog, batch_tables.webhooks, job_tables.jobs
    store = SharedWebhooks(*kept, index.lead) if index.catalog.shared else SqlWebhooks(*kept)
    webhooks = Webhooks(store, WebhookSender(w.timeout_s, loopback=w.loopback), Policy(w.allow, secret, w.retries_s))
    closing.push_async_callback(webhooks.stop)
    return webhooks
