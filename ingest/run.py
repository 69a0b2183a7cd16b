"""The nouns of a run over a folder: what is asked, what will be done, what became of each file, and the sum."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from ingest.errors import FileError
from ingest.model import DEFAULT_TENANT
from ingest.sync import Change, Patterns

FAILED = ("failed", "quarantined")  # statuses that make a run end with exit code 1

FileStatus = Literal["added", "updated", "unchanged", "deleted", "skipped", "empty_text", "failed", "quarantined"]


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file. `ms` is the time it took to read and cut; `error` says why it failed or was skipped.

    `renamed_from` is the name that an added file's content had before: its vectors were taken over. `warnings` say what of
    its metadata was left out.
    """

    path: str
    status: FileStatus
    chunks: int = 0
    pages: int | None = None
    ms: float = 0.0
    error: FileError | None = None
    renamed_from: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Summary:
    """A run in numbers. `embedded` counts chunks that had to be embedded: 0 on a second run. Times in seconds."""

    counts: dict[FileStatus, int] = field(default_factory=lambda: dict.fromkeys(_STATUSES, 0))
    chunks: int = 0
    embedded: int = 0
    seconds: float = 0.0
    embed_seconds: float = 0.0

    def add(self, report: FileReport) -> None:
        """Count one file."""
        self.counts[report.status] += 1
        self.chunks += report.chunks


_STATUSES: tuple[FileStatus, ...] = get_args(FileStatus)


@dataclass(frozen=True, slots=True)
class Request:
    """One run over one folder. `dry_run` reports the change set and writes nothing."""

    path: Path
    collection: str = "default"
    patterns: Patterns = field(default_factory=Patterns)
    prune: bool | None = None
    force: bool = False
    dry_run: bool = False
    fail_fast: bool = False
    tenant: str = DEFAULT_TENANT  # whose collection it is


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do; a dry run prints it. `root` is the folder that all names are below of; `skipped` no reader
    knows; `refused` could not be looked at."""

    collection_id: str
    root: Path
    changes: tuple[Change, ...]
    skipped: tuple[str, ...]
    refused: tuple[tuple[str, FileError], ...]
    inner: tuple[Path, ...] = ()  # known folders inside this one

    @property
    def names(self) -> Iterator[str]:
        """Of all files that the run is about, unchanged ones too."""
        yield from (change.name for change in self.changes)
        yield from (name for name, _ in self.refused)
