"""What a job has done so far, across the attempts that a crash may have cut it into."""

from collections.abc import Mapping, Sequence

from app.jobs import FileEntry
from ingest.run import FAILED, Summary

_IN = ("added", "updated", "unchanged")


class Tally:
    """Counts files by what became of them. A file that an earlier attempt has done is "unchanged" to the next one, and is
    counted once, as what it was then."""

    def __init__(self, details: Mapping[str, int], files: Sequence[FileEntry]) -> None:
        """What earlier attempts are known to have done; nothing, for a first one."""
        self._before = dict(details)
        self._done = {entry.path: entry for entry in files}
        self._counts: dict[str, int] = {}
        self._chunks = 0
        for entry in files:
            self._count(entry, 1)
        self._counts["deleted"] = self._before.get("deleted", 0)

    def add(self, entry: FileEntry) -> bool:
        """Count one file; whether it is news."""
        known = self._done.get(entry.path)
        if known is not None and entry.status == "unchanged" and known.status in _IN:
            return False
        if known is not None and entry.status != "deleted":
            self._count(known, -1)
        self._done[entry.path] = entry
        self._count(entry, 1)
        return True

    def details(self, summary: Summary) -> dict[str, int]:
        """In numbers: `embedded` counts texts that went through the model, times are in milliseconds."""
        counts = {name: count for name, count in self._counts.items() if count}
        return {
            "received": sum(counts.values()),
            "indexed": sum(counts.get(name, 0) for name in _IN),
            "skipped": sum(count for name, count in counts.items() if name not in (*_IN, *FAILED, "deleted")),
            "failed": sum(counts.get(name, 0) for name in FAILED),
            "deleted": counts.get("deleted", 0),
            **{name: count for name, count in counts.items() if name not in ("skipped", "failed", "deleted")},
            "chunks": self._chunks,
            "embedded": self._before.get("embedded", 0) + summary.embedded,
            "run_ms": self._before.get("run_ms", 0) + round(summary.seconds * 1e3),
            "embed_ms": self._before.get("embed_ms", 0) + round(summary.embed_seconds * 1e3),
        }

    def _count(self, entry: FileEntry, by: int) -> None:
        self._counts[entry.status] = self._counts.get(entry.status, 0) + by
        self._chunks += by * entry.chunks
