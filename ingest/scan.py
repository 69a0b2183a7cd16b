"""What is in a folder: its files by name, what was left out, and what the scan is evidence of. Contents are not read.

The walk holds each folder open while it lists it and enters the next one from there, so it cannot be led outside.
"""

import fnmatch
import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ingest.beneath import opened_below, opened_file, opened_folder, read, why
from ingest.errors import FileError, FolderNotFound, Unreadable
from ingest.ignore import Rules, ignored, rules
from ingest.model import Source

# Names of other bytes cannot be stored or sent; names with controls would rewrite the terminal or forge lines of a log.
_UNNAMEABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_RENAME = "Rename it, then run ingest again."
_IGNORE_FILE = ".gitignore"
_LONGEST_RULES = 2**16  # bytes; ten times the largest that people write
_DEEPEST = 100  # folders; each holds a descriptor while those below it are listed


@dataclass(frozen=True, slots=True)
class Patterns:
    """What of a folder is wanted. With no `include` every supported file is in; `exclude` wins.

    `include` and `exclude` are globs over names below the root. `ignore` are lines in the syntax of `.gitignore`, which the
    folder's own `.gitignore` files overrule. `apart` is a folder that is never looked into: our own state.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    gitignore: bool = True
    ignore: tuple[str, ...] = ()
    apart: Path | None = None

    def admit(self, name: str) -> bool:
        """`*.md` matches at any depth, `guide/*` below that folder."""
        name = _composed(name)
        return (not self.include or _matches(name, self.include)) and not _matches(name, self.exclude)


@dataclass(frozen=True, slots=True)
class Scan:
    """The files of a folder that are to be ingested, those that no reader knows, and what could not be looked at.

    `refused` are files whose names cannot be kept, and files and folders (with a slash) that could not be looked at.
    `emptied` are folders (with a slash) that hold nothing at all. `marks` tell whether a file may have changed.
    """

    root: Path
    patterns: Patterns
    sources: tuple[Source, ...]
    skipped: tuple[str, ...] = ()
    refused: tuple[tuple[str, FileError], ...] = ()
    emptied: tuple[str, ...] = ()
    marks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    within: str = ""  # the part of the root that was looked at, with a slash; empty for all of it
    whole: bool = True  # False: one file was asked for, and nothing else was looked at

    def missing(self, known: Iterable[str]) -> list[str]:
        """The known names that were looked for where they were, and are not there. A name that the globs leave out, or
        that could not be looked at, is none of them; one that a `.gitignore` leaves out is."""
        if not self.whole:
            return []
        seen = {source.name for source in self.sources} | {name for name, _ in self.refused}
        unseen = tuple(name.rstrip("/") + "/" for name, _ in self.refused)
        return [
            name
            for name in sorted(known)
            if name not in seen
            and name.startswith(self.within)
            and self.patterns.admit(name.removeprefix(self.within))
            and not name.startswith(unseen)
        ]

    def doubtful(self, missing: Iterable[str]) -> dict[str, list[str]]:
        """Of the missing, those that were in a folder which now holds nothing, by folder: a disk may belong there."""
        found: dict[str, list[str]] = {}
        for name in missing:
            folder = next((folder for folder in self.emptied if name.startswith(folder)), None)
            if folder is not None:
                found.setdefault(folder, []).append(name)
        return found


def scan(path: Path, patterns: Patterns, supported: Callable[[str], bool], roots: Collection[Path] = ()) -> Scan:
    """The regular files below a folder, in order of name; a single file is a folder of one.

    A path below one of `roots`, the folders that are known already, is looked at as a part of that folder, so that no file
    gets two names. Links, devices, pipes and hidden names are left out. Raises FolderNotFound, Unreadable.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100  keeps a link in the path itself, as the user gave it
    if _UNNAMEABLE.search(str(path)):
        raise FolderNotFound(f"The path {_printable(str(path))!r} is not UTF-8 or holds control characters.", _RENAME)
    if not (path.is_file() or path.is_dir()):
        raise FolderNotFound(f"There is no folder {path.name!r} here.")
    root, parts, above = _placed(path, patterns, roots)
    walk = _Walk(patterns)
    if path.is_file():
        name = "/".join(parts) or path.name
        walk.files[name] = path.lstat()
        return walk.scan(path.parent if not parts else root, "", supported, whole=False)
    within = "".join(f"{part}/" for part in parts)
    walk.look(root, parts, within, above)
    return walk.scan(root, within, supported, whole=True)


