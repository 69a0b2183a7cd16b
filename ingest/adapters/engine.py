"""The database of the catalog: a file of SQLite with one writer, or PostgreSQL, which several processes share.

On PostgreSQL every transaction is serializable, as on SQLite, where there is one writer: what is read before a write still
holds when it is written. Where two cannot both have come first, PostgreSQL ends one of them, and it is run again.
"""

import json
import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from ingest.errors import CatalogUnavailable

T = TypeVar("T")
_BUSY_MS = 5000
_CONNECT_S = 5
_POOLED = 5  # connections of one process; as many calls run at a time
_TRIES = 20
_PAUSE_S = 0.002  # at most before the second try; twice as long before each further one, up to _LONGEST_S
_LONGEST_S = 0.25
# Not serializable, a deadlock, and the key that a transaction has made which ended a moment ago.
_AGAIN = frozenset(("40001", "40P01", "23505"))
# A machine that is gone without a word is missed after some ten seconds, by its server as by its client, so that its
# locks are free; a transaction that waits for nobody holds them for half a minute.
_SESSION = (
    "-c timezone=UTC -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 "
    "-c idle_in_transaction_session_timeout=30000"
)
_KEPT_ALIVE = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}


def engine_of(url: str) -> Engine:
    """The engine of an address. Connects to nothing yet. Raises CatalogUnavailable for an address of neither kind."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    return _postgresql(parsed)


def jobs_engine_of(url: str) -> Engine:
    """On PostgreSQL, for the runner of jobs, whose statements are made for the isolation that is usual there."""
    return create_engine(
        postgresql_url(url), pool_size=_POOLED, max_overflow=_POOLED, pool_pre_ping=True, connect_args=postgresql_args()
    )


def postgresql_args() -> dict[str, Any]:
    """How a connection to PostgreSQL is opened, whoever opens it."""
    return {"connect_timeout": _CONNECT_S, "application_name": "grounded", "options": _SESSION, **_KEPT_ALIVE}


def postgresql_url(url: str) -> URL:
    """With the driver that is installed. Raises CatalogUnavailable."""
    return _parsed(url).set(drivername="postgresql+psycopg")


def run_again(engine: Engine, work: Callable[[Connection], T]) -> T:
    """The work in one transaction; once more, from its beginning, where another came in between. So it may be run several
    times, and does nothing but read and write. Raises what the work and the database raise."""
    tries = 1 if engine.dialect.name == "sqlite" else _TRIES
    for attempt in range(1, tries):
        try:
            return _once(engine, work)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _AGAIN:
                raise
        most = min(_PAUSE_S * 2**attempt, _LONGEST_S)
        time.sleep(secrets.SystemRandom().uniform(0, most))  # not all of them at the same moment again
    return _once(engine, work)


def _once(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as db:
        return work(db)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.drivername.partition("+")[0] not in ("sqlite", "postgresql", "postgres"):
        raise CatalogUnavailable(
            "The address of the database is none of SQLite or PostgreSQL.",
            "Write it as postgresql://user:password@host:5432/name.",
        )
    return parsed.set(drivername="postgresql") if parsed.drivername == "postgres" else parsed


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, json_serializer=_json, json_deserializer=orjson.loads)
    event.listen(engine, "connect", _durable)
    return engine


def _postgresql(url: URL) -> Engine:
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="SERIALIZABLE",
        pool_size=_POOLED,
        max_overflow=1,
        pool_pre_ping=True,  # a server that was started anew has forgotten its connections
        connect_args=postgresql_args(),
        json_serializer=_json,
        json_deserializer=orjson.loads,
    )


def _json(value: Any) -> str:
    """In a tenth of the time that the standard library takes, which writes what is no Unicode all the same."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value)


def _durable(connection: Any, _record: Any) -> None:
    """All of these belong to a connection, so each new one gets them."""
    settings = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
    for pragma in (*settings, f"busy_timeout={_BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}")
