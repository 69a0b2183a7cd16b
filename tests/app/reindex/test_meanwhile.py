"""What changes while a generation is built is in it, and what goes is in neither."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from app.generations import GenerationIndex
from ingest.metadata import Metadata
from tests.app.reindex.lives import Lives, holds_nothing_of, whole
from tests.app.reindexing import SCOPE, Rig
from tests.app.serving import write

pytestmark = pytest.mark.anyio


class TestMeanwhile:
    @staticmethod
    async def building(rig: Rig, golden: Path | None = None) -> "asyncio.Task[None]":
        """A build that stands in the middle of its first texts."""
        rig.world.held.add("new")
        task = asyncio.create_task(rig.build("new", golden, force=golden is None))
        await rig.world.waiting.wait()
        return task

    async def test_a_document_that_is_deleted_is_in_neither(self, lives: Lives) -> None:
        async with lives.fed() as rig:
            gone = await rig.document("lantern.txt")
            task = await self.building(rig)
            deletion = asyncio.create_task(rig.ingest.remove(gone))
            while await rig.catalog.document(gone) is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # hidden at once, whatever is being copied
            assert not deletion.done()
            lives.world.gate.set()
            await deletion
            receipt = await rig.catalog.receipt(gone)
            assert receipt is not None
            assert {place.left for place in receipt.places.values()} == {0}
            await task
            await holds_nothing_of(rig, gone, "old", "new")
            await whole(rig, "new")

    async def test_a_document_that_changes_is_in_it_in_its_new_version_alone(self, lives: Lives, docs: Path) -> None:
        async with lives.fed() as rig:
            task = await self.building(rig)
            write(docs, {"lantern.txt": "The lantern went out.\n", "new.txt": "A new one came.\n"})
            (docs / "market.txt").unlink()
            sync = asyncio.create_task(rig.sync(docs))
            while (await rig.find("The lantern went out")).passages[0].text != "The lantern went out.":  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # an ingest does not wait for a reindex
            lives.world.gate.set()
            await sync
            await task
            await whole(rig, "new")
            await whole(rig, "old")
            assert (await rig.find("went out")).passages[0].text == "The lantern went out."

    async def test_a_swap_waits_for_the_run_that_is_in_its_middle(self, lives: Lives, docs: Path) -> None:
        async with lives.fed() as rig:
            write(docs, {"late.txt": "Somebody came late.\n"})
            lives.world.held.add("old")
            sync = asyncio.create_task(rig.sync(docs))
            await lives.world.waiting.wait()
            task = asyncio.create_task(rig.build("new", force=True))
            await asyncio.sleep(0.2)
            assert (await rig.states())["old"] == "live"
            lives.world.gate.set()
            await sync
            await task
            await whole(rig, "new")
            assert len(await rig.live_ids()) == 31

    async def test_what_filters_ask_of_a_chunk_is_as_it_is_now(self, lives: Lives) -> None:
        async with lives.fed() as rig:
            await rig.build("new", force=True)
            await self._tagged_anew(rig)
            for model in ("old", "new"):
                assert {p.payload["tags"][0] for p in rig.engine(model).points.values()} == {"late"}  # type: ignore[index]

    @staticmethod
    async def _tagged_anew(rig: Rig) -> None:
        """The same chunks with another tag, as a changed rule gives them."""
        for row in await rig.catalog.documents(SCOPE.collection_id, 100):
            stored = await rig.catalog.stored(row.id)
            assert stored is not None
            tagged = replace(stored, document=replace(stored.document, metadata=Metadata(tags=("late",))))
            await GenerationIndex(rig.generations).put([tagged])
