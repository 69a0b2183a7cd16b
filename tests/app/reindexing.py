"""Generations on a temporary state: the real catalog, ingest, search and reindex; embedders that are made of hashes, and
engines in memory that outlive a restart as files would."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from app.generations import (
    AbsentEmbedder,
    GenerationIndex,
    LiveScorer,
    LiveSearch,
    LiveSplitter,
    LoadableEmbedder,
    OpenGenerations,
)
from app.jobs import Progress
from app.opening import GenerationOpener, Parts, open_generations
from app.reindex import Limits, Order, Reindex
from app.settings import ConfigurationError, Settings
from ingest.adapters.sql_catalog import SqlCatalog
from ingest.adapters.sql_generations import SqlGenerations
from ingest.model import collection_id
from ingest.pipeline import Ingest
from ingest.pipeline import Limits as IngestLimits
from ingest.ports import Splitter
from ingest.run import Request, Summary
from retrieval.adapters.late_interaction import LateInteractionReranker, LateInteractionScorer
from retrieval.adapters.qdrant_edge import QdrantEdgeIndex
from retrieval.adapters.vector_store import SqliteVectorStore
from retrieval.errors import EmbedderUnavailable
from retrieval.model import EmbeddedPassage, Found, Query, Scope
from retrieval.ports import Embedder, Engine, Search, VectorStore
from retrieval.search import HybridSearch
from tests.chaos.rig import PATIENT
from tests.fakes import FakeEmbedder, MemoryEngine, MemoryVectorStore
from tests.ingest.memory import LineReader, LineSplitter

SCOPE = Scope(collection_id("default"), "default", None)


class Model(FakeEmbedder):
    """Words in a space of this model's own: vectors of two models do not compare. `gate` holds passages back, `fails_at` is
    the number of the passage from which on it fails."""

    def __init__(self, name: str, dimension: int, world: "World") -> None:
        super().__init__(dimension)
        self.fingerprint = hashlib.sha256(name.encode()).hexdigest()[:16]
        self.model = name
        self._world = world
        self.closed = False

    def close(self) -> None:
        self.closed = True

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        world = self._world
        if not world.gate.is_set() and self.model in world.held:
            world.waiting.set()
            await world.gate.wait()
        found = await super().embed_passages(texts)
        world.embedded.setdefault(self.model, []).extend(texts)
        return found

    def _tokens(self, text: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        tokens = super()._tokens(text)
        seed = int.from_bytes(hashlib.sha256(self.model.encode()).digest()[:4])
        turned = np.random.default_rng(seed).permutation(self.dimension)
        return np.ascontiguousarray(tokens[:, turned])


class BadModel(Model):
    """Passages lie wherever: its index finds nothing by meaning."""

    def _passage(self, text: str) -> EmbeddedPassage:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
        tokens = np.random.default_rng(seed).standard_normal((3, self.dimension)).astype(np.float32)
        return EmbeddedPassage(tokens[0] / np.linalg.norm(tokens[0]), np.packbits(tokens > 0, axis=1))


class LostModel(AbsentEmbedder):
    """One that is configured, and is not there."""

    def __init__(self) -> None:
        self.dimension = 128

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        raise EmbedderUnavailable("There is no such folder.")


@dataclass
class World:
    """What outlives a process: files of engines and of vectors. And what a test sees of the embedders."""

    engines: dict[str, MemoryEngine] = field(default_factory=dict)
    vectors: dict[str, MemoryVectorStore] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)  # models that cannot be had any more
    held: set[str] = field(default_factory=set)  # models that wait at the gate
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    embedded: dict[str, list[str]] = field(default_factory=dict)
    models: list[Model] = field(default_factory=list)


class WorldOpener(GenerationOpener):
    """Recipes name a model and its dimension."""

    def __init__(self, world: World, settings: Settings, folder: Path, parts: Parts) -> None:
        wanted = asyncio.Event()
        wanted.set()
        super().__init__(settings, folder, parts, wanted)
        self.world = world

    def embedder(self, recipe: Mapping[str, Any], closing: AsyncExitStack) -> LoadableEmbedder:
        if not recipe or recipe["model"] in self.world.gone:
            raise ConfigurationError("There is no such model.")
        if recipe["model"] == "lost":
            return LostModel()
        kind = BadModel if recipe["model"] == "bad" else Model
        model = kind(recipe["model"], recipe.get("dimension", 128), self.world)
        closing.callback(model.close)
        self.world.models.append(model)
        return model

    async def remove(self, fingerprint: str) -> None:
        await super().remove(fingerprint)
        name = self._place(fingerprint).name
        self.world.engines.pop(name, None)
        self.world.vectors.pop(name, None)


class KeptVectors(MemoryVectorStore):
    async def close(self) -> None:
        """Its rows outlive it."""


@dataclass(frozen=True, slots=True)
class Rig:
    """One life of a service."""

    world: World
    catalog: SqlCatalog
    rows: SqlGenerations
    generations: OpenGenerations
    ingest: Ingest
    reindex: Reindex
    search: LiveSearch
    scorer: LiveScorer
    told: list[tuple[Progress, dict[str, int]]]

    async def sync(self, folder: Path) -> Summary:
        request, summary = Request(folder), Summary()
        plan = await self.ingest.plan(request)
        async with aclosing(self.ingest.run(request, plan, summary)) as reports:
            async for report in reports:
                assert report.error is None, report
        return summary

    async def run(self, order: Order, embedded: int = 0) -> None:
        async def tell(progress: Progress, details: Mapping[str, int]) -> None:
            self.told.append((progress, dict(details)))

        await self.reindex.run(order, tell, embedded)

    async def build(self, model: str, golden: Path | None = None, *, force: bool = False, dimension: int = 128) -> None:
        recipe = {"model": model, "dimension": dimension}
        await self.run(Order("build", recipe, golden=str(golden) if golden else None, force=force))

    async def find(self, text: str) -> Found:
        return await self.search.search(Query(text, SCOPE))

    async def states(self) -> dict[str, str]:
        """State by the model's name."""
        names = {
            hashlib.sha256(name.encode()).hexdigest()[:16]: name for name in ("old", "older", "new", "newer", "bad")
        }
        return {names[row.fingerprint]: row.state for row in await self.rows.all()}

    def engine(self, model: str) -> MemoryEngine:
        return self.world.engines[f"{hashlib.sha256(model.encode()).hexdigest()[:16]}-3"]

    def stored(self, model: str) -> MemoryVectorStore:
        return self.world.vectors[f"{hashlib.sha256(model.encode()).hexdigest()[:16]}-3"]

    async def live_ids(self) -> set[str]:
        rows = await self.catalog.documents(SCOPE.collection_id, 1000)
        return {i for row in rows for i in await self.catalog.live_ids(row.id)}

    async def document(self, name: str) -> str:
        rows = await self.catalog.documents(SCOPE.collection_id, 1000)
        return next(row.id for row in rows if row.name == name)


