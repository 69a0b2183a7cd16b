"""A state folder in one file, taken while the service runs, and back into an empty folder.

It holds the catalog, what the embedder made, and uploaded files; the engine's shard is not in it, since it is filled from
these two. Both databases are copied by SQLite itself, so each copy is one moment's; a backup whose catalog names a chunk
that the vectors lack (it was deleted in between) is taken again.
"""

import hashlib
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import orjson

from app.errors import BackupDamaged, FileExists, StateEmpty, StateNotEmpty
from app.state import StateFolder

FORMAT = 1
_MANIFEST = "manifest.json"
_TRIES = 5
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the backup; `name` is its path below the state folder."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. `to_embed` counts chunks whose vectors are not in it."""

    format: int
    product: str
    created_at: str
    documents: int
    chunks: int
    to_embed: int
    members: tuple[Member, ...]


def backup(state: StateFolder, file: Path, *, force: bool = False) -> Manifest:
    """Write the backup; whole under its name, or not at all. Raises StateEmpty, FileExists."""
    if not state.catalog.exists():
        raise StateEmpty("There is nothing in the state folder yet.")
    if file.exists() and not force:
        raise FileExists(f"There is a file {file.name!r} already.")
    with tempfile.TemporaryDirectory(prefix=".grounded-backup-", dir=file.absolute().parent) as work:
        copies = Path(work) / "state"
        counts = _copied(state, copies)
        members = tuple(_member(path, copies) for path in _files(copies))
        manifest = Manifest(FORMAT, version("grounded-qa"), datetime.now(UTC).isoformat(), *counts, members)
        packed = Path(work) / file.name
        _pack(copies, manifest, packed)
        packed.replace(file)
    _synced(file.absolute().parent)
    return manifest


def restore(file: Path, state: StateFolder) -> Manifest:
    """Put a backup into a state folder that the caller owns and that holds none. Nothing is put there before all of it has
    been read and compared; the catalog comes last, so a restore that is cut short is simply run again.

    Raises StateNotEmpty, BackupDamaged.
    """
    if state.catalog.exists():
        raise StateNotEmpty("The state folder holds a catalog already.")
    with tempfile.TemporaryDirectory(prefix="restoring-", dir=state.root) as work:
        manifest = _unpacked(file, Path(work))
        names = sorted((member.name for member in manifest.members), key=lambda name: name == state.catalog.name)
        for name in names:
            target = state.root / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (Path(work) / name).replace(target)
            _synced(target.parent)
    return manifest


def read_manifest(file: Path) -> Manifest:
    """What a backup says of itself. Raises BackupDamaged."""
    with _opened(file) as archive:
        return _manifest(archive)


def _copied(state: StateFolder, copies: Path) -> tuple[int, int, int]:
    """Documents, chunks, and chunks whose vectors are missing in the copy."""
    for _ in range(_TRIES):
        _copy_database(state.catalog, copies / state.catalog.name)
        stores = [path for path in state.index.glob("*/vectors.sqlite") if path.is_file()]
        for store in stores:
            _copy_database(store, copies / store.relative_to(state.root))
        counts = _counts(copies / state.catalog.name, [copies / store.relative_to(state.root) for store in stores])
        if counts[-1] == 0:
            break
    for path in _files(state.uploads) if state.uploads.is_dir() else ():
        _copy_file(path, copies / path.relative_to(state.root))
    return counts


def _copy_database(source: Path, target: Path) -> None:
    """One moment of a database that others may be writing to."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it


def _counts(catalog: Path, stores: list[Path]) -> tuple[int, int, int]:
    with closing(sqlite3.connect(catalog)) as db:
        documents = db.execute("SELECT count(*) FROM documents WHERE live_version IS NOT NULL").fetchone()[0]
        live = {row[0] for row in db.execute(_LIVE_CHUNKS)}
    kept: set[str] = set()
    for store in stores:
        with closing(sqlite3.connect(store)) as db:
            kept |= {row[0] for row in db.execute("SELECT id FROM vectors")}
    return documents, len(live), len(live - kept)


_LIVE_CHUNKS = """SELECT c.id FROM chunks c JOIN documents d ON d.id = c.document_id AND d.live_version = c.version"""


def _copy_file(source: Path, target: Path) -> None:
    """A file that goes while we look was deleted: it is left out."""
    try:
        data = source.read_bytes()
    except FileNotFoundError:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def _pack(copies: Path, manifest: Manifest, packed: Path) -> None:
    with tarfile.open(packed, "w") as archive:
        head = copies.parent / _MANIFEST
        head.write_bytes(orjson.dumps(asdict(manifest)))
        archive.add(head, _MANIFEST, recursive=False)
        for member in manifest.members:
            archive.add(copies / member.name, member.name, recursive=False)
    with packed.open("rb") as file:
        os.fsync(file.fileno())


def _unpacked(file: Path, into: Path) -> Manifest:
    with _opened(file) as archive:
        manifest = _manifest(archive)
        for member in manifest.members:
            _extract(archive, member, into)
    return manifest


def _extract(archive: tarfile.TarFile, member: Member, into: Path) -> None:
    name = PurePosixPath(member.name)
    try:
        source = archive.extractfile(member.name)
    except (KeyError, tarfile.TarError, OSError) as error:
        raise BackupDamaged(f"The backup lacks {member.name!r}.") from error
    if source is None or name.is_absolute() or ".." in name.parts:
        raise BackupDamaged(f"The backup holds something strange under {member.name!r}.")
    target = into / name
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source, target.open("wb") as out:
        while block := source.read(_BLOCK):
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != member.sha256:
        raise BackupDamaged(f"{member.name!r} in the backup is not what was written.")


def _manifest(archive: tarfile.TarFile) -> Manifest:
    try:
        first = archive.next()
        source = archive.extractfile(first) if first is not None and first.name == _MANIFEST else None
        found = orjson.loads(source.read()) if source is not None else {}
        members = tuple(Member(**member) for member in found.pop("members"))
        manifest = Manifest(**found, members=members)
    except (tarfile.TarError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupDamaged("The file is not a backup, or its beginning is damaged.") from error
    if manifest.format > FORMAT:
        raise BackupDamaged(f"The backup was made by a newer release ({manifest.product}).")
    return manifest


def _opened(file: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(file, "r:")
    except (tarfile.TarError, OSError) as error:
        raise BackupDamaged("The file cannot be read as a backup.") from error


def _member(path: Path, root: Path) -> Member:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Member(path.relative_to(root).as_posix(), path.stat().st_size, digest)


def _files(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())


def _synced(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
