"""The answer cache, put together; see `app.wiring`."""

import hashlib
from collections.abc import Callable
from importlib.metadata import version

from app.cache.answers import CachedAnswers
from app.cache.key import digest, of_settings
from app.cache.nearest import Floats
from app.generations import OpenGenerations
from app.prompts import examples_of
from app.settings import Settings
from app.wiring_index import OpenIndex
from generation.prompt_library import PromptLibrary


def cache_of(settings: Settings, index: OpenIndex, prompts: PromptLibrary) -> CachedAnswers | None:
    """None where it is off: then nothing of it stands in an answer's way."""
    if settings.cache.mode == "off":
        return None
    from app.adapters.sql_answer_cache import SqlAnswerCache, Tables
    from ingest.adapters import cache_tables as c
    from ingest.adapters import tables as t

    names = Tables(c.answer_cache, c.answer_cache_documents, t.collections, t.documents, t.versions)
    generations = index.generations

    async def embed(question: str) -> Floats:
        return (await generations.live.embedder.embed_query(question)).vector

    store = SqlAnswerCache(index.catalog, names)
    return CachedAnswers(store, settings.cache, made_by(settings, generations, prompts), embed)


def made_by(settings: Settings, generations: OpenGenerations, prompts: PromptLibrary) -> Callable[[], str]:
    """What answers at this moment: the release, every setting that counts with the files that it names, the index, and the
    prompts as their files are."""
    examples, calibration = examples_of(settings), settings.abstention.calibration
    bars = hashlib.sha256(calibration.read_bytes()).hexdigest() if calibration else None
    fixed = digest([version("grounded-qa"), of_settings(settings), examples.version if examples else None, bars])
    live = [prompts.live(name) for name in sorted(settings.prompts.chosen())]

    def now() -> str:
        return digest([fixed, generations.live.fingerprint, [prompt.now().version for prompt in live]])

    return now