MakeParts = Callable[[World, SqlCatalog], Parts]


def real_parts(world: World, catalog: SqlCatalog) -> Parts:
    """The stores of the product, on files."""

    async def engine(folder: Path, dimension: int, closing: AsyncExitStack) -> Engine:
        shard = await asyncio.to_thread(QdrantEdgeIndex, folder / "shard", dimension)
        closing.push_async_callback(shard.close)
        return shard

    return replace(parts(world, catalog), engine=engine, vectors=SqliteVectorStore)


def parts(world: World, catalog: SqlCatalog) -> Parts:
    """Stores in memory, in the world."""

    async def engine(folder: Path, dimension: int, closing: AsyncExitStack) -> Engine:
        del dimension, closing
        found: Engine = world.engines.setdefault(folder.name, MemoryEngine())
        return found

    def search(embedder: Embedder, points: Engine, vectors: VectorStore) -> Search:
        return HybridSearch(embedder, points, points, catalog, vectors, LateInteractionReranker(), PATIENT)

    def splitter(embedder: Embedder) -> Splitter:
        del embedder
        return LineSplitter()

    return Parts(
        embedder=lambda *_: _never(),
        engine=engine,
        vectors=lambda file, _: world.vectors.setdefault(file.parent.name, KeptVectors()),  # type: ignore[arg-type, return-value]
        search=search,
        scorer=LateInteractionScorer,
        splitter=splitter,
    )


def _never() -> LoadableEmbedder:
    raise AssertionError("the opener makes its own")


@asynccontextmanager
async def life(
    world: World, state: Path, model: str = "old", *, repair: bool = False, made: MakeParts = parts
) -> AsyncIterator[Rig]:
    """A service whose settings ask for this model."""
    await asyncio.to_thread(state.mkdir, exist_ok=True)
    settings = Settings(state=state)
    async with AsyncExitStack() as closing:
        catalog = SqlCatalog(f"sqlite:///{state / 'catalog.sqlite'}")
        closing.push_async_callback(catalog.close)
        rows = SqlGenerations(catalog)
        opener = WorldOpener(world, settings, state / "index", made(world, catalog))
        recipe = {"model": model, "dimension": 128}
        generations = await open_generations(recipe, catalog, rows, opener, repair=repair)
        closing.push_async_callback(generations.close)
        index, splitter = GenerationIndex(generations), LiveSplitter(generations)
        limits = IngestLimits(group_chunks=8, min_free=0)
        ingest = Ingest(catalog, index, LineReader(), splitter, lambda _: True, state, limits)
        await ingest.reconcile()
        reindex = Reindex(catalog, rows, generations, opener, ingest, state, Limits(min_free=0))
        yield Rig(
            world,
            catalog,
            rows,
            generations,
            ingest,
            reindex,
            LiveSearch(generations),
            LiveScorer(generations),
            [],
        )
