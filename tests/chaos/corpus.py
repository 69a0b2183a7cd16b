"""Twenty documents and what becomes of them: a first ingest, an update, a deletion. Every text says which document,
version and paragraph it is of, so a mix of two versions shows."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

_WORDS = """
lighthouse keeper harbour vessel lantern storm ledger cargo captain rope anchor tide chart compass
island signal engine winter repair window copper barrel letter market bridge river station wagon
carpenter garden school doctor
""".split()  # noqa: SIM905  words are read as words
_SENTENCES = 6


@dataclass(frozen=True, slots=True)
class Phase:
    """One run of ingest: the folder as it is then. `gone` were there before; `kept` have changed on disk to what cannot be
    ingested, so that their former version stays. The catalog must hold `live` at the end."""

    name: str
    files: Mapping[str, bytes]
    kept: frozenset[str] = frozenset()
    empty: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Script:
    """Phases in order, each from where the one before it ended."""

    phases: tuple[Phase, ...]
    live: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)  # by phase: what must be live at its end

    def before(self, name: str) -> Mapping[str, bytes]:
        """What was live when the phase began."""
        names = [phase.name for phase in self.phases]
        at = names.index(name)
        return self.live[names[at - 1]] if at else {}


def text(document: int, version: int, paragraphs: int, seed: int = 0) -> bytes:
    """A document of so many paragraphs. Each begins with a word of its own, `d07v2p3`, that no other text has, and every
    sentence has the word of its book, `book07`, which all versions share."""
    words = Random(f"{seed} {document} {version}")
    parts = [f"# The book of d{document:02}v{version}\n"]
    for p in range(paragraphs):
        mark = f"d{document:02}v{version}p{p}"
        sentences = (f"{mark} {book_of(document)} {' '.join(words.choices(_WORDS, k=8))}." for _ in range(_SENTENCES))
        parts.append(" ".join(sentences) + "\n")
    return "\n".join(parts).encode()


def book_of(document: int) -> str:
    """The word by which a document is found in whatever version."""
    return f"book{document:02}"


def edition(document: int, version: int) -> bytes:
    """A version of a document; how long it is depends on both."""
    return text(document, version, 1 + (document * 7 + version * 3) % 6)


def name_of(document: int) -> str:
    return f"{'part' if document % 3 else 'whole'}/d{document:02}.{'md' if document % 2 else 'txt'}"


def script(documents: int = 20, seed: int = 0) -> Script:
    """The first ingest of all; then a third changes, one is renamed, one emptied, one broken, two are new; then a quarter
    is deleted."""
    first = {name_of(n): text(n, 1, 1 + n % 5, seed) for n in range(documents)}
    first["twin.md"] = first[name_of(1)]  # the same text under another name
    second = dict(first)
    for n in range(0, documents, 3):
        second[name_of(n)] = text(n, 2, 1 + (n * 7) % 6, seed)
    second["moved/renamed.md"] = second.pop(name_of(5))
    second[name_of(7)] = b""
    second[name_of(10)] = b"\x00\x01\x02 no text \xff" * 20
    for n in (documents, documents + 1):
        second[name_of(n)] = text(n, 1, 2, seed)
    gone = {name_of(n) for n in range(0, documents, 4)} | {name_of(1)}
    third = {name: data for name, data in second.items() if name not in gone}
    kept, empty = frozenset({name_of(10)}), frozenset({name_of(7)})
    phases = (
        Phase("ingest", first),
        Phase("update", second, kept, empty),
        Phase("delete", third, kept - gone, empty),
    )
    return Script(phases, _live(phases))


def small() -> Script:
    """Three documents, of which one is updated and one deleted: few calls, so that every one can be killed at."""
    first = {name_of(n): text(n, 1, 2) for n in range(3)}
    second = first | {name_of(0): text(0, 2, 3)}
    third = {name: data for name, data in second.items() if name != name_of(1)}
    phases = (Phase("ingest", first), Phase("update", second), Phase("delete", third))
    return Script(phases, _live(phases))


def _live(phases: tuple[Phase, ...]) -> dict[str, dict[str, bytes]]:
    live: dict[str, dict[str, bytes]] = {}
    held: dict[str, bytes] = {}
    for phase in phases:
        ok = {n: d for n, d in phase.files.items() if n not in phase.kept | phase.empty}
        held = {n: held[n] for n in phase.kept if n in held} | ok
        live[phase.name] = held
    return live


def lay_out(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder hold just these files."""
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)
            os.utime(path, (1.7e9, 1.7e9))
