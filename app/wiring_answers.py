"""A question's way, put together: what answers it, alone or in a batch."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from app.admission import Admission
from app.budgets.purse import Purses
from app.cache.answers import CachedAnswers
from app.calibration import LiveBars
from app.checking import Checking, checking_of
from app.explanations import Explanations
from app.filtering import OutputFilter
from app.flagging import QuestionFlags
from app.generations import LiveScorer, SearchedVectors
from app.keys.model import Principal
from app.pipeline import AnswerPipeline, Packing
from app.prompts import examples_of, library_of
from app.recount import Recount
from app.routing import Router
from app.sentences import LiveSentences
from app.settings import Settings
from app.wiring_index import OpenIndex
from app.wiring_models import moderation_of, prompt_sizes_of, router_of
from generation.examples import ExampleChooser
from generation.moderation import Moderation
from generation.parts import ByParts
from generation.prompt_library import PromptLibrary
from retrieval.assembly import Assembly
from retrieval.model import EmbeddedQuery
from retrieval.watch import WatchedSearch


@dataclass(frozen=True, slots=True)
class AnsweringParts:
    """What the pipeline of batches shares with that of every other question."""

    router: Router
    admission: Admission
    assembly: Assembly
    moderation: Moderation
    prompts: PromptLibrary
    packing: Packing
    examples: ExampleChooser | None
    output: OutputFilter
    checking: Checking
    check: Callable[[Principal], Awaitable[None]]  # raises where somebody may ask no longer
    purses: Purses


def answering_parts(
    settings: Settings,
    index: OpenIndex,
    bars: LiveBars,
    check: Callable[[Principal], Awaitable[None]],
    purses: Purses,
    closing: AsyncExitStack,
) -> AnsweringParts:
    """Each part once. Raises ConfigurationError."""
    prompts, examples = library_of(settings), _examples(settings, index)
    scorer, sentences = ByParts(LiveScorer(index.generations)), LiveSentences(index.generations)
    admission = Admission(settings.max_running, settings.max_waiting, settings.max_wait_s)
    closing.callback(admission.close)
    return AnsweringParts(
        router=router_of(settings, scorer, closing, prompts, examples, sentences, bars.now),
        admission=admission,
        assembly=_assembly(settings, index, closing, prompts),
        moderation=moderation_of(settings, closing),
        prompts=prompts,
        packing=_packing(settings),
        examples=examples,
        output=OutputFilter(settings, prompts),
        checking=checking_of(settings.verification, bars.carried),
        check=check,
        purses=purses,
    )


def pipeline_of(
    settings: Settings,
    index: OpenIndex,
    parts: AnsweringParts,
    explanations: Explanations,
    cache: CachedAnswers | None,
) -> AnswerPipeline:
    """The way of a question that somebody waits for."""
    flags = QuestionFlags(lambda: index.generations.live.fingerprint)
    return AnswerPipeline(
        index.catalog,
        searched(settings, index),
        parts.router,
        parts.admission,
        parts.packing,
        assembly=parts.assembly,
        recount=Recount(explanations, log_content=settings.log_content, flags=flags),
        moderation=parts.moderation,
        output=parts.output,
        checking=parts.checking,
        cache=cache,
        purses=parts.purses,
    )


def searched(settings: Settings, index: OpenIndex) -> WatchedSearch:
    """The search, under the watch that tells when its index holds too little."""
    return WatchedSearch(index.search, index.watch, refuse=settings.index.on_failure == "refuse")


def _examples(settings: Settings, index: OpenIndex) -> ExampleChooser | None:
    """Examples are likened to questions by the embedder that is live."""
    found = examples_of(settings)
    if found is None:
        return None
    generations = index.generations

    async def embed(question: str) -> EmbeddedQuery:
        return await generations.live.embedder.embed_query(question)

    return ExampleChooser(found, settings.prompts.examples, lambda: generations.live.fingerprint, embed)


def _assembly(settings: Settings, index: OpenIndex, closing: AsyncExitStack, prompts: PromptLibrary) -> Assembly:
    from ingest.adapters.sql_surroundings import SqlSurroundings

    sizes = prompt_sizes_of(settings, closing, prompts)
    return Assembly(SqlSurroundings(index.catalog), SearchedVectors(index.generations), sizes)


def _packing(settings: Settings) -> Packing:
    c = settings.context
    return Packing(c.token_budget, c.per_source, c.near_duplicate, c.prefer_latest, c.widen)
