"""What the embedder made, in a SQLite file beside the shard: token vectors for late interaction, dense vectors for the day
when the shard has to be built again. Derived data: it can be made again, at the embedder's price, so it is not in the catalog.
"""

import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import structlog

from ingest.shielded import shielded
from ingest.storage import is_damage, storage_fault
from retrieval.errors import IndexUnavailable
from retrieval.model import Bits, EmbeddedPassage
from retrieval.ports import StoredVectors

T = TypeVar("T")
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS vectors (id TEXT PRIMARY KEY, document_id TEXT NOT NULL, digest TEXT NOT NULL,
    dense BLOB NOT NULL, bits BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS ix_document ON vectors (document_id)",
    "CREATE INDEX IF NOT EXISTS ix_digest ON vectors (digest)",
)


class SqliteVectorStore:
    """VectorStore on SQLite. One connection, one thread, short calls; reads are primary-key look-ups of about 10 kB."""

    def __init__(self, file: Path, dimension: int) -> None:
        """Opens the file, or creates it. Raises IndexUnavailable, as every call does when the file cannot be used."""
        self._width = dimension // 8  # bytes of one token
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vectors")
        file.parent.mkdir(parents=True, exist_ok=True)
        self._folder = file.parent
        with _translated(self._folder):
            self._db = _opened(file)

    async def put(self, rows: Sequence[StoredVectors]) -> None:
        values = [_values(row) for row in rows]
        await self._call(self._write, "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?)", values)

    async def embedded(self, digests: Sequence[str]) -> dict[str, EmbeddedPassage]:
        columns = "digest, dense, bits, crc, min(id)"
        rows = await self._call(self._read, columns, "digest", digests, "GROUP BY digest")
        return {
            digest: EmbeddedPassage(np.frombuffer(dense, np.float32), self._bits(bits))
            for digest, dense, bits, crc, _ in rows
            if crc == _crc(dense, bits)
        }

    async def existing(self, ids: Sequence[str]) -> set[str]:
        return {i for (i,) in await self._call(self._read, "id", "id", ids)}

    async def get(self, ids: Sequence[str]) -> dict[str, Bits]:
        rows = await self._call(self._read, "id, dense, bits, crc", "id", ids)
        return {i: self._bits(bits) for i, dense, bits, crc in rows if crc == _crc(dense, bits)}

    async def delete_document(self, document_id: str, keep: Collection[str]) -> int:
        mine = await self._call(self._read, "id", "document_id", [document_id])
        gone = [(i,) for (i,) in mine if i not in keep]
        await self._call(self._write, "DELETE FROM vectors WHERE id = ?", gone)
        return len(gone)

    async def count(self, document_id: str | None = None) -> int:
        wanted, value = ("1", 1) if document_id is None else ("document_id", document_id)
        rows = await self._call(self._read, "count(*)", wanted, [value])
        return int(rows[0][0])

    async def close(self) -> None:
        await shielded(self._thread, self._db.close)
        self._thread.shutdown()

    async def _call(self, work: Callable[..., T], *arguments: object) -> T:
        return await shielded(self._thread, lambda: work(*arguments))

    def _bits(self, blob: bytes) -> Bits:
        return np.frombuffer(blob, np.uint8).reshape(-1, self._width)

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with _translated(self._folder), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(statement, rows)

    def _read(self, columns: str, wanted: str, values: Sequence[object], behind: str = "") -> list[tuple[Any, ...]]:
        """Rows whose column `wanted` is one of the values; column names are ours, values are put in for marks."""
        marks = ",".join("?" * len(values))
        statement = f"SELECT {columns} FROM vectors WHERE {wanted} IN ({marks}) {behind}"  # noqa: S608
        with _translated(self._folder):
            return self._db.execute(statement, list(values)).fetchall()


def _opened(file: Path) -> sqlite3.Connection:
    """A file that is damaged is moved aside: what it held is made again."""
    try:
        return _connected(file)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        structlog.get_logger().warning("index.rebuilt", part="vectors", cause=str(error))
        for each in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
            if each.exists():
                each.replace(each.with_name(f"{each.name}.damaged"))
        return _connected(file)


def _connected(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        for statement in _SCHEMA:
            db.execute(statement)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _values(row: StoredVectors) -> tuple[object, ...]:
    dense, bits = row.embedded.vector.tobytes(), row.embedded.bits.tobytes()
    return row.id, row.document_id, row.digest, dense, bits, _crc(dense, bits)


def _crc(dense: bytes, bits: bytes) -> int:
    return zlib.crc32(bits, zlib.crc32(dense))


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        message = "The stored vectors cannot be opened, read or written."
        raise storage_fault(error, folder) or IndexUnavailable(message) from error
