"""Uploaded files: kept below the state folder, one folder a collection, written so that what was acknowledged is on disk.

A file's name there is the name it was sent with, made safe; the same name again replaces it, and its document with it.
Files with labels lie on a shelf of their own for each set of labels: where a file is says who may read it, so it is never
there without its labels, and whoever replaces it holds them.
What was sent along (metadata, URL) lies beside it under a hidden name, which no scan of the folder sees.
"""

import asyncio
import errno
import hashlib
import os
import re
import shutil
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from secrets import token_hex
from typing import Any, BinaryIO

import orjson

from app.errors import UnsupportedMediaType, ValidationFailed
from ingest.errors import StateNotWritable, StorageFull, TooLarge, Unreadable
from ingest.model import Parsed, Source, document_id
from ingest.ports import Reader
from ingest.readers.registry import FORMATS, supported

# Controls forge lines of a log, marks of direction make one name look like another.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028-\u202e\u2066-\u2069]")
_MAX_NAME = 200  # bytes; the names beside it are longer than itself, and file systems stop at 255
_COPIED_AT_ONCE = 2**20
_ASIDE = ".gone-"
_LABELS = ".access.json"
_COLLECTION_ID = 36  # characters
_SHELF = 32
_PART = ".part-"
_LEFT_S = 3600.0  # what nobody has written to for so long was left by a process that is gone


