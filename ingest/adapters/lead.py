"""Which of the processes that share a PostgreSQL does what one alone may do: jobs, webhooks, mending the index.

It is whoever holds an advisory lock. The lock belongs to a connection, so it is free as soon as its holder is gone, however
that went, and whoever asks next has it.
"""

from concurrent.futures import ThreadPoolExecutor

import structlog
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from ingest.adapters.engine import postgresql_args, postgresql_url
from ingest.shielded import shielded

_KEY = 0x67726F756E646564  # "grounded" in ASCII; PostgreSQL keeps such locks apart by database
_log = structlog.get_logger()


class PostgresLead:
    """The lead over all processes on one database. `held` is what the last call of `hold` found."""

    every_s = 1.0  # how often it is to be asked for: so long does nobody lead after a leader's end

    def __init__(self, url: str) -> None:
        """Connects to nothing yet."""
        self.held = False
        self._engine: Engine = create_engine(
            postgresql_url(url), poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=postgresql_args()
        )
        self._db: Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lead")
        self._closed = False

    async def hold(self) -> bool:
        """Take the lead if it is free; whether we have it. A database that does not answer leaves nobody the lead."""
        if not self._closed:
            before, self.held = self.held, await shielded(self._thread, self._hold)
            if self.held != before:
                _log.info("lead.taken" if self.held else "lead.lost")
        return self.held

    async def close(self) -> None:
        """Let it go."""
        if not self._closed:
            self._closed = True
            self.held = False
            await shielded(self._thread, self._drop)
            self._thread.shutdown()

    def _hold(self) -> bool:
        try:
            if self._db is None:
                self._db = self._engine.connect()
            if self.held:  # as long as this connection lives, so does its lock
                return self._db.execute(text("SELECT 1")).scalar() == 1
            return bool(self._db.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _KEY}).scalar())
        except SQLAlchemyError:
            self._drop()
            return False

    def _drop(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.invalidate()
            db.close()
