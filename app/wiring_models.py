"""The models, as the settings choose them: who embeds, who reads closely, who writes. Heavy imports stand inside a choice."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from app.budgets.paid import Paid, Terms
from app.followups import FollowUps
from app.generations import LoadableEmbedder
from app.model_settings import EmbedderSettings
from app.prompt_settings import ModerationSettings
from app.routing import Helpers, Router, Rules, Tier
from app.settings import ConfigurationError, Settings
from app.tier_settings import RoutingSettings, TierSettings
from app.tiers import key_of, prices_of, tiers_of
from app.verifiers import Kind, verifier_kind
from generation.abstention import Bars
from generation.breaker import Breaker
from generation.classifier import ModelClassifier
from generation.errors import GenerationError
from generation.examples import ExampleChooser, WithExamples
from generation.fallback import Chain, Link
from generation.fallback import Limits as ChainLimits
from generation.gate import Gate
from generation.judge import ChatJudge, ModelVerifier
from generation.moderation import Moderation, Moderator
from generation.ports import Generator, SentenceReader, SentenceScorer, Verifier
from generation.prompt import PromptSource
from generation.prompt_library import PromptLibrary
from generation.pseudonyms import Pseudonymous
from generation.rewrite import ModelRewriter
from generation.sizes import PromptSizes
from generation.sizes import told as told_tokens
from generation.verify import VerbatimVerifier
from retrieval.errors import RerankerUnavailable
from retrieval.ports import Reranker

if TYPE_CHECKING:
    from retrieval.adapters.cross_encoder import CrossEncoderReranker
    from retrieval.adapters.http_rerank import HttpReranker


def embedder_of(settings: Settings, closing: AsyncExitStack) -> LoadableEmbedder:
    """Who turns text into vectors; nothing is loaded yet. Raises ConfigurationError."""
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


def late_interaction() -> Reranker:
    """Who reads closely with the vectors of the embedder."""
    from retrieval.adapters.late_interaction import LateInteractionReranker

    return LateInteractionReranker()


def cross_reranker_of(settings: Settings, closing: AsyncExitStack) -> "CrossEncoderReranker | HttpReranker | None":
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


def rerank_breaker_of(settings: Settings) -> Breaker | None:
    """An endpoint that is down would cost each question its timeout."""
    if settings.reranker.backend != "http":
        return None
    return Breaker(on_change=lambda state: structlog.get_logger().warning("reranker.state", state=state))


async def warmed(cross: "CrossEncoderReranker | HttpReranker | None", wanted: asyncio.Event) -> None:
    """A reranker that cannot be loaded keeps no answer from being given: each says that it did without."""
    await wanted.wait()
    try:
        if cross is not None:
            await cross.load()
    except RerankerUnavailable as error:
        structlog.get_logger().warning("reranker.not_loaded", cause=error.message, next_step=error.next_step)
        raise


def router_of(
    settings: Settings,
    scorer: SentenceScorer,
    closing: AsyncExitStack,
    prompts: PromptLibrary,
    examples: ExampleChooser | None,
    sentences: SentenceReader,
    bars: Callable[[], Bars],
) -> Router:
    """Who writes answers, and who does the steps before and behind them. `scorer` is for the one that quotes, and with
    `sentences` for the one that verifies; at `bars` nobody answers. Raises ConfigurationError."""
    from generation.adapters.extractive import ExtractiveGenerator

    g, r = settings.generation, settings.routing
    tiers = tiers_of(settings)
    rules = Rules(
        thresholds=r.thresholds,
        sensitive=frozenset(r.sensitive),
        always=r.answer_tier,
        escalate=r.escalate,
        extractive=r.extractive,
        extractive_confidence=r.extractive_confidence,
        fallback=g.fallback == "extractive",
    )
    limits = ChainLimits(g.timeout_s, g.attempts, g.restart)
    quoting = ExtractiveGenerator(scorer, g.sentences, g.abstain_below, bars)
    kind = verifier_kind(settings)
    helpers = replace(
        _helpers(settings, tiers, closing, prompts, judging=kind == "judge"),
        by_itself=_by_itself(kind, sentences, scorer),
        within=_nli(settings, closing) if kind == "nli" else None,
    )
    made = [_tier(tier, closing, prompts, examples) for tier in tiers]
    return Router(quoting, made, rules, helpers, limits, Gate(bars))


def _by_itself(chosen: Kind, sentences: SentenceReader, scorer: SentenceScorer) -> Callable[[], Verifier]:
    """Who judges sentences where no second model does, or may."""
    if chosen == "verbatim":
        return VerbatimVerifier
    from generation.verification.embedded import EmbeddedVerifier

    verifier = EmbeddedVerifier(sentences, scorer)
    return lambda: verifier


def _nli(settings: Settings, closing: AsyncExitStack) -> Callable[[], Verifier]:
    """Who judges sentences by a model of inference, loaded while the first answer is written. One that cannot be loaded keeps
    no answer from being given: each says that it did without."""
    from generation.adapters.nli import NliJudge
    from retrieval.adapters.model_folder import found_folder

    g, timeout_s = settings.generation, settings.routing.verify_timeout_s
    model = NliJudge(g.nli_model, partial(found_folder, g.nli_model), g.nli_supported, g.nli_threads, _not_loaded)
    closing.callback(model.close)

    def made() -> Verifier:
        model.begin()
        return ModelVerifier(VerbatimVerifier(), model, timeout_s)

    return made


def _not_loaded(error: GenerationError) -> None:
    structlog.get_logger().warning("verifier.not_loaded", cause=error.message, next_step=error.next_step)


def _tier(t: TierSettings, closing: AsyncExitStack, prompts: PromptLibrary, examples: ExampleChooser | None) -> Tier:
    told = prompts.live("answer"), prompts.live("structured")
    now = told[0].now()
    generator = _chat(t, told, t.max_tokens.answer, t.temperature, closing)
    if examples is not None:
        generator = WithExamples(generator, examples)
    return Tier(
        name=t.name,
        link=Link(generator, t.name, Breaker(time.monotonic, on_change=partial(_told, t.name))),
        prices=prices_of(t),
        collections=None if t.data_policy == "all" else frozenset(t.data_policy),
        self_hosted=t.self_hosted,
        window=t.context_window,
        reserved=t.max_tokens.answer,
        told=told_tokens(now, examples.largest(now) if examples else ()),
    )


async def probed(t: TierSettings, timeout_s: float) -> float:
    """Ask the endpoint for its models and one token: milliseconds of the token. Raises GenerationError, ConfigurationError."""
    from generation.adapters.probe import probe

    return (await probe(t.base_url, t.model, key_of(t), timeout_s)).ms


def _told(tier: str, state: str) -> None:
    """An endpoint is left alone, is asked whether it is back, or is back."""
    structlog.get_logger().warning("tier.state", tier=tier, state=state)


def _helpers(
    settings: Settings, tiers: Sequence[TierSettings], closing: AsyncExitStack, prompts: PromptLibrary, *, judging: bool
) -> Helpers:
    """The preferred tier first, then the others from the cheapest up: a collection that may not be sent to the first is
    served by the next that may get it."""
    r, q = settings.routing, settings.query
    rewriting = _preferred(tiers, r.rewrite_tier, r) if q.rewrite == "auto" else []
    judges = _preferred(tiers, r.verify_tier, r) if judging else []
    grading = _preferred(tiers, r.classifier, r) if r.classifier != "rules" else []
    return Helpers(
        rewriters={t.name: FollowUps(_rewriter(t, q.rewrite_timeout_s, closing, prompts)) for t in rewriting},
        classifiers={t.name: _classifier(t, r.classify_timeout_s, closing, prompts) for t in grading},
        verifiers={t.name: _verifier(t, r.verify_timeout_s, closing, prompts) for t in judges},
        by_rule=FollowUps(rules=q.rewrite != "off"),
    )


def _preferred(tiers: Sequence[TierSettings], first: str, routing: RoutingSettings) -> list[TierSettings]:
    """Up to the first that may get every collection: nobody stands in behind that one."""
    found: list[TierSettings] = []
    for tier in sorted(tiers, key=lambda tier: tier.name != first):
        found.append(tier)
        if _gets_all(tier, routing):
            break
    return found


def _gets_all(tier: TierSettings, routing: RoutingSettings) -> bool:
    return tier.data_policy == "all" and (tier.self_hosted or not routing.sensitive)


def _rewriter(t: TierSettings, timeout_s: float, closing: AsyncExitStack, prompts: PromptLibrary) -> ModelRewriter:
    told = (prompts.live("rewrite"),)
    return ModelRewriter(_chat(t, told, t.max_tokens.rewrite, 0.0, closing, timeout_s), timeout_s)


def _classifier(t: TierSettings, timeout_s: float, closing: AsyncExitStack, prompts: PromptLibrary) -> ModelClassifier:
    told = (prompts.live("route"),)
    return ModelClassifier(_chat(t, told, t.max_tokens.classify, 0.0, closing, timeout_s), timeout_s)


def _verifier(
    t: TierSettings, timeout_s: float, closing: AsyncExitStack, prompts: PromptLibrary
) -> Callable[[], Verifier]:
    generator = _chat(t, (prompts.live("verify"),), t.max_tokens.verify, 0.0, closing, timeout_s)
    return lambda: ModelVerifier(VerbatimVerifier(), ChatJudge(generator), timeout_s)


def _chat(
    t: TierSettings,
    told: tuple[PromptSource, ...],
    max_tokens: int,
    temperature: float,
    closing: AsyncExitStack,
    timeout_s: float | None = None,
) -> Generator:
    """The tier's model under one of its prompts, and the one for answers that are data where it gives any; `timeout_s` is
    for steps that an answer can do without."""
    from generation.adapters.openai_chat import Limits, OpenAIChatGenerator

    waits = (t.first_token_timeout_s, t.between_tokens_timeout_s, t.timeout_s)
    limits = Limits(t.connect_timeout_s, *(waits if timeout_s is None else (timeout_s,) * 3))
    generator: Generator = OpenAIChatGenerator(
        base_url=t.base_url,
        model=t.model,
        api_key=key_of(t),
        max_tokens=max_tokens,
        temperature=temperature,
        limits=limits,
        prompt=told[0],
        structured=told[-1],
        structured_output=t.structured_output,
    )
    closing.push_async_callback(generator.aclose)
    generator = Paid(generator, Terms(t.name, prices_of(t), told, max_tokens, t.tokens_per_minute))
    if t.pii == "placeholders":
        generator = Pseudonymous(generator)
    if timeout_s is None:
        return generator
    # A breaker of its own: a step that is too slow for its short limit says nothing of the answers of the same endpoint.
    return Chain([Link(generator, t.name, Breaker())], ChainLimits(timeout_s, attempts=1))


def moderation_of(settings: Settings, closing: AsyncExitStack, *, fail_open: bool | None = None) -> Moderation:
    """Who looks at questions and answers, and what of; `fail_open` None is as the settings say."""
    m = settings.moderation
    lets = m.on_failure == "open" if fail_open is None else fail_open
    away = m.backend == "openai" and not m.self_hosted
    moderation = Moderation(
        _moderator(m),
        question=m.question,
        answer=m.answer,
        fail_open=lets,
        kept_from=frozenset(settings.routing.sensitive if away else ()),
    )
    closing.push_async_callback(moderation.aclose)
    return moderation


def _moderator(m: ModerationSettings) -> Moderator | None:
    match m.backend:
        case "off":
            return None
        case "openai":
            from generation.adapters.openai_moderation import OpenAIModerator

            key = m.api_key.get_secret_value()
            return OpenAIModerator(m.base_url, m.model, key, m.labels, m.threshold, m.timeout_s)
        case "classifier":
            from generation.adapters.text_classifier import TextClassifier

            return TextClassifier(Path(m.model), m.labels, m.threshold, m.timeout_s)


def prompt_sizes_of(settings: Settings, closing: AsyncExitStack, prompts: PromptLibrary) -> PromptSizes | None:
    """How passages are counted for chat models: as the cheapest tier's does. An endpoint that counts gets to see the texts
    of every collection, so it must be one that may get all of them; the extractive answer counts as the embedder does.
    Raises ConfigurationError."""
    tiers = tiers_of(settings)
    if not tiers:
        return None
    from generation.adapters.token_counters import counter_for

    asked = next((tier for tier in tiers if _gets_all(tier, settings.routing)), None)
    wanted, t = settings.context.tokenizer, asked or tiers[0]
    try:
        counter = counter_for(
            "estimate" if wanted == "auto" and asked is None else wanted, t.base_url, t.model, key_of(t)
        )
    except ValueError as error:
        raise ConfigurationError(
            f"Setting 'context.tokenizer': {error}.",
            "Name the tokenizer.json of the model that answers, or write auto.",
        ) from error
    closing.push_async_callback(counter.aclose)
    return PromptSizes(counter, prompts.live("answer"))
