"""Small folders, and what a scan and a change set make of them."""

from pathlib import Path

from ingest.model import Known
from ingest.sync import Change, Patterns, Scan, content_hash, diff, scan

SPLITTER = "s-1"


def supported(name: str) -> bool:
    return name.endswith((".md", ".txt"))


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def known(scanned: Scan) -> dict[str, Known]:
    return {s.name: Known(f"id-{s.name}", s.name, content_hash(s), SPLITTER, "live") for s in scanned.sources}


def kinds(scanned: Scan, before: dict[str, Known], prune: bool | None = None) -> dict[str, str]:
    return {change.name: change.kind for change in diff(scanned, before, lambda _: SPLITTER, prune=prune)}


def changes(scanned: Scan, before: dict[str, Known], **options: bool) -> dict[str, Change]:
    return {c.name: c for c in diff(scanned, before, lambda _: SPLITTER, **{"prune": None, **options})}


def names(root: Path, patterns: Patterns | None = None) -> set[str]:
    return {source.name for source in scan(root, patterns or Patterns(), supported).sources}
