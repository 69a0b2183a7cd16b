"""What `grounded serve` does beside answering."""

import asyncio
import gc
from dataclasses import replace
from pathlib import Path
from weakref import ref

import pytest
import structlog

from app.commands.collecting import look
from app.commands.serve import _spared
from tests.app.serving import fake_embedder, product


def test_what_was_loaded_is_left_out_of_collections(tmp_path: Path) -> None:
    """Once all that stays is there: a service that is still loading would leave out half of it."""

    async def main() -> None:
        async with product(tmp_path, {"a.md": "# A\n\nOtters swim."}) as grounded:
            assert gc.get_freeze_count() == 0
            await _spared(grounded)
            assert gc.get_freeze_count() > 10_000
            assert grounded.models.done()
            assert grounded.upkeep.done()

    try:
        with fake_embedder(), structlog.testing.capture_logs():
            asyncio.run(main())
    finally:
        gc.unfreeze()


def test_names_that_are_learnt_beside_questions_are_left_out_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with product(tmp_path, {"a.md": "# A\n\nOtters swim."}) as grounded:
            learnt = asyncio.Event()

            async def names() -> None:
                await learnt.wait()

            sparing = asyncio.create_task(_spared(replace(grounded, learnt=names)))
            async with asyncio.timeout(60):
                while not gc.get_freeze_count():  # noqa: ASYNC110  nothing tells when
                    await asyncio.sleep(0.01)
                assert not sparing.done()
                learnt.set()
                await sparing

    try:
        with fake_embedder(), structlog.testing.capture_logs():
            asyncio.run(main())
    finally:
        gc.unfreeze()


class Knot:
    """Knows itself, so that only a collection can take it away."""

    def __init__(self) -> None:
        self.me = self


def test_what_came_with_a_crowd_is_set_aside_and_looked_through_when_it_has_gone() -> None:
    """No full collection walks over it meanwhile, and what would not go by itself goes afterwards."""
    gc.collect()
    gc.disable()
    try:
        assert look(5, aside=False) is False
        assert gc.get_freeze_count() == 0
        knot = ref(Knot())
        assert look(1000, aside=False) is True
        assert gc.get_freeze_count() > 10_000
        gc.collect()
        assert knot() is not None
        assert look(100, aside=True) is True
        assert knot() is not None
        assert look(3, aside=True) is False
        assert knot() is None
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.enable()
        gc.unfreeze()
