"""What a folder holds against what the catalog knows: the change set that a run makes, and `--dry-run` prints.

`scan` reads names only; `diff` hashes contents. Nothing here writes.
"""

import fnmatch
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import Literal

from ingest.errors import FileError, FolderNotFound, TooLarge, Unreadable, remembered
from ingest.model import Known, Source

# Names of other bytes cannot be stored or sent; names with controls would rewrite the terminal or forge lines of a log.
_UNNAMEABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_RENAME = "Rename it, then run ingest again."

ChangeKind = Literal["added", "updated", "unchanged", "deleted", "failed"]


@dataclass(frozen=True, slots=True)
class Patterns:
    """Globs over names below the root. With no `include` every supported file is in; `exclude` wins."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def admit(self, name: str) -> bool:
        """`*.md` matches at any depth, `guide/*` below that folder."""
        return (not self.include or _matches(name, self.include)) and not _matches(name, self.exclude)


@dataclass(frozen=True, slots=True)
class Scan:
    """The files of a folder that are to be ingested, those that no reader knows, and what could not be looked at.

    `refused` are files whose names cannot be kept, and files and folders (with a slash) that could not be looked at.
    `missing` are the known names that the scan is evidence against: it looked where they were and they were not there.
    """

    root: Path
    patterns: Patterns
    sources: tuple[Source, ...]
    skipped: tuple[str, ...] = ()
    refused: tuple[tuple[str, FileError], ...] = ()
    whole: bool = True  # False: one file was asked for, and nothing else was looked at

    def missing(self, known: Iterable[str]) -> list[str]:
        """A name that the patterns leave out, or that could not be looked at, proves nothing."""
        if not self.whole:
            return []
        present = {source.name for source in self.sources}
        unseen = tuple(name for name, _ in self.refused)
        return [n for n in sorted(known) if n not in present and self.patterns.admit(n) and not n.startswith(unseen)]


@dataclass(frozen=True, slots=True)
class Change:
    """One file's difference. `source` is None when it is gone, `known` None when it is new.

    `failed`: the file is as it was when it failed, and is not tried again; `error` says why it did.
    """

    kind: ChangeKind
    name: str
    source: Source | None
    known: Known | None
    error: FileError | None = None
    renamed_from: str | None = None  # the name under which the same content is known, and no longer there


def scan(path: Path, patterns: Patterns, supported: Callable[[str], bool]) -> Scan:
    """The regular files below a folder, in order of name; a single file is a folder of one.

    Links, devices, pipes and hidden names are left out: nothing outside the folder is ever opened. Raises FolderNotFound.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100  keeps a link in the path itself, as the user gave it
    if _UNNAMEABLE.search(str(path)):
        raise FolderNotFound(f"The path {_printable(str(path))!r} is not UTF-8 or holds control characters.", _RENAME)
    if path.is_file():
        return replace(_sorted(path.parent, {path.name: path.lstat()}, Patterns(), supported, []), whole=False)
    if not path.is_dir():
        raise FolderNotFound(f"There is no folder {path.name!r} here.")
    refused: list[tuple[str, FileError]] = []
    return _sorted(path, dict(_walk(path, "", refused)), patterns, supported, refused)


def diff(
    scanned: Scan,
    known: Mapping[str, Known],
    splitter: Callable[[str], str],
    *,
    prune: bool | None,
    force: bool = False,
) -> Iterator[Change]:
    """Every file's change, then the deletions. `prune` None deletes on evidence: only what a scan that found files did
    not find, so that a disk which is not mounted empties nothing; True deletes always, False never."""
    for source in scanned.sources:
        yield _change(source, known.get(source.name), splitter(source.name), force=force)
    if prune or (prune is None and scanned.sources):
        for name in scanned.missing(known):
            yield Change("deleted", name, None, known[name])


def content_hash(source: Source) -> str:
    """SHA-256 of the file's bytes. Raises Unreadable."""
    with _opened(source) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bytes(source: Source, most: int) -> bytes:
    """The file's bytes. Raises Unreadable, and TooLarge for a file of more than `most` bytes, of which no more are read."""
    with _opened(source) as file:
        data = file.read(most + 1)
    if len(data) > most:
        size = max(source.size, len(data))
        raise TooLarge(f"It has {size / 2**20:.1f} MB; the limit is {most / 2**20:.1f} MB.")
    return data


@contextmanager
def _opened(source: Source) -> Iterator[BufferedReader]:
    """Refuses to follow a link that took the file's place since the scan. Raises Unreadable."""
    try:
        descriptor = os.open(source.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Unreadable("It is no longer a regular file.")
            yield file
    except OSError as error:
        raise Unreadable(f"It cannot be read: {error.strerror}.") from error


def _change(source: Source, known: Known | None, splitter: str, *, force: bool) -> Change:
    if known is None:
        return Change("added", source.name, source, None)
    try:
        same = not force and known.sha256 != "" and content_hash(source) == known.sha256
    except Unreadable as error:
        return Change("updated", source.name, source, known, error)
    if same and known.status == "live" and known.splitter == splitter:
        return Change("unchanged", source.name, source, known)
    if same and (error_then := remembered(known.error_code, known.error_message)):
        return Change("failed", source.name, source, known, error_then)
    return Change("updated" if known.status == "live" else "added", source.name, source, known)


def _sorted(
    root: Path,
    files: Mapping[str, os.stat_result],
    patterns: Patterns,
    supported: Callable[[str], bool],
    refused: Sequence[tuple[str, FileError]],
) -> Scan:
    admitted = [name for name in sorted(files) if patterns.admit(name)]
    sources = tuple(
        Source(root, name, files[name].st_size, datetime.fromtimestamp(files[name].st_mtime, UTC))
        for name in admitted
        if supported(name)
    )
    return Scan(root, patterns, sources, tuple(n for n in admitted if not supported(n)), tuple(refused))


def _walk(root: Path, prefix: str, refused: list[tuple[str, FileError]]) -> Iterator[tuple[str, os.stat_result]]:
    """Regular files with their names below the root. What cannot be looked at is noted, and its neighbours go on."""
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError as error:
        if not prefix:
            raise Unreadable(f"The folder {root.name!r} cannot be read: {error.strerror}.") from error
        refused.append((prefix, Unreadable("The folder cannot be listed.")))
        return
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if entry.name.startswith("."):
            continue
        if _UNNAMEABLE.search(entry.name):
            refused.append(
                (_printable(name), Unreadable("Its name is not UTF-8 or holds control characters.", _RENAME))
            )
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{name}/", refused)
        elif entry.is_file(follow_symlinks=False):
            try:
                yield name, entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # gone since the folder was listed
                continue
            except OSError as error:  # for one, in a folder that may be listed but not entered
                refused.append((name, Unreadable(f"It cannot be read: {error.strerror}.")))


def _printable(name: str) -> str:
    """For people: what is no text in a name shows as a mark of replacement."""
    return _UNNAMEABLE.sub("\N{REPLACEMENT CHARACTER}", name)


def _matches(name: str, globs: Sequence[str]) -> bool:
    base = name.rsplit("/", 1)[-1]
    return any(fnmatch.fnmatchcase(name, glob) or fnmatch.fnmatchcase(base, glob) for glob in globs)
