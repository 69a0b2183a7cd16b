"""The models, as the settings choose them: who embeds, who reads closely, who writes. Heavy imports stand inside a choice."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import TYPE_CHECKING

import structlog

from app.cost import Prices
from app.followups import FollowUps
from app.generations import LoadableEmbedder
from app.model_settings import EmbedderSettings
from app.settings import ConfigurationError, Settings
from generation.ports import Generator, SentenceScorer
from generation.prompt import Prompt, load_prompt
from generation.rewrite import ModelRewriter
from generation.sizes import PromptSizes
from retrieval.errors import RerankerUnavailable
from retrieval.ports import Reranker

if TYPE_CHECKING:
    from retrieval.adapters.cross_encoder import CrossEncoderReranker
    from retrieval.adapters.http_rerank import HttpReranker

_REWRITTEN = 160  # tokens of a rewritten question at most


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


async def warmed(cross: "CrossEncoderReranker | HttpReranker | None", wanted: asyncio.Event) -> None:
    """A reranker that cannot be loaded keeps no answer from being given: each says that it did without."""
    await wanted.wait()
    try:
        if cross is not None:
            await cross.load()
    except RerankerUnavailable as error:
        structlog.get_logger().warning("reranker.not_loaded", cause=error.message, next_step=error.next_step)
        raise


def generator_of(settings: Settings, scorer: SentenceScorer) -> Generator:
    """Who writes the answer. `scorer` is for the one that quotes. Raises ConfigurationError."""
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


def follow_ups_of(settings: Settings, closing: AsyncExitStack) -> FollowUps:
    """The model that rewrites is the one that answers, with a prompt and limits of its own."""
    q, g = settings.query, settings.generation
    if q.rewrite != "auto" or g.backend != "openai_chat":
        return FollowUps(rules=q.rewrite != "off")
    t = q.rewrite_timeout_s
    model = _chat(settings, _REWRITTEN, 0.0, (g.connect_timeout_s, t, t, t), load_prompt("rewrite"))
    closing.push_async_callback(model.aclose)
    return FollowUps(ModelRewriter(model, t))


def prompt_sizes_of(settings: Settings, closing: AsyncExitStack) -> PromptSizes | None:
    """How passages are counted for a chat model; the extractive answer counts as the embedder does. Raises ConfigurationError."""
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


def prices_of(settings: Settings) -> Prices:
    """What the endpoint of the chat model takes."""
    g = settings.generation
    return Prices(Decimal(str(g.price_input or 0)), Decimal(str(g.price_output or 0)))
