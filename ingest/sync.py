"""What a folder holds against what the catalog knows: the change set that a run makes, and `--dry-run` prints.

`scan` reads names only; `diff` hashes contents. Nothing here writes.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from ingest.beneath import content_hash, read_bytes
from ingest.errors import FileError, FolderEmptied, Unreadable, remembered
from ingest.model import Known, Source
from ingest.scan import Patterns, Scan, scan

__all__ = ["Change", "Hashes", "Patterns", "Scan", "content_hash", "diff", "read_bytes", "scan"]

ChangeKind = Literal["added", "updated", "unchanged", "deleted", "failed"]
_Digest = Callable[[Source], str]
_SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system that people still use, FAT's


@dataclass(frozen=True, slots=True)
class Change:
    """One file's difference. `source` is None when it is gone, `known` None when it is new.

    `failed`: the file is as it was when it failed, and is not tried again; or it is a folder, named with a slash, whose
    documents are kept for want of evidence. `error` says why. `renamed_from`: the name under which the same content is
    known and no longer there; that name's own change is `deleted`.
    """

    kind: ChangeKind
    name: str
    source: Source | None
    known: Known | None
    error: FileError | None = None
    renamed_from: str | None = None


class Hashes:
    """Content hashes that outlive a run, for whoever looks at the same folders again and again.

    A file is read again when its size, its times or its place on the disk differ. The time of the last change of state
    cannot be set back by any program; and a hash is kept only of a file that was at rest when it was read, since two
    changes within one tick of the disk's clock look the same.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Path, str], tuple[tuple[int, ...], str]] = {}

    def of(self, source: Source, mark: tuple[int, ...] | None) -> str:
        """The file's hash; `mark` is what the scan saw of it. Raises Unreadable."""
        key = (source.root, source.name)
        found = self._known.get(key)
        if found is not None and found[0] == mark:
            return found[1]
        at_rest = mark is not None and max(mark[-2:]) < time.time_ns() - _SETTLED_NS
        digest = content_hash(source)
        if mark is not None and at_rest:
            self._known[key] = (mark, digest)
        else:
            self._known.pop(key, None)
        return digest

    def keep(self, scanned: Scan) -> None:
        """Forget the files of this folder that are gone."""
        if scanned.whole and not scanned.within:
            gone = [key for key in self._known if key[0] == scanned.root and key[1] not in scanned.marks]
            for key in gone:
                del self._known[key]


def diff(
    scanned: Scan,
    known: Mapping[str, Known],
    splitter: Callable[[str], str],
    *,
    prune: bool | None,
    force: bool = False,
    hashes: Hashes | None = None,
) -> Iterator[Change]:
    """Every file's change, then the deletions. `prune` None deletes on evidence: what a scan that found files did not find,
    in a folder that holds anything, so that a disk which is not mounted empties nothing; True deletes always, False never.
    """
    hashes = Hashes() if hashes is None else hashes

    def digest(source: Source) -> str:
        return hashes.of(source, scanned.marks.get(source.name))

    changes = [_change(s, known.get(s.name), splitter(s.name), digest, force=force) for s in scanned.sources]
    gone, doubtful = _gone(scanned, known, prune)
    former = _renamed(changes, [known[name] for name in gone], digest)
    hashes.keep(scanned)
    for change in changes:
        old = former.get(change.name)
        yield change if old is None else Change("added", change.name, change.source, change.known, renamed_from=old)
    for name in gone:
        yield Change("deleted", name, None, known[name])
    for folder, names in doubtful.items():
        yield Change("failed", folder, None, None, _emptied(names))


def _gone(scanned: Scan, known: Mapping[str, Known], prune: bool | None) -> tuple[list[str], dict[str, list[str]]]:
    """What is to be deleted, and what is missing from folders that hold nothing."""
    if not (prune or (prune is None and scanned.sources)):
        return [], {}
    missing = scanned.missing(known)
    if prune:
        return missing, {}
    doubtful = scanned.doubtful(missing)
    kept = {name for names in doubtful.values() for name in names}
    return [name for name in missing if name not in kept], doubtful


def _emptied(names: Sequence[str]) -> FolderEmptied:
    them = "the document that was in it is" if len(names) == 1 else f"the {len(names)} documents that were in it are"
    return FolderEmptied(f"The folder holds nothing now; {them} kept.")


def _change(source: Source, known: Known | None, splitter: str, digest: _Digest, *, force: bool) -> Change:
    if known is None:
        return Change("added", source.name, source, None)
    try:
        same = not force and known.sha256 != "" and digest(source) == known.sha256
    except Unreadable as error:
        return Change("updated", source.name, source, known, error)
    if same and known.status == "live" and known.splitter == splitter:
        return Change("unchanged", source.name, source, known)
    if same and (error_then := remembered(known.error_code, known.error_message)):
        return Change("failed", source.name, source, known, error_then)
    return Change("updated" if known.status == "live" else "added", source.name, source, known)


def _renamed(changes: Sequence[Change], gone: Sequence[Known], digest: _Digest) -> dict[str, str]:
    """Former name by new name, one to one: the same base name first, then in order of name. New files are hashed for it
    only when a document is gone."""
    olds: dict[str, list[str]] = {}
    for document in gone:
        if document.status == "live" and document.sha256:
            olds.setdefault(document.sha256, []).append(document.name)
    if not olds:
        return {}
    news: dict[str, list[str]] = {}
    for source in (change.source for change in changes if change.kind == "added"):
        if source is not None and (found := _hash(source, digest)) in olds:
            news.setdefault(found, []).append(source.name)
    return {new: old for found, names in news.items() for new, old in _pairs(names, olds[found])}


def _hash(source: Source, digest: _Digest) -> str:
    """Empty for a file that cannot be read; it says so itself when it is to be ingested."""
    try:
        return digest(source)
    except Unreadable:
        return ""


def _pairs(news: Iterable[str], olds: Iterable[str]) -> Iterator[tuple[str, str]]:
    left = sorted(olds)
    rest = []
    for new in sorted(news):
        same = next((old for old in left if PurePosixPath(old).name == PurePosixPath(new).name), None)
        if same is None:
            rest.append(new)
        else:
            left.remove(same)
            yield new, same
    yield from zip(rest, left, strict=False)