def folders(root: Path, patterns: Patterns) -> dict[str, tuple[Rules, ...]]:
    """The folders that a scan looks into, by name (empty for the root, else with a slash), with the rules that hold there.

    Raises FolderNotFound, Unreadable.
    """
    walk = _Walk(patterns)
    walk.look(Path(os.path.abspath(root)), (), "", None)  # noqa: PTH100
    return walk.folders


class _Walk:
    """One look at a folder. What cannot be looked at is noted, and its neighbours go on."""

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self._base: tuple[Rules, ...] = (rules("", "\n".join(patterns.ignore)),) if patterns.ignore else ()
        self._apart = _identity(patterns.apart) if patterns.apart is not None else None
        self.files: dict[str, os.stat_result] = {}
        self.folders: dict[str, tuple[Rules, ...]] = {}
        self.refused: list[tuple[str, FileError]] = []
        self.emptied: list[str] = []

    def look(self, root: Path, parts: Sequence[str], within: str, above: tuple[Rules, ...] | None) -> None:
        """Everything below the root, or below one folder of it. Raises FolderNotFound, Unreadable."""
        try:
            with opened_folder(root, parts) as folder:
                self._folder(folder, within, self._base if above is None else above, top=True)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FolderNotFound(f"There is no folder {root.joinpath(*parts).name!r} here.") from error
        except OSError as error:
            raise Unreadable(f"The folder {root.joinpath(*parts).name!r} cannot be read: {why(error)}.") from error

    def reach(self, root: Path, parts: Sequence[str]) -> tuple[Rules, ...] | None:
        """The rules that hold for the last part, or None if a walk from the root would not come to it."""
        known, prefix = self._base, ""
        for n, part in enumerate(parts):
            with opened_folder(root, parts[:n]) as folder:
                known = self._with_own(folder, prefix, known)
                is_folder = n + 1 < len(parts) or _is_folder(folder, part)
            if part.startswith(".") or ignored(prefix + part, known, folder=is_folder):
                return None
            prefix += f"{part}/"
        return known

    def scan(self, root: Path, within: str, supported: Callable[[str], bool], *, whole: bool) -> Scan:
        """What was found, as a Scan. The globs speak of names below what was asked for."""
        admit = self._patterns.admit
        admitted = [name for name in sorted(self.files) if not whole or admit(name.removeprefix(within))]
        wanted = [name for name in admitted if supported(name)]
        return Scan(
            root=root,
            patterns=self._patterns,
            sources=tuple(_source(root, name, self.files[name]) for name in wanted),
            skipped=tuple(name for name in admitted if not supported(name)),
            refused=tuple(self.refused),
            emptied=tuple(self.emptied),
            marks={name: _mark(self.files[name]) for name in wanted},
            within=within,
            whole=whole,
        )

    def _folder(self, folder: int, prefix: str, known: tuple[Rules, ...], *, top: bool = False) -> None:
        if self._apart is not None and _identity(folder) == self._apart:
            return
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            known = self._with_own(folder, prefix, known)
        except OSError as error:
            if top:
                raise
            self.refused.append((prefix, Unreadable(f"The folder cannot be listed: {why(error)}.")))
            return
        except Unreadable as error:
            if top:
                raise
            self.refused.append((prefix, error))
            return
        self.folders[prefix] = known
        visible = [entry for entry in entries if not entry.name.startswith(".")]
        if not visible:
            self.emptied.append(prefix)
        for entry in visible:
            self._entry(folder, entry, prefix, known)

    def _entry(self, folder: int, entry: "os.DirEntry[str]", prefix: str, known: tuple[Rules, ...]) -> None:
        name = f"{prefix}{entry.name}"
        if _UNNAMEABLE.search(entry.name):
            error = Unreadable("Its name is not UTF-8 or holds control characters.", _RENAME)
            self.refused.append((_printable(name), error))
            return
        try:
            if entry.is_dir(follow_symlinks=False):
                if not (known and ignored(name, known, folder=True)):
                    self._below(folder, entry.name, f"{name}/", known)
            elif entry.is_file(follow_symlinks=False) and not (known and ignored(name, known, folder=False)):
                self.files[name] = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # gone since the folder was listed
            return
        except OSError as error:  # for one, in a folder that may be listed but not entered
            self.refused.append((name, Unreadable(f"It cannot be read: {why(error)}.")))

    def _below(self, folder: int, base: str, prefix: str, known: tuple[Rules, ...]) -> None:
        if prefix.count("/") > _DEEPEST:
            error = Unreadable(f"It lies more than {_DEEPEST} folders deep.", "Move it up, then run ingest again.")
            self.refused.append((prefix, error))
            return
        try:
            with opened_below(folder, base) as below:
                self._folder(below, prefix, known)
        except OSError as error:
            self.refused.append((prefix, Unreadable(f"The folder cannot be entered: {why(error)}.")))

    def _with_own(self, folder: int, prefix: str, known: tuple[Rules, ...]) -> tuple[Rules, ...]:
        """The rules above with those of the folder's own `.gitignore`. One that cannot be read closes the folder: what it
        would have kept out must not get in. Raises Unreadable."""
        if not self._patterns.gitignore:
            return known
        try:
            with opened_file(folder, _IGNORE_FILE) as file:
                found = read(file, _LONGEST_RULES + 1)
        except FileNotFoundError:
            return known
        except (OSError, Unreadable) as error:
            reason = why(error) if isinstance(error, OSError) else "it is no regular file"
            raise _closed(reason) from error
        if len(found) > _LONGEST_RULES:
            raise _closed(f"it is larger than {_LONGEST_RULES // 1024} kB")
        return (*known, rules(prefix, os.fsdecode(found)))


