"""What every peer runs under, in an environment of its own: nothing here but the standard library and numpy.

A recipe is a function that builds an index over the corpus and gives back a search. The parent makes the corpus, and
answers whoever asks for the vector of a question: so all peers embed by the same call, and none has to bring a model. The
two talk in lines of JSON over the standard streams; what a library prints goes to the standard error.
"""

import json
import os
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

CANDIDATES = 50  # of each arm; as many as Grounded takes
RESULTS = 10
_WARM_UP = 5  # questions
_HEADER = struct.Struct("<II")  # token vectors and dimensions of a reply

Floats = NDArray[np.float32]
Search = Callable[[str], list[str]]  # a question's best ids, best first


class Corpus:
    """Texts with their ids and vectors, as the parent wrote them, and an empty folder for what has to be on disk."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self.scratch = scratch
        self.notes: list[str] = []  # what a recipe wants to have told of a search
        self.ids: list[str] = []
        self.texts: list[str] = []
        with (folder / "texts.jsonl").open() as lines:
            for row in map(json.loads, lines):
                self.ids.append(row["id"])
                self.texts.append(row["text"])
        self.vectors: Floats = np.load(folder / "vectors.npy")


@dataclass(slots=True)
class Embedding:
    """Gives the vectors of questions: those that the parent made before, or, while `asking`, what it makes now."""

    given: dict[str, tuple[Floats, Floats]]
    parent: "Parent"
    asking: bool = False
    ms: list[float] = field(default_factory=list)

    def __call__(self, text: str) -> Floats:
        """The pooled vector, of length d."""
        return self.both(text)[0]

    def both(self, text: str) -> tuple[Floats, Floats]:
        """The pooled vector, and the vectors of the question's tokens, of shape (t, d)."""
        if not self.asking:
            return self.given[text]
        start = time.perf_counter()
        found = self.parent.embed(text)
        self.ms.append((time.perf_counter() - start) * 1e3)
        return found


class Parent:
    """The other end of the standard streams."""

    def __init__(self, reading: BinaryIO, writing: BinaryIO) -> None:
        self._reading = reading
        self._writing = writing

    def tell(self, **what: Any) -> None:
        self._writing.write(json.dumps(what).encode() + b"\n")
        self._writing.flush()

    def embed(self, text: str) -> tuple[Floats, Floats]:
        self.tell(embed=text)
        rows, width = _HEADER.unpack(self._read(_HEADER.size))
        found = np.frombuffer(self._read((1 + rows) * width * 4), np.float32).reshape(1 + rows, width)
        return found[0], found[1:]

    def _read(self, size: int) -> bytes:
        data = self._reading.read(size)
        if len(data) < size:
            raise EOFError("The parent has gone.")
        return data


def packed(vector: Floats, tokens: Floats) -> bytes:
    """The reply that `Parent.embed` reads."""
    rows = np.vstack([vector[None, :], tokens.reshape(-1, vector.size)]).astype(np.float32)
    return _HEADER.pack(len(rows) - 1, vector.size) + rows.tobytes()


def main(build: Callable[[Corpus, Embedding, str], Search], packages: Sequence[str] = ()) -> None:
    """Build, ask, and tell the parent: for the main module of a recipe, called with the folder of the corpus, one to
    write into, and the variant."""
    folder, scratch, variant = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    parent = _parent()
    embedding = Embedding(dict(_given(folder)), parent)
    corpus = Corpus(folder, scratch)
    start = time.perf_counter()
    search = build(corpus, embedding, variant)
    seconds = time.perf_counter() - start
    notes = corpus.notes
    del corpus  # what the index does not keep is not its memory
    plan = json.loads((folder / "plan.json").read_text())
    measured = _asked(search, embedding, plan)
    parent.tell(
        result={
            "build_seconds": seconds,
            **measured,
            "embed_ms": embedding.ms,
            "peak_mb": _memory_mb("VmHWM"),
            "resident_mb": _memory_mb("VmRSS"),
            "notes": dict(Counter(notes)),
            "versions": {name: version(name) for name in packages},
        }
    )


def _asked(search: Search, embedding: Embedding, plan: dict[str, Any]) -> dict[str, Any]:
    """Rounds of all questions, with vectors given and with vectors asked for in turn, so that the machine's mood hits
    both. A search that is slow is asked less often."""
    questions = [(row["id"], row["text"]) for row in plan["questions"]]
    warm = [_timed(search, embedding, text, asking)[0] for _, text in questions[-_WARM_UP:] for asking in (False, True)]
    slow = float(np.median(warm)) > plan["slow_ms"]
    asked, rounds = (questions[: plan["slow_questions"]], 1) if slow else (questions, plan["rounds"])
    embedding.ms.clear()
    ms: dict[bool, list[float]] = {False: [], True: []}
    rankings: dict[str, list[str]] = {}
    for _ in range(rounds):
        for asking, measured in ms.items():
            for i, text in asked:
                took, found = _timed(search, embedding, text, asking)
                measured.append(took)
                rankings.setdefault(i, found)
    return {"without_ms": ms[False], "with_ms": ms[True], "rankings": rankings, "slow": slow}


def _timed(search: Search, embedding: Embedding, text: str, asking: bool) -> tuple[float, list[str]]:
    embedding.asking = asking
    start = time.perf_counter()
    found = search(text)
    return (time.perf_counter() - start) * 1e3, found[:RESULTS]


def _given(folder: Path) -> Iterator[tuple[str, tuple[Floats, Floats]]]:
    vectors, tokens = np.load(folder / "question_vectors.npy"), np.load(folder / "question_tokens.npy")
    ends = np.load(folder / "question_ends.npy")
    rows = json.loads((folder / "plan.json").read_text())["questions"]
    for row, vector, own in zip(rows, vectors, np.split(tokens, ends[:-1]), strict=True):
        yield row["text"], (vector, own)


def _parent() -> Parent:
    """Takes the standard streams for ourselves, so that nothing a library prints or reads gets between."""
    reading, writing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return Parent(reading, writing)


def _memory_mb(name: str) -> float:
    """Of this process alone, and not, as with `getrusage`, of what it was forked from."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return 0.0
