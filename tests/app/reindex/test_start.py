"""A start with other settings, other models or none."""

from pathlib import Path
from typing import Any

import pytest

from ingest.errors import GenerationMismatch
from retrieval.errors import EmbedderUnavailable
from tests.app.reindex.lives import Lives, first, whole
from tests.app.serving import write

pytestmark = pytest.mark.anyio


class TestStart:
    async def test_other_settings_change_nothing_until_a_reindex(
        self, lives: Lives, docs: Path, log: list[Any]
    ) -> None:
        async with lives.fed():
            pass
        async with lives.begin("new") as rig:
            assert rig.generations.outdated
            assert await first(rig) == "lantern.txt"
            write(docs, {"late.txt": "Somebody came late.\n"})
            await rig.sync(docs)
            await whole(rig, "old")
            assert "new" not in lives.world.embedded
            assert [model.closed for model in lives.world.models[1:]] == [True, False]
        assert [entry["event"] for entry in log if entry["log_level"] == "warning"] == ["generation.outdated"]

    async def test_an_index_whose_embedder_is_gone_is_refused_and_can_be_replaced(
        self, lives: Lives, golden: Path
    ) -> None:
        async with lives.fed():
            pass
        lives.world.gone.add("old")
        with pytest.raises(GenerationMismatch) as caught:
            async with lives.begin("new"):
                pass
        assert "grounded reindex" in caught.value.next_step
        async with lives.begin("new", repair=True) as rig:
            found = await rig.find("Who painted the lantern?")
            assert (found.degraded, found.passages[0].name) == (("embedder",), "lantern.txt")  # by its words
            await rig.build("new", golden)
            assert (await rig.find("Who painted the lantern?")).degraded == ()
        async with lives.begin("new") as rig:
            await whole(rig, "new")

    async def test_a_configured_model_that_is_not_there_stops_no_service(self, lives: Lives) -> None:
        with pytest.raises(EmbedderUnavailable, match="no such folder"):
            async with lives.begin("lost"):
                pass
        async with lives.fed():
            pass
        async with lives.begin("lost") as rig:
            assert rig.generations.outdated
            assert await first(rig) == "lantern.txt"
            with pytest.raises(EmbedderUnavailable, match="no such folder"):
                await rig.build("lost", force=True)
            assert await rig.states() == {"old": "live"}
        lives.world.gone.add("old")
        for repair in (False, True):
            with pytest.raises(EmbedderUnavailable, match="no such folder"):
                async with lives.begin("lost", repair=repair):
                    pass

    async def test_the_same_embedder_from_elsewhere_keeps_what_is_kept(self, lives: Lives) -> None:
        async with lives.fed() as rig:
            await rig.build("new", force=True)
            await rig.rows.remember(rig.generations.live.fingerprint, {}, 0)  # as an older release would have left it
        async with lives.begin("new") as rig:
            assert await rig.states() == {"old": "retired", "new": "live"}
            assert {row.state: row.recipe for row in await rig.rows.all()}["live"]["model"] == "new"

    async def test_an_empty_index_is_that_of_whatever_is_configured(self, lives: Lives, docs: Path) -> None:
        async with lives.begin():
            pass
        async with lives.begin("new") as rig:
            assert not rig.generations.outdated
            await rig.sync(docs)
            await whole(rig, "new")
        async with lives.begin("new") as rig:
            assert await rig.states() == {"new": "live"}
            assert len(lives.world.engines) == 1
