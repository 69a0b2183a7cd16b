"""The manual in a state of its own, as `make run` ingests it, behind the real product."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from app.settings import Settings
from app.state import StateFolder
from app.wiring import Grounded, opened
from ingest.run import Request, Summary

HANDBOOK = Path(__file__).parents[1] / "data" / "handbook"


@asynccontextmanager
async def manual(folder: Path) -> AsyncIterator[Grounded]:
    """The product with its state below the folder, every page of the manual ingested."""
    settings = Settings(state=folder / "state")
    state = StateFolder(settings.state)
    with state.owned():
        async with opened(settings, state) as grounded:
            await grounded.ready()
            plan = await grounded.ingest.plan(Request(HANDBOOK))
            async with aclosing(grounded.ingest.run(Request(HANDBOOK), plan, Summary())) as reports:
                wrong = [
                    r.path async for r in reports if r.status != ("skipped" if r.path.endswith(".svg") else "added")
                ]
            assert wrong == []
            yield grounded
