"""A new generation beside the live one: nothing is lost, nothing that was deleted stays, and no question fails meanwhile."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.errors import GenerationNotFound, GenerationWorse, GoldenSetMissing
from app.generations import AskedQuery
from app.reindex import Asked, Order
from ingest.errors import GenerationMismatch, StorageFull
from retrieval.errors import EmbedderUnavailable
from tests.app.reindexing import SCOPE, Rig, World, life
from tests.app.serving import write

TOPICS = ("lighthouse", "harbour", "anchor", "compass", "lantern", "bridge", "garden", "school", "doctor", "market")
WAIT_S = 20


def document(topic: str, lines: int = 3) -> str:
    return "".join(f"The {topic} number {n} was painted by {topic}keeper{n} in spring.\n" for n in range(lines))


FILES: dict[str, str | bytes] = {f"{topic}.txt": document(topic) for topic in TOPICS}


@pytest.fixture(autouse=True)
def log() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as seen:
        yield seen


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return write(tmp_path / "docs", FILES)


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    rows = [{"question": f"Who painted the {topic}?", "file": f"{topic}.txt"} for topic in TOPICS]
    rows += [
        {"question": "Is there an answer?", "answerable": False},
        {"question": "And elsewhere?", "file": "not-here.md"},
    ]
    path = tmp_path / "golden" / "own.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(WAIT_S):
            await work()

    asyncio.run(within())


async def whole(rig: Rig, model: str) -> None:
    """The generation holds every live chunk and nothing else, in all of its stores."""
    ids = await rig.live_ids()
    assert set(rig.engine(model).points) == set(rig.stored(model).stored) == ids


async def holds_nothing_of(rig: Rig, document: str, *models: str) -> None:
    for model in models:
        assert await rig.engine(model).count_document(document) == 0
        assert await rig.stored(model).count(document) == 0


class TestBuild:
    def test_the_new_index_is_swapped_in_and_the_old_one_kept(self, tmp_path: Path, docs: Path, golden: Path) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                await rig.build("new", golden)
                assert await rig.states() == {"old": "retired", "new": "live"}
                await whole(rig, "new")
                await whole(rig, "old")
                found = await rig.find("Who painted the lantern?")
                assert found.passages[0].name == "lantern.txt"
                assert sorted(world.embedded["new"]) == sorted(world.embedded["old"])  # each text once
                scores = {row.state: row.scores for row in await rig.rows.all()}
                assert scores["live"]["questions"] == scores["retired"]["questions"] == len(TOPICS)
                assert scores["live"]["hit@10"] == 1
                progress, details = rig.told[-1]
                assert (progress.done, progress.total, progress.unit) == (30, 30, "chunks")
                assert details["embedded"] == 30
                assert not rig.generations.outdated

        run(main)

    def test_no_question_fails_meanwhile_and_each_is_answered_by_one_generation(
        self, tmp_path: Path, docs: Path, golden: Path
    ) -> None:
        """Swapped there and back, again and again, under questions; answers are scored by whom they were searched with."""
        world = World()

        async def asking(rig: Rig, over: asyncio.Event, seen: set[str]) -> int:
            n = 0
            while not over.is_set():
                topic = TOPICS[n % len(TOPICS)]
                found = await rig.find(f"Who painted the {topic}?")
                assert found.degraded == ()
                assert found.passages[0].name == f"{topic}.txt"
                assert isinstance(found.query, AskedQuery)
                seen.add(found.query.generation)
                (matches,) = await rig.scorer.matches(found.query, found.passages[:1], [[(0, 10)]])
                assert matches.shape == (1, len(found.query.tokens))
                n += 1
                await asyncio.sleep(0)
            return n

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                over, seen = asyncio.Event(), set[str]()
                askers = [asyncio.create_task(asking(rig, over, seen)) for _ in range(4)]
                await rig.build("new", golden, dimension=64)
                for _ in range(3):
                    await rig.run(await rig.reindex.order(Asked({}, rollback=True)))
                over.set()
                asked = await asyncio.gather(*askers)
                assert min(asked) > 0
                assert len(seen) == 2

        run(main)

    def test_the_embedder_that_is_live_already_has_nothing_to_do(self, tmp_path: Path, docs: Path) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                await rig.build("old")
                assert await rig.states() == {"old": "live"}
                assert [model.closed for model in world.models] == [False, True]

        run(main)

    def test_a_worse_index_is_refused_and_can_be_forced(self, tmp_path: Path, docs: Path, golden: Path) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                with pytest.raises(GenerationWorse, match="10 golden questions"):
                    await rig.build("bad", golden)
                assert await rig.states() == {"old": "live", "bad": "ready"}
                scores = {row.state: row.scores["ndcg@10"] for row in await rig.rows.all()}
                assert scores["ready"] < scores["live"] - 0.01
                assert (await rig.find("Who painted the lantern?")).passages[0].name == "lantern.txt"
                assert world.models[-1].closed
                before = len(world.embedded["bad"])
                await rig.build("bad", golden, force=True)
                assert await rig.states() == {"old": "retired", "bad": "live"}
                assert len(world.embedded["bad"]) == before  # nothing was made twice

        run(main)

    @pytest.mark.parametrize("rows", [None, [{"question": "Elsewhere?", "file": "nowhere.md"}]])
    def test_without_a_golden_set_nothing_is_begun(
        self, tmp_path: Path, docs: Path, rows: list[dict[str, str]] | None
    ) -> None:
        world, path = World(), tmp_path / "golden.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows or ()))

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                with pytest.raises(GoldenSetMissing):
                    await rig.build("new", path if rows else None)
                assert await rig.states() == {"old": "live"}
                assert len(world.engines) == 1
                await rig.build("new", force=True)
                assert await rig.states() == {"old": "retired", "new": "live"}

        run(main)

    def test_the_next_one_that_passes_takes_the_place_of_the_one_that_was_kept(
        self, tmp_path: Path, docs: Path, golden: Path
    ) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                await rig.build("new", golden)
                await rig.build("newer", golden)
                assert await rig.states() == {"new": "retired", "newer": "live"}
                assert len(world.engines) == len(world.vectors) == 2
                assert [model.closed for model in world.models] == [True, False, False]

        run(main)

    def test_an_unfinished_one_makes_place_for_another(self, tmp_path: Path, docs: Path, golden: Path) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                with pytest.raises(GenerationWorse):
                    await rig.build("bad", golden)
                await rig.build("new", golden)
                assert await rig.states() == {"old": "retired", "new": "live"}

        run(main)

    def test_a_full_disk_is_met_before_anything_is_written(
        self, tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = World()

        def full(*_: object) -> None:
            raise StorageFull("There is no room.")

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                monkeypatch.setattr("app.reindex.check_room", full)
                with pytest.raises(StorageFull):
                    await rig.build("new", force=True)
                monkeypatch.undo()
                assert await rig.states() == {"old": "live", "new": "building"}
                await rig.build("new", force=True)
                await whole(rig, "new")

        run(main)


class TestMeanwhile:
    """What changes while a generation is built is in it, and what goes is in neither."""

    @staticmethod
    async def building(rig: Rig, golden: Path | None = None) -> "asyncio.Task[None]":
        """A build that stands in the middle of its first texts."""
        rig.world.held.add("new")
        task = asyncio.create_task(rig.build("new", golden, force=golden is None))
        await rig.world.waiting.wait()
        return task

    def test_a_document_that_is_deleted_is_in_neither(self, tmp_path: Path, docs: Path) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                gone = await rig.document("lantern.txt")
                task = await self.building(rig)
                deletion = asyncio.create_task(rig.ingest.remove(gone))
                while await rig.catalog.document(gone) is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)  # hidden at once, whatever is being copied
                assert not deletion.done()
                world.gate.set()
                await deletion
                receipt = await rig.catalog.receipt(gone)
                assert receipt is not None
                assert {place.left for place in receipt.places.values()} == {0}
                await task
                await holds_nothing_of(rig, gone, "old", "new")
                await whole(rig, "new")

        run(main)

    def test_a_document_that_changes_is_in_it_in_its_new_version_alone(self, tmp_path: Path, docs: Path) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                task = await self.building(rig)
                write(docs, {"lantern.txt": "The lantern went out.\n", "new.txt": "A new one came.\n"})
                (docs / "market.txt").unlink()
                sync = asyncio.create_task(rig.sync(docs))
                while (await rig.find("The lantern went out")).passages[0].text != "The lantern went out.":  # noqa: ASYNC110
                    await asyncio.sleep(0.001)  # an ingest does not wait for a reindex
                world.gate.set()
                await sync
                await task
                await whole(rig, "new")
                await whole(rig, "old")
                assert (await rig.find("went out")).passages[0].text == "The lantern went out."

        run(main)

    def test_a_swap_waits_for_the_run_that_is_in_its_middle(self, tmp_path: Path, docs: Path) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                write(docs, {"late.txt": "Somebody came late.\n"})
                world.held.add("old")
                sync = asyncio.create_task(rig.sync(docs))
                await world.waiting.wait()
                task = asyncio.create_task(rig.build("new", force=True))
                await asyncio.sleep(0.2)
                assert (await rig.states())["old"] == "live"
                world.gate.set()
                await sync
                await task
                await whole(rig, "new")
                assert len(await rig.live_ids()) == 31

        run(main)

    def test_what_filters_ask_of_a_chunk_is_as_it_is_now(self, tmp_path: Path, docs: Path) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                await rig.build("new", force=True)
                await self._renamed_title(rig, docs)
                for model in ("old", "new"):
                    assert {p.payload["tags"][0] for p in rig.engine(model).points.values()} == {"late"}  # type: ignore[index]

        run(main)

    @staticmethod
    async def _renamed_title(rig: Rig, docs: Path) -> None:
        """The same chunks with another tag, as a changed rule gives them."""
        from dataclasses import replace

        from ingest.metadata import Metadata

        del docs
        for row in await rig.catalog.documents(SCOPE.collection_id, 100):
            stored = await rig.catalog.stored(row.id)
            assert stored is not None
            tagged = replace(stored, document=replace(stored.document, metadata=Metadata(tags=("late",))))
            from app.generations import GenerationIndex

            await GenerationIndex(rig.generations).put([tagged])


class DiedError(BaseException):
    """Nothing of the process catches it."""


class TestCutOff:
    """Wherever it is cut off, the old generation is live and whole, and the next attempt makes nothing twice."""

    def test_an_attempt_that_fails_in_its_middle_is_gone_on_with(self, tmp_path: Path, docs: Path) -> None:
        world = World()
        many = {f"many{n}.txt": document(f"many{n}", 60) for n in range(5)}  # several batches
        write(docs, many)

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                world.held.add("new")
                task = asyncio.create_task(rig.build("new", force=True))
                await world.waiting.wait()
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await rig.states() == {"old": "live", "new": "building"}
                assert world.models[-1].closed
                await whole(rig, "old")
                world.held.clear()
            async with life(world, tmp_path / "state") as rig:
                assert await rig.states() == {"old": "live", "new": "building"}
                await rig.build("new", force=True)
                await whole(rig, "new")
                assert len(world.embedded["new"]) == len(set(world.embedded["new"])) == 330

        run(main)

    @pytest.mark.parametrize("step", ["in_step", "score", "swap", "drop", "forget"])
    @pytest.mark.parametrize("late", [False, True])
    def test_a_crash_before_or_behind_any_commit(
        self, tmp_path: Path, docs: Path, golden: Path, monkeypatch: pytest.MonkeyPatch, step: str, late: bool
    ) -> None:
        """The process ends there: nothing of it runs any more, and what comes next sees only what was written."""
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                await rig.build("older", golden)
                real = getattr(rig.rows, step)

                async def dies(*arguments: Any) -> Any:
                    if late:
                        await real(*arguments)
                    raise DiedError

                monkeypatch.setattr(rig.rows, step, dies)
                with pytest.raises(DiedError):
                    await rig.build("new", golden)
            before = len(world.embedded["new"])
            async with life(world, tmp_path / "state", "older") as rig:
                found = await rig.states()
                (live,) = [name for name, state in found.items() if state == "live"]
                assert live == ("new" if step in ("drop", "forget") or (step, late) == ("swap", True) else "older")
                await whole(rig, live)
                assert "dropped" not in found.values()
                gone = await rig.document("anchor.txt")
                await rig.ingest.remove(gone)
                await rig.build("new", golden)
                assert (await rig.states())["new"] == "live"
                await whole(rig, "new")
                await holds_nothing_of(rig, gone, *(await rig.states()))
                assert len(world.embedded["new"]) == before
                assert len(world.engines) == len(await rig.states())

        run(main)


class TestRollback:
    def test_it_goes_back_with_all_that_has_changed_since(self, tmp_path: Path, docs: Path, golden: Path) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                await rig.build("new", golden)
                write(docs, {"late.txt": "Somebody came late.\n", "lantern.txt": "The lantern went out.\n"})
                gone = await rig.document("market.txt")
                (docs / "market.txt").unlink()
                await rig.sync(docs)
                await holds_nothing_of(rig, gone, "old", "new")
                before = len(world.embedded["old"])
                order = await rig.reindex.order(Asked({}, rollback=True))
                for _ in range(2):  # a job may be done twice
                    await rig.run(order)
                assert await rig.states() == {"old": "live", "new": "retired"}
                assert sorted(world.embedded["old"][before:]) == ["Somebody came late.", "The lantern went out."]
                await whole(rig, "old")
                assert (await rig.find("came late")).passages[0].name == "late.txt"
                assert rig.generations.outdated  # the settings still ask for the other one

        run(main)

    def test_behind_a_restart_its_embedder_is_made_by_its_recipe(
        self, tmp_path: Path, docs: Path, golden: Path
    ) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                await rig.build("new", golden)
            async with life(world, tmp_path / "state", "new") as rig:
                await rig.run(await rig.reindex.order(Asked({}, rollback=True)))
                assert await rig.states() == {"old": "live", "new": "retired"}
                assert (await rig.find("Who painted the lantern?")).passages[0].name == "lantern.txt"

        run(main)

    def test_what_the_clock_hides_is_counted(self, tmp_path: Path, docs: Path, golden: Path) -> None:
        """The clock was set back since the swap: what has changed looks older than it."""
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                await rig.build("new", golden)
                write(docs, {"late.txt": "Somebody came late.\n"})
                await rig.sync(docs)
                await rig.catalog.transaction(
                    lambda db: db.exec_driver_sql("UPDATE documents SET updated_at = '2001-01-01 00:00:00.000000'")
                )
                await rig.run(await rig.reindex.order(Asked({}, rollback=True)))
                await whole(rig, "old")

        run(main)

    def test_without_one_that_is_kept_it_is_refused(self, tmp_path: Path, docs: Path, golden: Path) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                with pytest.raises(GenerationNotFound):
                    await rig.reindex.order(Asked({}, rollback=True))
                await rig.build("new", golden)
                order = await rig.reindex.order(Asked({}, rollback=True))
                await rig.run(Order("drop"))
                with pytest.raises(GenerationNotFound):
                    await rig.run(order)
                assert await rig.states() == {"new": "live"}

        run(main)

    def test_one_whose_embedder_is_gone_is_refused(self, tmp_path: Path, docs: Path, golden: Path) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                await rig.build("new", golden)
            world.gone.add("old")
            async with life(world, tmp_path / "state", "new") as rig:
                with pytest.raises(Exception, match="no such model"):
                    await rig.run(await rig.reindex.order(Asked({}, rollback=True)))
                assert (await rig.find("Who painted the lantern?")).passages[0].name == "lantern.txt"

        run(main)


class TestDrop:
    def test_all_but_the_live_one_go(self, tmp_path: Path, docs: Path, golden: Path) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                await rig.build("new", golden)
                with pytest.raises(GenerationWorse):
                    await rig.build("bad", golden)
                for _ in range(2):
                    await rig.run(Order("drop"))
                assert await rig.states() == {"new": "live"}
                assert len(world.engines) == len(world.vectors) == 1
                assert [model.closed for model in world.models] == [True, False, True]
                assert (await rig.find("Who painted the lantern?")).passages[0].name == "lantern.txt"

        run(main)

    def test_it_waits_for_the_searches_that_began_before_the_swap(
        self, tmp_path: Path, docs: Path, golden: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                old, gate, begun = rig.generations.live, asyncio.Event(), asyncio.Event()
                real = old.embedder.embed_query

                async def slow(text: str) -> Any:
                    begun.set()
                    await gate.wait()
                    return await real(text)

                monkeypatch.setattr(old.embedder, "embed_query", slow)
                asked = asyncio.create_task(rig.find("Who painted the lantern?"))
                await begun.wait()
                monkeypatch.undo()
                await rig.build("new", golden)
                dropping = asyncio.create_task(rig.run(Order("drop")))
                await asyncio.sleep(0.05)
                assert not dropping.done()
                gate.set()
                found = await asked
                assert found.degraded == ()
                assert found.passages[0].name == "lantern.txt"
                await dropping
                assert found.query is not None
                with pytest.raises(EmbedderUnavailable):  # the generator goes on without it
                    await rig.scorer.matches(found.query, found.passages, [[] for _ in found.passages])

        run(main)


class TestStart:
    def test_other_settings_change_nothing_until_a_reindex(self, tmp_path: Path, docs: Path, log: list[Any]) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
            async with life(world, tmp_path / "state", "new") as rig:
                assert rig.generations.outdated
                assert (await rig.find("Who painted the lantern?")).passages[0].name == "lantern.txt"
                write(docs, {"late.txt": "Somebody came late.\n"})
                await rig.sync(docs)
                await whole(rig, "old")
                assert "new" not in world.embedded
                assert [model.closed for model in world.models[1:]] == [True, False]

        run(main)
        assert [entry["event"] for entry in log if entry["log_level"] == "warning"] == ["generation.outdated"]

    def test_an_index_whose_embedder_is_gone_is_refused_and_can_be_replaced(
        self, tmp_path: Path, docs: Path, golden: Path
    ) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
            world.gone.add("old")
            with pytest.raises(GenerationMismatch) as caught:
                async with life(world, tmp_path / "state", "new"):
                    pass
            assert "grounded reindex" in caught.value.next_step
            async with life(world, tmp_path / "state", "new", repair=True) as rig:
                found = await rig.find("Who painted the lantern?")
                assert (found.degraded, found.passages[0].name) == (("embedder",), "lantern.txt")  # by its words
                await rig.build("new", golden)
                assert (await rig.find("Who painted the lantern?")).degraded == ()
            async with life(world, tmp_path / "state", "new") as rig:
                await whole(rig, "new")

        run(main)

    def test_a_configured_model_that_is_not_there_stops_no_service(self, tmp_path: Path, docs: Path) -> None:
        world = World()

        async def main() -> None:
            with pytest.raises(EmbedderUnavailable, match="no such folder"):
                async with life(world, tmp_path / "state", "lost"):
                    pass
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
            async with life(world, tmp_path / "state", "lost") as rig:
                assert rig.generations.outdated
                assert (await rig.find("Who painted the lantern?")).passages[0].name == "lantern.txt"
                with pytest.raises(EmbedderUnavailable, match="no such folder"):
                    await rig.build("lost", force=True)
                assert await rig.states() == {"old": "live"}
            world.gone.add("old")
            for repair in (False, True):
                with pytest.raises(EmbedderUnavailable, match="no such folder"):
                    async with life(world, tmp_path / "state", "lost", repair=repair):
                        pass

        run(main)

    def test_the_same_embedder_from_elsewhere_keeps_what_is_kept(self, tmp_path: Path, docs: Path) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state") as rig:
                await rig.sync(docs)
                await rig.build("new", force=True)
                await rig.rows.remember(
                    rig.generations.live.fingerprint, {}, 0
                )  # as an older release would have left it
            async with life(world, tmp_path / "state", "new") as rig:
                assert await rig.states() == {"old": "retired", "new": "live"}
                assert {row.state: row.recipe for row in await rig.rows.all()}["live"]["model"] == "new"

        run(main)

    def test_an_empty_index_is_that_of_whatever_is_configured(self, tmp_path: Path, docs: Path) -> None:
        world = World()

        async def main() -> None:
            async with life(world, tmp_path / "state"):
                pass
            async with life(world, tmp_path / "state", "new") as rig:
                assert not rig.generations.outdated
                await rig.sync(docs)
                await whole(rig, "new")
            async with life(world, tmp_path / "state", "new") as rig:
                assert await rig.states() == {"new": "live"}
                assert len(world.engines) == 1

        run(main)
