"""A state folder's catalog and vectors, moved into the PostgreSQL that is configured."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from app.errors import StateEmpty, StateNotEmpty
from app.settings import ConfigurationError, Settings
from app.state import StateFolder


@dataclass(frozen=True, slots=True)
class Moved:
    """Rows of the catalog, and vectors of chunks."""

    rows: int
    vectors: int


async def move(settings: Settings, state: StateFolder) -> Moved:
    """Copy all that the folder holds but uploads, which stay files; the folder is owned by the caller and stays as it is.
    The catalog comes last, in one commit, so a move that was cut short is simply made again.

    Raises ConfigurationError, StateEmpty, StateNotEmpty, CatalogUnavailable.
    """
    from ingest.adapters.moving import is_empty
    from ingest.adapters.moving import move as move_rows

    url = settings.database_url.get_secret_value()
    if not url:
        raise ConfigurationError(
            "There is no database to move to.", "Set GROUNDED_DATABASE_URL to an empty PostgreSQL database."
        )
    if not state.catalog.exists():
        raise StateEmpty("There is nothing in the state folder yet.")
    if not await asyncio.to_thread(is_empty, url):
        raise StateNotEmpty("The database holds a catalog already.", "Name an empty database in GROUNDED_DATABASE_URL.")
    vectors = await _vectors(url, state)
    return Moved(await asyncio.to_thread(move_rows, f"sqlite:///{state.catalog}", url), vectors)


async def _vectors(url: str, state: StateFolder) -> int:
    from ingest.adapters.sql_catalog import SqlCatalog
    from retrieval.adapters.sql_vectors import take_over

    async with AsyncExitStack() as closing:
        catalog = await asyncio.to_thread(SqlCatalog, url)
        closing.push_async_callback(catalog.close)
        files = sorted(state.index.glob("*/vectors.sqlite"))
        return sum([await take_over(catalog, file.parent.name, file) for file in files])
