"""What the embedder made, in a SQLite file beside the shard: token vectors for late interaction, dense vectors for the day
when the shard has to be built again. Derived data: it can be made again, at the embedder's price, so it is not in the catalog.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import structlog

from ingest.shielded import shielded
from ingest.storage import is_damage, storage_fault
from retrieval.adapters.vector_rows import connected, is_whole, put_aside, row_crc, salvage
from retrieval.errors import IndexUnavailable
from retrieval.model import Bits, EmbeddedPassage
from retrieval.ports import StoredVectors

T = TypeVar("T")


class SqliteVectorStore:
    """VectorStore on SQLite. One connection, one thread, short calls; reads are primary-key look-ups of about 10 kB."""

    def __init__(self, file: Path, dimension: int) -> None:
        """Opens the file, or creates it. Raises IndexUnavailable, as every call does when the file cannot be used."""
        self._width = dimension // 8  # bytes of one token
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vectors")
        file.parent.mkdir(parents=True, exist_ok=True)
        self._folder, self._file = file.parent, file
        self._closing = threading.Event()
        with _translated(self._folder):
            self._db = _opened(file)

    async def put(self, rows: Sequence[StoredVectors]) -> None:
        values = [_values(row) for row in rows]
        await self._call(self._write, "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?)", values)

    async def embedded(self, digests: Sequence[str]) -> dict[str, EmbeddedPassage]:
        columns = "digest, dense, bits, crc, document_id, min(id)"
        rows = await self._call(self._read, columns, "digest", digests, "GROUP BY digest")
        return {
            digest: EmbeddedPassage(np.frombuffer(dense, np.float32), self._bits(bits))
            for digest, dense, bits, crc, document, i in rows
            if crc == row_crc(i, document, digest, dense, bits)
        }

    async def existing(self, ids: Sequence[str]) -> set[str]:
        return {i for (i,) in await self._call(self._read, "id", "id", ids)}

    async def get(self, ids: Sequence[str]) -> dict[str, Bits]:
        rows = await self._call(self._read, "crc, id, document_id, digest, dense, bits", "id", ids)
        return {row[0]: self._bits(row[-1]) for crc, *row in rows if crc == row_crc(*row)}

    async def delete_document(self, document_id: str, keep: Collection[str]) -> int:
        mine = await self._call(self._read, "id", "document_id", [document_id])
        gone = [(i,) for (i,) in mine if i not in keep]
        await self._call(self._write, "DELETE FROM vectors WHERE id = ?", gone)
        return len(gone)

    async def count(self, document_id: str | None = None) -> int:
        wanted, value = ("1", 1) if document_id is None else ("document_id", document_id)
        rows = await self._call(self._read, "count(*)", wanted, [value])
        return int(rows[0][0])

    async def verify(self) -> bool:
        """Reads all of it, a second for every 100,000 chunks or so, beside other calls; closing ends that."""
        with _translated(self._folder):
            whole = await asyncio.to_thread(is_whole, self._file, self._closing)
        if not whole:
            await self._call(self._salvage)
        return whole

    async def close(self) -> None:
        self._closing.set()
        await shielded(self._thread, self._db.close)
        self._thread.shutdown()

    async def _call(self, work: Callable[..., T], *arguments: object) -> T:
        return await shielded(self._thread, lambda: work(*arguments))

    def _salvage(self) -> None:
        structlog.get_logger().warning("index.rebuilt", part="vectors", cause="Rows are not what was written.")
        with _translated(self._folder):
            self._db = salvage(self._db, self._file)

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
        return connected(file)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        structlog.get_logger().warning("index.rebuilt", part="vectors", cause=str(error))
        put_aside(file)
        return connected(file)


def _values(row: StoredVectors) -> tuple[object, ...]:
    dense, bits = row.embedded.vector.tobytes(), row.embedded.bits.tobytes()
    return row.id, row.document_id, row.digest, dense, bits, row_crc(row.id, row.document_id, row.digest, dense, bits)


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        message = "The stored vectors cannot be opened, read or written."
        raise storage_fault(error, folder) or IndexUnavailable(message) from error
