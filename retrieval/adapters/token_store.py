"""Token vectors in a SQLite file beside the shard. Derived data: it can be made again, so it is not in the catalog."""

import asyncio
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ingest.errors import StorageFull
from retrieval.errors import IndexUnavailable
from retrieval.model import Bits


class SqliteTokenVectors:
    """TokenVectors on SQLite. One connection, short calls, a lock; reads are primary-key look-ups of about 10 kB."""

    def __init__(self, file: Path, dimension: int) -> None:
        """Opens the file, or creates it. Raises IndexUnavailable, as every call does when the file cannot be used."""
        self._width = dimension // 8  # bytes of one token
        self._lock = threading.Lock()
        file.parent.mkdir(parents=True, exist_ok=True)
        with _translated():
            self._db = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS token_vectors (id TEXT PRIMARY KEY, bits BLOB NOT NULL) WITHOUT ROWID"
            )

    async def put(self, bits: Mapping[str, Bits]) -> None:
        rows = [(i, b.tobytes()) for i, b in bits.items()]
        await asyncio.to_thread(self._write, "INSERT OR REPLACE INTO token_vectors VALUES (?, ?)", rows)

    async def get(self, ids: Sequence[str]) -> dict[str, Bits]:
        return await asyncio.to_thread(self._read, ids)

    async def delete(self, ids: Collection[str]) -> None:
        await asyncio.to_thread(self._write, "DELETE FROM token_vectors WHERE id = ?", [(i,) for i in ids])

    async def close(self) -> None:
        with self._lock:
            self._db.close()

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self._lock, _translated(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(statement, rows)

    def _read(self, ids: Sequence[str]) -> dict[str, Bits]:
        marks = ",".join("?" * len(ids))
        with self._lock, _translated():
            rows = self._db.execute(
                f"SELECT id, bits FROM token_vectors WHERE id IN ({marks})",  # noqa: S608  only question marks are put in
                list(ids),
            ).fetchall()
        return {i: np.frombuffer(blob, np.uint8).reshape(-1, self._width) for i, blob in rows}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if "full" in str(error):
            raise StorageFull("The disk that holds the state folder is full.") from error
        raise IndexUnavailable("The stored token vectors cannot be opened, read or written.") from error
