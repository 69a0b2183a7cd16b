"""The rows of the file of vectors. Each carries a checksum of all that it says: SQLite keeps none, so a bit that a disk flips
in an id would hide a chunk's vectors, and one in a vector would change a ranking."""

import sqlite3
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from ingest.storage import is_damage

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS vectors (id TEXT PRIMARY KEY, document_id TEXT NOT NULL, digest TEXT NOT NULL,
    dense BLOB NOT NULL, bits BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS ix_document ON vectors (document_id)",
    "CREATE INDEX IF NOT EXISTS ix_digest ON vectors (digest)",
)
_STEPS = 10_000  # of SQLite's machine between two looks at whether to stop; some milliseconds
Row = tuple[Any, ...]  # as in the schema, where no disk changed a type


def row_crc(chunk: str, document: str, digest: str, dense: bytes, bits: bytes) -> int:
    """CRC-32 of what a row says: made for errors of a disk, not against an attacker."""
    return zlib.crc32(bits, zlib.crc32(dense, zlib.crc32(f"{chunk} {document} {digest}".encode())))


def connected(file: Path) -> sqlite3.Connection:
    """Open the file, or make it. Raises sqlite3.Error."""
    db = _connection(file)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        for statement in _SCHEMA:
            db.execute(statement)
    except sqlite3.Error:
        db.close()
        raise
    return db


def is_whole(file: Path, stop: threading.Event) -> bool:
    """Whether every row is what was written, and every look-up finds it. Blocks for as long as reading the file takes, or
    until `stop` is set: what was seen until then was whole. Raises sqlite3.Error when the file cannot be read at all."""
    with closing(_connection(file)) as db:
        db.set_progress_handler(stop.is_set, _STEPS)
        try:
            sound = all(_is_sound(row) for row in _rows(db))
            return sound and db.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
        except sqlite3.Error as error:
            if stop.is_set():
                return True
            if is_damage(error):
                return False
            raise


def salvage(db: sqlite3.Connection, file: Path) -> sqlite3.Connection:
    """Keep the rows that are sound in a new file, and put the old one aside. Closes `db`; what stands for it."""
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    with closing(connected(part)) as fresh, fresh:
        fresh.execute("BEGIN IMMEDIATE")
        fresh.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?)", _sound(db))
    db.close()
    put_aside(file)
    part.replace(file)
    return connected(file)


def sound_rows(file: Path) -> Iterator[Row]:
    """Every row of the file that is what was written, for whoever keeps them elsewhere. Raises sqlite3.Error."""
    with closing(_connection(file)) as db:
        yield from _sound(db)


def put_aside(file: Path) -> None:
    """Move a damaged file, and what SQLite keeps beside it, out of the way."""
    for each in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        if each.exists():
            each.replace(each.with_name(f"{each.name}.damaged"))


def _connection(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    db.text_factory = lambda said: said.decode(errors="replace")  # a damaged id is another id, not an error
    return db


def _sound(db: sqlite3.Connection) -> Iterator[Row]:
    """As far as the file can be read."""
    try:
        yield from filter(_is_sound, _rows(db))
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise


def _rows(db: sqlite3.Connection) -> Iterator[Row]:
    return db.execute("SELECT id, document_id, digest, dense, bits, crc FROM vectors NOT INDEXED")


def _is_sound(row: Row) -> bool:
    return isinstance(row[3], bytes) and isinstance(row[4], bytes) and bool(row[5] == row_crc(*row[:5]))
