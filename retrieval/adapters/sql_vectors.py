"""What the embedder made, in the PostgreSQL of the catalog: there every replica finds what any of them has embedded.

A table of its own, made when it is first needed and in no migration: it holds derived data, which a new form would make
again. Rows of one generation of the index are told apart by its name.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from sqlalchemy import (
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.schema import CreateIndex, CreateTable

from retrieval.adapters.vector_rows import sound_rows
from retrieval.errors import IndexUnavailable
from retrieval.model import Bits, EmbeddedPassage
from retrieval.ports import StoredVectors

T = TypeVar("T")
_KEY = 0x67726F756E647631  # of the lock under which the table is made
_PAGE = 500  # rows of some 10 kB
_AT_ONCE = 5000  # values in one statement; PostgreSQL takes 65,535

passage_vectors = Table(
    "passage_vectors",
    MetaData(),
    Column("generation", String(64), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("document_id", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("dense", LargeBinary, nullable=False),
    Column("bits", LargeBinary, nullable=False),
)
_INDEXES = (
    Index("ix_passage_vectors_document", passage_vectors.c.generation, passage_vectors.c.document_id),
    Index("ix_passage_vectors_digest", passage_vectors.c.generation, passage_vectors.c.digest),
)
c = passage_vectors.c


class Transactions(Protocol):
    """Whoever owns the database."""

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run the work in one transaction. Raises CatalogUnavailable."""
        ...


async def prepare(database: Transactions) -> None:
    """The table is there when this returns."""
    await database.transaction(_made)


async def remove(database: Transactions, generation: str) -> None:
    """All vectors of a generation."""
    await prepare(database)
    await database.transaction(lambda db: db.execute(delete(passage_vectors).where(c.generation == generation)))


async def take_over(database: Transactions, generation: str, file: Path) -> int:
    """Copy the rows of a file of SQLite that has stood beside a shard; how many. Those that are damaged are left out, and
    made again. Raises IndexUnavailable."""
    await prepare(database)
    count, rows = 0, sound_rows(file)
    try:
        while page := await asyncio.to_thread(lambda: list(islice(rows, _PAGE))):
            names = ("id", "document_id", "digest", "dense", "bits")
            values: list[Mapping[str, Any]] = [
                {"generation": generation, **dict(zip(names, row, strict=False))} for row in page
            ]
            await database.transaction(partial(_put, values))
            count += len(values)
    except sqlite3.Error as error:
        raise IndexUnavailable("The stored vectors cannot be read.") from error
    return count


def _put(values: list[Mapping[str, Any]], db: Connection) -> None:
    added = insert(passage_vectors)
    change = {name: added.excluded[name] for name in ("document_id", "digest", "dense", "bits")}
    db.execute(added.on_conflict_do_update(index_elements=[c.generation, c.id], set_=change), values)


class SqlVectorStore:
    """VectorStore on PostgreSQL, of one generation."""

    def __init__(self, database: Transactions, generation: str, dimension: int) -> None:
        self._database = database
        self._generation = generation
        self._width = dimension // 8  # bytes of one token

    async def put(self, rows: Sequence[StoredVectors]) -> None:
        values = list({row.id: self._values(row) for row in rows}.values())
        if not values:
            return
        await self._database.transaction(partial(_put, values))

    async def embedded(self, digests: Sequence[str]) -> dict[str, EmbeddedPassage]:
        asked = select(c.digest, c.dense, c.bits).ext(distinct_on(c.digest)).order_by(c.digest, c.id)
        rows = await self._read(lambda some: asked.where(c.generation == self._generation, c.digest.in_(some)), digests)
        return {row.digest: EmbeddedPassage(np.frombuffer(row.dense, np.float32), self._bits(row.bits)) for row in rows}

    async def existing(self, ids: Sequence[str]) -> set[str]:
        rows = await self._read(lambda some: select(c.id).where(c.generation == self._generation, c.id.in_(some)), ids)
        return {row.id for row in rows}

    async def get(self, ids: Sequence[str]) -> dict[str, Bits]:
        asked = select(c.id, c.bits)
        rows = await self._read(lambda some: asked.where(c.generation == self._generation, c.id.in_(some)), ids)
        return {row.id: self._bits(row.bits) for row in rows}

    async def delete_document(self, document_id: str, keep: Collection[str]) -> int:
        def gone(db: Connection) -> int:
            mine = c.generation == self._generation, c.document_id == document_id
            ids = [i for i in db.execute(select(c.id).where(*mine)).scalars() if i not in keep]
            for some in _slices(ids):
                db.execute(delete(passage_vectors).where(c.generation == self._generation, c.id.in_(some)))
            return len(ids)

        return await self._database.transaction(gone)

    async def count(self, document_id: str | None = None) -> int:
        asked = select(func.count()).select_from(passage_vectors).where(c.generation == self._generation)
        if document_id is not None:
            asked = asked.where(c.document_id == document_id)
        return await self._database.transaction(lambda db: int(db.execute(asked).scalar_one()))

    async def verify(self) -> bool:
        """PostgreSQL looks after its pages itself, where it was made with checksums."""
        return True

    async def close(self) -> None:
        """The database is the catalog's to close."""

    async def _read(self, asked: Callable[[Sequence[str]], Any], values: Sequence[str]) -> list[Any]:
        def read(db: Connection) -> list[Any]:
            return [row for some in _slices(list(dict.fromkeys(values))) for row in db.execute(asked(some))]

        return await self._database.transaction(read) if values else []

    def _values(self, row: StoredVectors) -> Mapping[str, Any]:
        return {
            "generation": self._generation,
            "id": row.id,
            "document_id": row.document_id,
            "digest": row.digest,
            "dense": row.embedded.vector.tobytes(),
            "bits": row.embedded.bits.tobytes(),
        }

    def _bits(self, blob: bytes) -> Bits:
        return np.frombuffer(blob, np.uint8).reshape(-1, self._width)


def _made(db: Connection) -> None:
    if db.execute(text("SELECT to_regclass('passage_vectors')")).scalar() is not None:
        return
    db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _KEY})
    db.execute(CreateTable(passage_vectors, if_not_exists=True))
    for index in _INDEXES:
        db.execute(CreateIndex(index, if_not_exists=True))


def _slices(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[at : at + _AT_ONCE] for at in range(0, len(values), _AT_ONCE)]
