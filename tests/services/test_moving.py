"""A state folder's catalog and vectors, moved into PostgreSQL: what was answered before is answered there."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.errors import StateEmpty, StateNotEmpty
from app.keys.model import new_key
from app.settings import ConfigurationError
from app.state import StateFolder
from app.wiring_keys import key_store
from app.wiring_move import move
from tests.app.serving import answer, fake_embedder, product, settings_for
from tests.fake_qdrant import fake_qdrant
from tests.fakes import FakeEmbedder

pytestmark = pytest.mark.services
FILES: dict[str, str | bytes] = {
    "mill.md": "# Mill\n\nThe windmill was built in 1712 by Ada Miller.\n",
    "otter.md": "# Otters\n\nOtters sleep in the water and hold hands.\n",
}
ASKED = "When was the windmill built?"


def quoted(events: list[Any]) -> str:
    return "".join(getattr(event, "text", "") for event in events)


def test_everything_is_there_and_nothing_is_embedded_again(database_url: str, tmp_path: Path) -> None:
    key, _ = new_key(name="a", tenant="default", scopes=["ask"], groups=None, collections=None, expires_at=None)
    state = StateFolder(tmp_path / "state")

    async def before() -> tuple[str, tuple[int, int]]:
        async with product(tmp_path, FILES, database_url="") as grounded:
            said, counted = quoted(await answer(grounded, ASKED)), await grounded.catalog.count_live()
        async with key_store(state) as store:
            await store.add(key)
        return said, counted

    async def after(qdrant: str) -> tuple[str, tuple[int, int]]:
        settings = settings_for(state.root, database_url=database_url)
        moved = await move(settings, state)
        assert moved.rows > 0
        assert moved.vectors == 2
        async with key_store(state, settings.database_url) as store:
            assert [one.id for one in await store.all()] == [key.id]
        with pytest.raises(StateNotEmpty):
            await move(settings, state)
        index = {"engine": "qdrant_server", "url": qdrant, "grpc": False, "timeout_s": 60, "write_timeout_s": 600}
        async with product(tmp_path, database_url=database_url, index=index) as grounded:
            await grounded.settled()
            return quoted(await answer(grounded, ASKED)), await grounded.catalog.count_live()

    with ExitStack() as closing:
        closing.enter_context(fake_embedder())
        said = asyncio.run(before())
        assert "1712" in said[0]
        embedder = FakeEmbedder()
        closing.enter_context(fake_embedder(embedder))
        qdrant = closing.enter_context(fake_qdrant())
        assert asyncio.run(after(qdrant.url)) == said
        assert embedder.embedded == []


def test_a_folder_without_a_catalog_and_a_missing_database_are_told(database_url: str, tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    with pytest.raises(StateEmpty):
        asyncio.run(move(settings_for(state.root, database_url=database_url), state))
    with pytest.raises(ConfigurationError, match="no database"):
        asyncio.run(move(settings_for(state.root, database_url=""), state))
