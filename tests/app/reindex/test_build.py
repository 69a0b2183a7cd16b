"""A new generation is built beside the live one, and swapped in where it is no worse."""

import asyncio
import json
from pathlib import Path

import pytest

from app.errors import GenerationWorse, GoldenSetMissing
from app.generations import AskedQuery
from app.reindex import Asked
from ingest.errors import StorageFull
from tests.app.reindex.lives import TOPICS, Lives, first, whole
from tests.app.reindexing import Rig

pytestmark = pytest.mark.anyio


class TestBuild:
    async def test_the_new_index_is_swapped_in_and_the_old_one_kept(self, lives: Lives, golden: Path) -> None:
        async with lives.fed() as rig:
            await rig.build("new", golden)
            assert await rig.states() == {"old": "retired", "new": "live"}
            await whole(rig, "new")
            await whole(rig, "old")
            found = await rig.find("Who painted the lantern?")
            assert found.passages[0].name == "lantern.txt"
            assert sorted(lives.world.embedded["new"]) == sorted(lives.world.embedded["old"])  # each text once
            scores = {row.state: row.scores for row in await rig.rows.all()}
            assert scores["live"]["questions"] == scores["retired"]["questions"] == len(TOPICS)
            assert scores["live"]["hit@10"] == 1
            progress, details = rig.told[-1]
            assert (progress.done, progress.total, progress.unit) == (30, 30, "chunks")
            assert details["embedded"] == 30
            assert not rig.generations.outdated

    async def test_no_question_fails_meanwhile_and_each_is_answered_by_one_generation(
        self, lives: Lives, golden: Path
    ) -> None:
        """Swapped there and back, again and again, under questions; answers are scored by whom they were searched with."""

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

        async with lives.fed() as rig:
            over, seen = asyncio.Event(), set[str]()
            askers = [asyncio.create_task(asking(rig, over, seen)) for _ in range(4)]
            await rig.build("new", golden, dimension=64)
            for _ in range(3):
                await rig.run(await rig.reindex.order(Asked({}, rollback=True)))
            over.set()
            asked = await asyncio.gather(*askers)
            assert min(asked) > 0
            assert len(seen) == 2

    async def test_the_embedder_that_is_live_already_has_nothing_to_do(self, lives: Lives) -> None:
        async with lives.fed() as rig:
            await rig.build("old")
            assert await rig.states() == {"old": "live"}
            assert [model.closed for model in lives.world.models] == [False, True]

    async def test_a_worse_index_is_refused_and_can_be_forced(self, lives: Lives, golden: Path) -> None:
        async with lives.fed() as rig:
            with pytest.raises(GenerationWorse, match="10 golden questions"):
                await rig.build("bad", golden)
            assert await rig.states() == {"old": "live", "bad": "ready"}
            scores = {row.state: row.scores["ndcg@10"] for row in await rig.rows.all()}
            assert scores["ready"] < scores["live"] - 0.01
            assert await first(rig) == "lantern.txt"
            assert lives.world.models[-1].closed
            before = len(lives.world.embedded["bad"])
            await rig.build("bad", golden, force=True)
            assert await rig.states() == {"old": "retired", "bad": "live"}
            assert len(lives.world.embedded["bad"]) == before  # nothing was made twice

    @pytest.mark.parametrize("rows", [None, [{"question": "Elsewhere?", "file": "nowhere.md"}]])
    async def test_without_a_golden_set_nothing_is_begun(
        self, lives: Lives, tmp_path: Path, rows: list[dict[str, str]] | None
    ) -> None:
        path = tmp_path / "golden.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows or ()))

        async with lives.fed() as rig:
            with pytest.raises(GoldenSetMissing):
                await rig.build("new", path if rows else None)
            assert await rig.states() == {"old": "live"}
            assert len(lives.world.engines) == 1
            await rig.build("new", force=True)
            assert await rig.states() == {"old": "retired", "new": "live"}

    async def test_the_next_one_that_passes_takes_the_place_of_the_one_that_was_kept(
        self, lives: Lives, golden: Path
    ) -> None:
        async with lives.fed() as rig:
            await rig.build("new", golden)
            await rig.build("newer", golden)
            assert await rig.states() == {"new": "retired", "newer": "live"}
            assert len(lives.world.engines) == len(lives.world.vectors) == 2
            assert [model.closed for model in lives.world.models] == [True, False, False]

    async def test_an_unfinished_one_makes_place_for_another(self, lives: Lives, golden: Path) -> None:
        async with lives.fed() as rig:
            with pytest.raises(GenerationWorse):
                await rig.build("bad", golden)
            await rig.build("new", golden)
            assert await rig.states() == {"old": "retired", "new": "live"}

    async def test_a_full_disk_is_met_before_anything_is_written(
        self, lives: Lives, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise StorageFull("There is no room.")

        async with lives.fed() as rig:
            monkeypatch.setattr("app.reindex.check_room", full)
            with pytest.raises(StorageFull):
                await rig.build("new", force=True)
            monkeypatch.undo()
            assert await rig.states() == {"old": "live", "new": "building"}
            await rig.build("new", force=True)
            await whole(rig, "new")
