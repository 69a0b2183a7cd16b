"""Back to the generation that was kept, and rid of all but the live one."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.errors import GenerationNotFound, GenerationWorse
from app.reindex import Asked, Order
from retrieval.errors import EmbedderUnavailable
from tests.app.reindex.lives import Lives, first, holds_nothing_of, whole
from tests.app.serving import write

pytestmark = pytest.mark.anyio


class TestRollback:
    async def test_it_goes_back_with_all_that_has_changed_since(self, lives: Lives, docs: Path, golden: Path) -> None:
        async with lives.fed() as rig:
            await rig.build("new", golden)
            write(docs, {"late.txt": "Somebody came late.\n", "lantern.txt": "The lantern went out.\n"})
            gone = await rig.document("market.txt")
            (docs / "market.txt").unlink()
            await rig.sync(docs)
            await holds_nothing_of(rig, gone, "old", "new")
            before = len(lives.world.embedded["old"])
            order = await rig.reindex.order(Asked({}, rollback=True))
            for _ in range(2):  # a job may be done twice
                await rig.run(order)
            assert await rig.states() == {"old": "live", "new": "retired"}
            assert sorted(lives.world.embedded["old"][before:]) == ["Somebody came late.", "The lantern went out."]
            await whole(rig, "old")
            assert await first(rig, "came late") == "late.txt"
            assert rig.generations.outdated  # the settings still ask for the other one

    async def test_behind_a_restart_its_embedder_is_made_by_its_recipe(self, lives: Lives, golden: Path) -> None:
        async with lives.fed() as rig:
            await rig.build("new", golden)
        async with lives.begin("new") as rig:
            await rig.run(await rig.reindex.order(Asked({}, rollback=True)))
            assert await rig.states() == {"old": "live", "new": "retired"}
            assert await first(rig) == "lantern.txt"

    async def test_what_the_clock_hides_is_counted(self, lives: Lives, docs: Path, golden: Path) -> None:
        """The clock was set back since the swap: what has changed looks older than it."""
        async with lives.fed() as rig:
            await rig.build("new", golden)
            write(docs, {"late.txt": "Somebody came late.\n"})
            await rig.sync(docs)
            await rig.catalog.transaction(
                lambda db: db.exec_driver_sql("UPDATE documents SET updated_at = '2001-01-01 00:00:00.000000'")
            )
            await rig.run(await rig.reindex.order(Asked({}, rollback=True)))
            await whole(rig, "old")

    async def test_without_one_that_is_kept_it_is_refused(self, lives: Lives, golden: Path) -> None:
        async with lives.fed() as rig:
            with pytest.raises(GenerationNotFound):
                await rig.reindex.order(Asked({}, rollback=True))
            await rig.build("new", golden)
            order = await rig.reindex.order(Asked({}, rollback=True))
            await rig.run(Order("drop"))
            with pytest.raises(GenerationNotFound):
                await rig.run(order)
            assert await rig.states() == {"new": "live"}

    async def test_one_whose_embedder_is_gone_is_refused(self, lives: Lives, golden: Path) -> None:
        async with lives.fed() as rig:
            await rig.build("new", golden)
        lives.world.gone.add("old")
        async with lives.begin("new") as rig:
            with pytest.raises(Exception, match="no such model"):
                await rig.run(await rig.reindex.order(Asked({}, rollback=True)))
            assert await first(rig) == "lantern.txt"


class TestDrop:
    async def test_all_but_the_live_one_go(self, lives: Lives, golden: Path) -> None:
        async with lives.fed() as rig:
            await rig.build("new", golden)
            with pytest.raises(GenerationWorse):
                await rig.build("bad", golden)
            for _ in range(2):
                await rig.run(Order("drop"))
            assert await rig.states() == {"new": "live"}
            assert len(lives.world.engines) == len(lives.world.vectors) == 1
            assert [model.closed for model in lives.world.models] == [True, False, True]
            assert await first(rig) == "lantern.txt"

    async def test_it_waits_for_the_searches_that_began_before_the_swap(
        self, lives: Lives, golden: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with lives.fed() as rig:
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
