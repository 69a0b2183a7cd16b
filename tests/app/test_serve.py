"""What `grounded serve` does beside answering."""

import asyncio
import gc
from pathlib import Path

import structlog

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
