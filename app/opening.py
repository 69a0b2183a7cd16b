"""Opens generations: at the start those that there are, later one more. It knows the order; the wiring gives the parts."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from app.generations import AbsentEmbedder, LoadableEmbedder, Opener, OpenGenerations, Serving, Stores
from app.recipe import with_recipe
from app.settings import ConfigurationError, Settings
from generation.ports import SentenceScorer
from ingest.errors import GenerationMismatch
from ingest.generation import Generation, Generations
from ingest.ports import Catalog, Splitter
from retrieval.errors import EmbedderUnavailable, IndexUnavailable
from retrieval.index import HybridIndex
from retrieval.ports import Embedder, Engine, Search, VectorStore

_FORMAT = 3  # of the stores; another one is another folder
_log = structlog.get_logger()


class ClosableVectors(VectorStore, Protocol):
    """A store of vectors that holds a file open."""

    async def close(self) -> None:
        """Let it go."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """How each part of a generation is made. What needs closing is pushed by whoever makes it."""

    embedder: Callable[[Settings, AsyncExitStack], LoadableEmbedder]
    engine: Callable[[Path, int, AsyncExitStack], Awaitable[Engine]]
    vectors: Callable[[Path, int], ClosableVectors]
    search: Callable[[Embedder, Engine, VectorStore], Search]
    scorer: Callable[[Embedder], SentenceScorer | None]
    splitter: Callable[[Embedder], Splitter]
    forget: Callable[[Path], Awaitable[None]] | None = None  # vectors that are kept elsewhere than in the folder


class GenerationOpener:
    """Opener below one folder. `wanted`: until it is set, no model is loaded."""

    def __init__(self, settings: Settings, folder: Path, parts: Parts, wanted: asyncio.Event) -> None:
        self._settings = settings
        self._folder = folder
        self._parts = parts
        self._wanted = wanted

    def embedder(self, recipe: Mapping[str, Any], closing: AsyncExitStack) -> LoadableEmbedder:
        return self._parts.embedder(with_recipe(self._settings, recipe), closing)

    async def stores(self, fingerprint: str, dimension: int) -> Stores:
        folder = self._place(fingerprint)
        async with AsyncExitStack() as closing:
            points = await self._parts.engine(folder, dimension, closing)
            vectors = await asyncio.to_thread(self._parts.vectors, folder / "vectors.sqlite", dimension)
            closing.push_async_callback(vectors.close)
            return Stores(fingerprint, points, vectors, closing.pop_all())

    def serving(self, stores: Stores, embedder: LoadableEmbedder, closing: AsyncExitStack) -> Serving:
        loading = asyncio.create_task(_loaded(embedder, self._wanted))
        closing.push_async_callback(_ended, loading, self._wanted)
        return Serving(
            stores=stores,
            embedder=embedder,
            loading=loading,
            index=HybridIndex(embedder, stores.points, stores.vectors),
            search=self._parts.search(embedder, stores.points, stores.vectors),
            scorer=self._parts.scorer(embedder),
            splitter=self._parts.splitter(embedder),
            closing=closing,
        )

    async def remove(self, fingerprint: str) -> None:
        if self._parts.forget is not None:
            await self._parts.forget(self._place(fingerprint))
        await asyncio.to_thread(shutil.rmtree, self._place(fingerprint), ignore_errors=True)

    def _place(self, fingerprint: str) -> Path:
        return self._folder / f"{fingerprint[:16]}-{_FORMAT}"


async def open_generations(
    recipe: Mapping[str, Any], catalog: Catalog, rows: Generations, opener: Opener, *, repair: bool = False
) -> OpenGenerations:
    """The live generation with the embedder that it was built with, and the stores of all others. `recipe` is that of the
    embedder that is configured.

    Raises GenerationMismatch when that embedder cannot be had; with `repair` it is opened without one, to be replaced.
    """
    async with AsyncExitStack() as opened:
        closing = await opened.enter_async_context(AsyncExitStack())
        configured = opener.embedder(recipe, closing)
        found = await _found(configured, recipe)
        live = await _live(catalog, rows, found)
        embedder: LoadableEmbedder = configured
        if isinstance(found, EmbedderUnavailable) or found.fingerprint != live.fingerprint:
            await closing.aclose()
            embedder = await _former(opener, live, closing, found, repair=repair)
        name = "" if isinstance(found, EmbedderUnavailable) else found.fingerprint
        stores = await opener.stores(live.fingerprint, embedder.dimension)
        opened.push_async_callback(stores.closing.aclose)
        generations = OpenGenerations(opener.serving(stores, embedder, closing), name)
        opened.push_async_callback(generations.close)
        for row in await rows.all():
            if row.state != "live":
                await _open_other(opener, rows, generations, row)
        opened.pop_all()
        return generations


async def followed(rows: Generations, opener: Opener, generations: OpenGenerations) -> None:
    """What another process has done with generations is done here: the one that is live there answers here too, and one
    that was dropped is let go. Raises GroundedError where it cannot be opened."""
    known = {row.fingerprint: row for row in await rows.all()}
    live = next((row for row in known.values() if row.state == "live"), None)
    if live is None:
        return
    if live.fingerprint != generations.live.fingerprint:
        generations.swap(generations.serving(live.fingerprint) or await _opened_here(opener, generations, live))
        _log.info("generation.followed", fingerprint=live.fingerprint)
    for stores in generations.others:
        if stores.fingerprint not in known:
            await generations.remove(stores.fingerprint)


async def _opened_here(opener: Opener, generations: OpenGenerations, live: Generation) -> Serving:
    async with AsyncExitStack() as closing:
        embedder = opener.embedder(live.recipe, closing)
        if await asyncio.to_thread(lambda: embedder.fingerprint) != live.fingerprint:
            raise GenerationMismatch("The index was built anew with an embedder that this replica has not.")
        stores = generations.stores(live.fingerprint) or await opener.stores(live.fingerprint, live.dimension)
        generations.add(stores)
        serving = opener.serving(stores, embedder, closing.pop_all())
        await asyncio.shield(serving.loading)
        return serving


Configured = Generation | EmbedderUnavailable  # what the settings ask for, or why it cannot be had


async def _found(configured: LoadableEmbedder, recipe: Mapping[str, Any]) -> Configured:
    try:
        name = await asyncio.to_thread(lambda: configured.fingerprint)
        return Generation(name, "live", recipe, configured.dimension)
    except EmbedderUnavailable as error:
        return error


async def _live(catalog: Catalog, rows: Generations, wanted: Configured) -> Generation:
    """The live one. While it holds nothing, it is that of the embedder that is configured: nothing would be built anew.

    Raises EmbedderUnavailable where there is none, and the one that is configured cannot be had.
    """
    live = await rows.live()
    if isinstance(wanted, EmbedderUnavailable):
        if live is None:
            raise wanted
        return live
    if live is not None and live.fingerprint == wanted.fingerprint:
        if (live.recipe, live.dimension) != (wanted.recipe, wanted.dimension):
            await rows.remember(live.fingerprint, wanted.recipe, wanted.dimension)  # the same model, from elsewhere
        return live
    if live is not None and (await catalog.count_live())[1]:
        return live
    return await rows.found(wanted.fingerprint, wanted.recipe, wanted.dimension)


async def _former(
    opener: Opener, live: Generation, closing: AsyncExitStack, wanted: Configured, *, repair: bool
) -> LoadableEmbedder:
    """The embedder that the live index was built with; one that is absent where another is to take its place."""
    told = wanted.message if isinstance(wanted, EmbedderUnavailable) else wanted.fingerprint
    try:
        embedder = opener.embedder(live.recipe, closing)
        if await asyncio.to_thread(lambda: embedder.fingerprint) == live.fingerprint:
            _log.warning("generation.outdated", live=live.fingerprint, configured=told)
            return embedder
    except (ConfigurationError, EmbedderUnavailable):
        pass
    if isinstance(wanted, EmbedderUnavailable):
        raise wanted
    if repair:
        return AbsentEmbedder(live.fingerprint, live.dimension)
    raise GenerationMismatch(
        "The index was built with another embedder than the one configured now, and that one cannot be had."
    )


async def _open_other(opener: Opener, rows: Generations, found: OpenGenerations, row: Generation) -> None:
    """It must be told of what is deleted, so one that cannot be opened is given up; so is one that was being dropped."""
    if row.state != "dropped":
        try:
            found.add(await opener.stores(row.fingerprint, row.dimension))
        except IndexUnavailable as error:
            _log.warning("generation.lost", fingerprint=row.fingerprint, cause=error.message)
        else:
            return
    await rows.drop(row.fingerprint)
    await opener.remove(row.fingerprint)
    await rows.forget(row.fingerprint)


async def _loaded(embedder: LoadableEmbedder, wanted: asyncio.Event) -> None:
    await wanted.wait()
    await asyncio.to_thread(embedder.load)


async def _ended(models: "asyncio.Task[None]", wanted: asyncio.Event) -> None:
    if not wanted.is_set():
        models.cancel()
    await asyncio.gather(models, return_exceptions=True)