def _closed(reason: str) -> Unreadable:
    return Unreadable(
        f"The {_IGNORE_FILE} of the folder cannot be read: {reason}.",
        f"Mend the {_IGNORE_FILE}, or pass --no-gitignore to ingest what it would leave out.",
    )


def _placed(
    path: Path, patterns: Patterns, roots: Collection[Path]
) -> tuple[Path, tuple[str, ...], tuple[Rules, ...] | None]:
    """The outermost known folder whose scan would come to this path, the way from there, and the rules on that way."""
    for root in sorted((root for root in roots if root in path.parents), key=lambda root: len(root.parts)):
        parts = path.relative_to(root).parts
        try:
            above = _Walk(patterns).reach(root, parts)
        except (OSError, Unreadable):
            continue
        if above is not None:
            return root, parts, above
    return path, (), None


def _source(root: Path, name: str, found: os.stat_result) -> Source:
    return Source(root, name, found.st_size, _moment(found.st_mtime))


def _moment(seconds: float) -> datetime:
    """File systems can hold times that calendars cannot; such a file has no usable date."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _mark(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _identity(folder: Path | int) -> tuple[int, int] | None:
    try:
        found = os.stat(folder)  # noqa: PTH116  of a path or of a descriptor
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_folder(folder: int, name: str) -> bool:
    try:
        with opened_below(folder, name):
            return True
    except OSError:
        return False


def _printable(name: str) -> str:
    """For people: what is no text in a name shows as a mark of replacement."""
    return _UNNAMEABLE.sub("\N{REPLACEMENT CHARACTER}", name)


def _composed(name: str) -> str:
    """Names are kept as they are on disk; for globs an accent is an accent, however it is written."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _matches(name: str, globs: Sequence[str]) -> bool:
    base = name.rsplit("/", 1)[-1]
    composed = map(_composed, globs)
    return any(fnmatch.fnmatchcase(name, glob) or fnmatch.fnmatchcase(base, glob) for glob in composed)
