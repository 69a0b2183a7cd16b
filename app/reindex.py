"""The index built anew beside the live one, measured, and put in its place: in one commit and one reference change.

All of it may be done twice. What was embedded is kept in the new generation's own folder, so that a run that was cut off
goes on where it was; and until the commit the old generation is the live one, whole, whatever happens.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import structlog

from app.errors import GenerationNotFound, GenerationWorse, GoldenSetMissing
from app.evals.golden import GoldenSet, Measured, difference, golden_set, measured
from app.generations import LoadableEmbedder, Opener, OpenGenerations, Serving
from app.jobs import Progress
from app.settings import Settings
from ingest.errors import GenerationMismatch, IndexIncomplete
from ingest.generation import Generation, Generations
from ingest.pipeline import Ingest
from ingest.ports import Catalog, DocumentRow
from ingest.storage import check_room
from retrieval.errors import IndexUnavailable

Action = Literal["build", "rollback", "drop"]
_PAGE = 500
_BATCH = 128  # chunks copied together; a deletion of one of their documents waits for that long
_MARGIN = timedelta(seconds=60)  # of clocks that are set back a little
_log = structlog.get_logger()
Tell = Callable[[Progress, Mapping[str, int]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done. A build takes the embedder of the `recipe`; a rollback goes to the generation that it names, so
    that doing it twice does not go back and forth. `force` swaps whatever the golden set says, or without one."""

    action: Action = "build"
    recipe: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    golden: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for; of `rollback` and `drop_old` one at most."""

    recipe: Mapping[str, Any]
    golden: str | None = None
    force: bool = False
    rollback: bool = False
    drop_old: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """By how much the mean nDCG@10 may fall, and the free disk in bytes below which nothing is written."""

    allowed_drop: float = 0.01
    min_free: int = 256 * 2**20


@dataclass(slots=True)
class _Course:
    """How far a run is. `embedded` counts texts that went through the model, in earlier attempts too."""

    tell: Tell
    total: int = 0
    done: int = 0
    embedded: int = 0

    async def add(self, chunks: int, embedded: int) -> None:
        self.done = min(self.done + chunks, self.total)
        self.embedded += embedded
        await self.tell(Progress(self.done, self.total, "chunks"), {"chunks": self.done, "embedded": self.embedded})


class Reindex:
    """Builds, swaps, rolls back and drops generations. One at a time; ingest and questions go on beside it."""

    def __init__(
        self,
        catalog: Catalog,
        rows: Generations,
        generations: OpenGenerations,
        opener: Opener,
        ingest: Ingest,
        state: Path,
        limits: Limits,
    ) -> None:
        self._catalog = catalog
        self._rows = rows
        self._generations = generations
        self._opener = opener
        self._ingest = ingest
        self._state = state
        self._limits = limits
        self._one = asyncio.Lock()

    async def run(self, order: Order, tell: Tell, embedded: int = 0) -> None:
        """Do it. `embedded` is what earlier attempts are known to have embedded.

        Raises GenerationWorse, GoldenSetMissing, GenerationNotFound, EmbedderUnavailable, StorageFull and others; the live
        generation is then the one that it was.
        """
        async with self._one:
            course = _Course(tell, embedded=embedded)
            match order.action:
                case "build":
                    await self._build(order, course)
                case "rollback":
                    await self._roll_back(order, course)
                case "drop":
                    await self._drop_others(keep=())

    async def generations(self) -> list[Generation]:
        """Every generation, the newest first."""
        return await self._rows.all()

    async def order(self, asked: Asked) -> Order:
        """What is to be done for it, said so that it can be done twice. Raises GenerationNotFound."""
        if asked.drop_old:
            return Order("drop")
        if asked.rollback:
            return Order("rollback", fingerprint=(await self.rollback_target()).fingerprint)
        return Order("build", asked.recipe, golden=asked.golden, force=asked.force)

    async def rollback_target(self) -> Generation:
        """The one that was live before this one. Raises GenerationNotFound."""
        retired = [found for found in await self._rows.all() if found.state == "retired"]
        if not retired:
            raise GenerationNotFound("No generation is kept behind the live one.")
        return max(retired, key=lambda found: found.retired_at or found.created_at or datetime.min.replace(tzinfo=UTC))

    async def _build(self, order: Order, course: _Course) -> None:
        golden = await golden_set(self._catalog, Path(order.golden) if order.golden else None)
        async with self._attempt() as closing:
            embedder = self._opener.embedder(order.recipe, closing)
            name = await asyncio.to_thread(lambda: embedder.fingerprint)
            if name == self._generations.live.fingerprint:
                return
            if not golden.questions and not order.force:
                raise GoldenSetMissing(_nothing_to_ask(golden))
            await asyncio.to_thread(embedder.load)  # before there is anything of it on the disk
            await self._drop_unfinished(keep=name)
            generation = await self._rows.begin(name, order.recipe, embedder.dimension)
            serving = await self._served(generation, embedder, closing)
            await self._fill(serving, generation.in_step_at, course)
            await self._judge(serving, golden, force=order.force)
            await self._swap(serving, course)
        self._generations.configured = name
        await self._drop_others(keep=(name, (await self.rollback_target()).fingerprint))

    async def _roll_back(self, order: Order, course: _Course) -> None:
        """What has changed since it was live is brought to it first; that is all that takes time."""
        generation = next((found for found in await self._rows.all() if found.fingerprint == order.fingerprint), None)
        if generation is None or generation.state == "dropped":
            raise GenerationNotFound("That generation is no longer kept.")
        if generation.state == "live":
            return
        async with self._attempt() as closing:
            serving = self._generations.serving(generation.fingerprint)
            if serving is None:
                embedder = self._opener.embedder(generation.recipe, closing)
                if await asyncio.to_thread(lambda: embedder.fingerprint) != generation.fingerprint:
                    raise GenerationMismatch("The embedder of that generation has changed since it was built.")
                await asyncio.to_thread(embedder.load)
                serving = await self._served(generation, embedder, closing)
            await self._fill(serving, generation.in_step_at, course)
            await self._swap(serving, course)

    @asynccontextmanager
    async def _attempt(self) -> AsyncIterator[AsyncExitStack]:
        """What is opened for an embedder; closed unless its generation has become live, whatever came after that."""
        closing = AsyncExitStack()
        try:
            yield closing
        finally:
            if not self._generations.owns(closing):
                await closing.aclose()

    async def _served(self, generation: Generation, embedder: LoadableEmbedder, closing: AsyncExitStack) -> Serving:
        """The generation with its embedder. From now on it is told of what is deleted."""
        name = generation.fingerprint
        stores = self._generations.stores(name) or await self._opener.stores(name, embedder.dimension)
        self._generations.add(stores)
        await stores.points.prepare()
        serving = self._opener.serving(stores, embedder, closing)
        await serving.loading
        return serving

    async def _fill(self, serving: Serving, since: datetime | None, course: _Course) -> None:
        """Bring it in step with the catalog: all of it, or what has changed `since`."""
        begun = datetime.now(UTC)
        course.total = max(course.total, (await self._catalog.count_live())[1])
        for collection in await self._catalog.collection_ids():
            after = None
            while rows := await self._catalog.documents(collection, _PAGE, after):
                after = rows[-1].id
                course.done += sum(row.chunks for row in rows if not _changed(row, since))
                for batch in _batches([row for row in rows if _changed(row, since)]):
                    await self._copy(serving, batch, course)
        await self._rows.in_step(serving.fingerprint, begun)

    async def _copy(self, serving: Serving, batch: Sequence[DocumentRow], course: _Course) -> None:
        check_room(self._state, self._limits.min_free)
        ids = [row.id for row in batch]
        async with self._generations.filling(ids):
            stored = [await self._catalog.stored(document) for document in ids]
            written = await serving.index.put([entry for entry in stored if entry is not None])
        await course.add(sum(row.chunks for row in batch), written.embedded)

    async def _judge(self, serving: Serving, golden: GoldenSet, *, force: bool) -> None:
        """Raises GenerationWorse when it finds less than the live one by more than is allowed."""
        if not golden.questions:
            return
        live = self._generations.live
        await asyncio.wait({live.loading})
        with self._generations.using(live):
            old = await measured(live.search, golden.questions)
        new = await measured(serving.search, golden.questions)
        await self._rows.score(live.fingerprint, old.scores)
        await self._rows.score(serving.fingerprint, new.scores)
        change, bounds = difference(new, old)
        figures = {"ndcg_new": new.scores["ndcg@10"], "ndcg_live": old.scores["ndcg@10"], "change": change}
        _log.info("generation.measured", fingerprint=serving.fingerprint, questions=len(new.ndcg), **figures)
        if change < -self._limits.allowed_drop and not force:
            raise GenerationWorse(_told_worse(new, old, change, bounds))

    async def _swap(self, serving: Serving, course: _Course) -> None:
        """No run of ingest is in its middle meanwhile: what came since is brought in, all of it counted, and then comes the
        one commit. Questions are answered all the while."""
        async with self._ingest.paused():
            known = next(found for found in await self._rows.all() if found.fingerprint == serving.fingerprint)
            await self._fill(serving, known.in_step_at, course)
            await self._check_whole(serving, course)
            flip = asyncio.create_task(self._flip(serving))
            try:
                await asyncio.shield(flip)
            except asyncio.CancelledError:  # too late: the commit is on its way
                await flip
                raise

    async def _check_whole(self, serving: Serving, course: _Course) -> None:
        _, chunks = await self._catalog.count_live()
        if await serving.index.size() >= chunks:
            return
        await self._fill(serving, None, course)  # it has lost something, or the clock was set back
        if (arrived := await serving.index.size()) < chunks:
            raise IndexIncomplete(
                f"{arrived} of {chunks} chunks arrived in the new index.", "Run grounded reindex again."
            )

    async def _flip(self, serving: Serving) -> None:
        former = self._generations.live.fingerprint
        await self._rows.swap(serving.fingerprint)
        self._generations.swap(serving)
        _log.info("generation.swapped", fingerprint=serving.fingerprint, former=former)
        with suppress(IndexUnavailable):  # it only tells others; the next start tells them again
            await serving.stores.points.activate()

    async def _drop_unfinished(self, keep: str) -> None:
        for found in await self._rows.all():
            if found.state in ("building", "ready") and found.fingerprint != keep:
                await self._drop(found.fingerprint)

    async def _drop_others(self, keep: Sequence[str]) -> None:
        for found in await self._rows.all():
            if found.state != "live" and found.fingerprint not in keep:
                await self._drop(found.fingerprint)

    async def _drop(self, fingerprint: str) -> None:
        """Its files go between two commits, so that the next start finishes what a crash leaves."""
        await self._rows.drop(fingerprint)
        await self._generations.remove(fingerprint)
        await self._opener.remove(fingerprint)
        await self._rows.forget(fingerprint)
        _log.info("generation.dropped", fingerprint=fingerprint)


def found_golden(settings: Settings) -> str | None:
    """The golden set that is configured, if it is there."""
    path = settings.reindex.golden.absolute()
    return str(path) if path.exists() else None


def _changed(row: DocumentRow, since: datetime | None) -> bool:
    return row.version > 0 and (since is None or row.updated_at >= since - _MARGIN)


def _batches(rows: Sequence[DocumentRow]) -> list[list[DocumentRow]]:
    """Documents of so many chunks together; a larger one by itself."""
    batches: list[list[DocumentRow]] = []
    chunks = _BATCH
    for row in rows:
        chunks += row.chunks
        if chunks > _BATCH:
            batches.append([])
            chunks = row.chunks
        batches[-1].append(row)
    return batches


def _nothing_to_ask(golden: GoldenSet) -> str:
    if golden.left_out:
        return f"The golden set names no document of this index; {golden.left_out} questions were left out."
    return "There is no golden set to measure the new index by."


def _told_worse(new: Measured, old: Measured, change: float, bounds: tuple[float, float]) -> str:
    low, high = bounds
    return (
        f"The new index reaches nDCG@10 {new.scores['ndcg@10']:.3f} on {len(new.ndcg)} golden questions, the live one "
        f"{old.scores['ndcg@10']:.3f}: {change:+.3f} (95 % interval {low:+.3f} to {high:+.3f})."
    )