@dataclass(frozen=True, slots=True)
class Upload:
    """One file as it was sent. `content` is read once, from where it stands. `also` is what was sent along."""

    name: str
    content: BinaryIO
    also: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of an upload: the ids of its documents, and whether any was sent with other metadata than before."""

    document_ids: tuple[str, ...]
    metadata_changed: bool


class Uploads:
    """The folder of all uploads. Constructing it touches nothing."""

    def __init__(self, root: Path, min_free: int, max_file: int, *, shared: bool = False) -> None:
        """`min_free` and `max_file` in bytes. `shared`: other processes may be writing to it now."""
        self._root = root
        self._left_s = _LEFT_S if shared else 0.0
        self._min_free = min_free
        self._max_file = max_file

    def folder(self, collection_id: str, shelf: str = "") -> Path:
        """Where the uploads of a collection are that have the labels of a shelf."""
        return self._root / (f"{collection_id}-{shelf}" if shelf else collection_id)

    def shelf_at(self, collection_id: str, root: str) -> str:
        """The shelf that a document's folder is; none for folders that are not of uploads."""
        folder = Path(root)
        return folder.name.removeprefix(collection_id)[1:] if folder.parent == self._root else ""

    async def keep(self, collection_id: str, uploads: Sequence[Upload], access: Sequence[str] = ()) -> Kept:
        """Write them all; on disk when this returns. Raises StorageFull, StateNotWritable, TooLarge."""
        return await asyncio.to_thread(self._keep, collection_id, uploads, access)

    async def names(self, collection_id: str, document_ids: Sequence[str], shelf: str = "") -> list[str]:
        """Names of those that are still there."""
        return await asyncio.to_thread(self._names, collection_id, set(document_ids), shelf)

    async def mark(self, collection_id: str, document: str, shelf: str = "") -> list[int] | None:
        """What tells the file that the document has now from one that is sent later under its name; None without one."""
        return await asyncio.to_thread(self._mark, collection_id, document, shelf)

    async def set_aside(self, collection_id: str, document: str, mark: Sequence[int] | None, shelf: str = "") -> None:
        """Out of the way, so that nothing ingests it. A file with another mark is left where it is."""
        await asyncio.to_thread(self._set_aside, collection_id, document, mark, shelf)

    async def count(self, collection_id: str, document: str, mark: Sequence[int] | None, shelf: str = "") -> int:
        """Files that are kept of the document as it was when it had that mark: in their place, or aside."""
        return await asyncio.to_thread(self._count, collection_id, document, mark, shelf)

    async def remove_aside(self, collection_id: str, document: str, shelf: str = "") -> None:
        """Remove what was set aside of the document."""
        await asyncio.to_thread(self._remove_aside, collection_id, document, shelf)

    def labels(self, source: Source) -> tuple[str, ...]:
        """The labels of an uploaded file; none for other files. Raises Unreadable where they are not those of its shelf: a
        file that has lost its labels is for nobody."""
        shelf = source.root.name[_COLLECTION_ID + 1 :]
        if source.root.parent != self._root or not shelf:
            return ()
        try:
            found = tuple(map(str, orjson.loads((source.root / _LABELS).read_bytes())))
        except (OSError, orjson.JSONDecodeError, TypeError):
            found = ()
        if shelf_of(found) != shelf:
            raise Unreadable("The labels of this file cannot be read.", "Upload it again.")
        return found

    async def tidy(self) -> None:
        """Remove what an upload that was cut off has left behind."""
        await asyncio.to_thread(self._tidy)

    def beside(self, source: Source) -> Mapping[str, Any]:
        """What was sent along with a file; nothing for files that were not uploaded."""
        if source.root.parent != self._root:
            return {}
        try:
            found = orjson.loads(_beside(source.path).read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return {}
        return found if isinstance(found, dict) else {}

    def _keep(self, collection_id: str, uploads: Sequence[Upload], access: Sequence[str]) -> Kept:
        folder = self.folder(collection_id, shelf_of(access))
        parts: list[tuple[Path, Path]] = []
        changed = False
        with _translated():
            self._make(folder)
            self._check_free()
            if access:
                _durable(folder, iter([orjson.dumps(sorted(access))])).replace(folder / _LABELS)
            try:
                for upload in uploads:
                    target = folder / upload.name
                    also = orjson.dumps(upload.also, option=orjson.OPT_SORT_KEYS)
                    changed |= target.exists() and _read(_beside(target)) != also
                    parts.append((_durable(folder, _pieces(upload.content, self._max_file)), target))
                    parts.append((_durable(folder, iter([also])), _beside(target)))
                for part, target in parts:
                    part.replace(target)
                _sync(folder)
            finally:
                for part, _ in parts:
                    part.unlink(missing_ok=True)
        return Kept(tuple(document_id(collection_id, folder, upload.name) for upload in uploads), changed)

    def _make(self, folder: Path) -> None:
        for path in (self._root, folder):
            if not path.is_dir():
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                _sync(path.parent)

    def _check_free(self) -> None:
        if shutil.disk_usage(self._root).free < self._min_free:
            raise StorageFull(f"Less than {self._min_free // 2**20} MB are free where the state folder is.")

    def _names(self, collection_id: str, wanted: set[str], shelf: str) -> list[str]:
        folder = self.folder(collection_id, shelf)
        try:
            listed = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        except FileNotFoundError:
            return []
        return sorted(name for name in listed if document_id(collection_id, folder, name) in wanted)

    def _count(self, collection_id: str, document: str, mark: Sequence[int] | None, shelf: str) -> int:
        aside = list(self.folder(collection_id, shelf).glob(f"{_ASIDE}{document}-*"))
        return len(aside) + int(mark is not None and self._mark(collection_id, document, shelf) == list(mark))

    def _mark(self, collection_id: str, document: str, shelf: str) -> list[int] | None:
        names = self._names(collection_id, {document}, shelf)
        return _mark(self.folder(collection_id, shelf) / names[0]) if names else None

    def _set_aside(self, collection_id: str, document: str, mark: Sequence[int] | None, shelf: str) -> None:
        folder = self.folder(collection_id, shelf)
        with _translated():
            for name in self._names(collection_id, {document}, shelf):
                if mark is None or _mark(folder / name) != list(mark):
                    continue
                _beside(folder / name).unlink(missing_ok=True)
                (folder / name).rename(folder / f"{_ASIDE}{document}-{token_hex(8)}")
                _sync(folder)

    def _remove_aside(self, collection_id: str, document: str, shelf: str) -> None:
        folder = self.folder(collection_id, shelf)
        with _translated():
            for path in folder.glob(f"{_ASIDE}{document}-*"):
                path.unlink(missing_ok=True)
            if folder.is_dir():
                _sync(folder)

    def _tidy(self) -> None:
        before = time.time() - self._left_s
        for part in self._root.glob(f"*/{_PART}*"):
            with suppress(FileNotFoundError):  # it has got its name just now
                if part.stat().st_mtime <= before:
                    part.unlink()


class UploadReader:
    """A reader that knows what was sent along with uploaded files."""

    def __init__(self, reader: Reader, uploads: Uploads) -> None:
        self._reader = reader
        self._uploads = uploads

    async def read(self, source: Source, data: bytes) -> Parsed:
        """Metadata that was sent along stands above what the file says of itself."""
        access = await asyncio.to_thread(self._uploads.labels, source)
        parsed = replace(await self._reader.read(source, data), access=access)
        also = await asyncio.to_thread(self._uploads.beside, source)
        sent = {name: str(value) for name, value in also.get("metadata", {}).items()}
        url = {"url": str(also["url"])} if also.get("url") else {}
        title = sent.pop("title", "") or parsed.title
        return replace(parsed, title=title, metadata={**parsed.metadata, **sent, **url}) if also else parsed


def shelf_of(access: Sequence[str]) -> str:
    """The shelf of files with these labels, in whatever order; none for those without."""
    return hashlib.sha256(orjson.dumps(sorted(set(access)))).hexdigest()[:_SHELF] if access else ""


def safe_name(filename: str, media_type: str | None, param: str) -> str:
    """The name under which a file is kept: its last part, with the extension of its type where it has none that is read.

    Raises ValidationFailed for a name that cannot be kept, UnsupportedMediaType for a file that no reader reads.
    """
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", filename)[-1]).strip()
    if not name or name.startswith("."):
        raise ValidationFailed(f"{param}: is empty, or hidden by a dot at its beginning.", param=param)
    if _UNSAFE.search(name):
        raise ValidationFailed(f"{param}: holds control characters.", param=param)
    if not supported(name):
        name += _extension(media_type)
    if not supported(name):
        raise UnsupportedMediaType(
            "No reader reads files of this type.", "Send a format that is read, such as Markdown, HTML, PDF or DOCX."
        )
    if len(name.encode()) > _MAX_NAME:
        raise ValidationFailed(f"{param}: is longer than {_MAX_NAME} bytes.", param=param)
    return name


def _extension(media_type: str | None) -> str:
    wanted = (media_type or "").split(";")[0].strip().lower()
    return next((ending for ending, known in FORMATS.items() if known.media_type == wanted), "")


def _mark(path: Path) -> list[int]:
    """A file that replaces another has an inode of its own while both are there, and a time of its own always."""
    found = path.stat()
    return [found.st_ino, found.st_mtime_ns]


def _beside(path: Path) -> Path:
    return path.with_name(f".{PurePosixPath(path.name)}.json")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b"{}"


def _pieces(content: BinaryIO, most: int) -> Iterator[bytes]:
    """Raises TooLarge."""
    size = 0
    while piece := content.read(_COPIED_AT_ONCE):
        size += len(piece)
        if size > most:
            raise TooLarge(f"A file is larger than {most // 2**20} MB.")
        yield piece


def _durable(folder: Path, pieces: Iterator[bytes]) -> Path:
    part = folder / f"{_PART}{token_hex(8)}"
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part


def _sync(folder: Path) -> None:
    """What was renamed in a folder is on disk only once the folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("The disk that holds the state folder is full.") from error
        raise StateNotWritable(f"The state folder cannot be written: {error.strerror}.") from error
