"""The corpus that all peers read: the documents of a BEIR folder, padded to a size by other real text.

Padding is cut from other corpora. Where more is needed than there is, pieces are varied: the beginning of one, and the end
of another of its neighbourhood. A varied piece is not embedded: its vector is the mean of the two, weighted by their
shares and brought to length 1, and its token vectors are those of the two parts. Everything else is embedded by Grounded's
embedder, once; what it made is kept by the hash of the texts, the texts themselves are not.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.evals.corpus import BadEvalData, progress, read_rows
from retrieval.model import Bits, Floats
from retrieval.ports import Embedder

_PIECE_WORDS = 150
_PIECE_LEAST = 30  # words; shorter pieces are no passages
_NEIGHBOURS = 200  # pieces further on that a piece may be varied with
_SHARES = (0.3, 0.7)
_MANUAL = Path(__file__).parents[2] / "data" / "handbook"

Parts = NDArray[np.float64]  # (first, second, share of the first): rows of the embedded texts


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of shape (n, d); the token vectors of all texts behind each other, and where each text's end."""

    vectors: Floats
    bits: Bits
    ends: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Judged:
    """A BEIR folder: texts by id, questions by id, and what is relevant to each question, graded."""

    texts: Mapping[str, str]
    questions: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]


def judged(folder: Path) -> Judged:
    """Raises BadEvalData."""
    qrels: dict[str, dict[str, int]] = {}
    try:
        for line in (folder / "qrels_test.tsv").read_text().splitlines()[1:]:
            question, text, grade = line.split("\t")
            qrels.setdefault(question, {})[text] = int(grade)
    except (OSError, ValueError) as error:
        raise BadEvalData(f"qrels_test.tsv cannot be read: {error}.") from error
    rows = read_rows(folder / "queries.jsonl", _id=str, text=str)
    questions = {row["_id"]: row["text"] for row in rows if row["_id"] in qrels}
    return Judged({row["_id"]: _whole(row) for row in _rows(folder)}, questions, qrels)


async def prepare(
    folder: Path, data: Judged, padding: Sequence[str], size: int, embedder: Embedder, kept: Path, seed: int
) -> None:
    """Write what the peers read. Raises BadEvalData for a size below that of the judged corpus."""
    if size < len(data.texts):
        raise BadEvalData(f"The corpus alone has {len(data.texts)} texts.", f"Give --size {len(data.texts)} or more.")
    base = [*data.texts.values(), *padding][:size]
    embedded = await _embedded(base, embedder, kept)
    parts = varied(len(data.texts), len(base), size, seed)
    ids = [*data.texts, *(f"pad-{number}" for number in range(size - len(data.texts)))]
    with (folder / "texts.jsonl").open("w") as lines:
        for i, (first, second, share) in zip(ids, parts, strict=True):
            lines.write(json.dumps({"id": i, "text": _text(base[int(first)], base[int(second)], share)}) + "\n")
    np.save(folder / "vectors.npy", mixed(embedded.vectors, parts))
    np.save(folder / "bits.npy", embedded.bits)
    np.save(folder / "bits_ends.npy", embedded.ends)
    np.save(folder / "parts.npy", parts)
    await _write_questions(folder, data, embedder)


def padding_of(folders: Sequence[Path]) -> list[str]:
    """Pieces of the texts of other BEIR folders, each once; of the manual where there are no others. It changes often, and
    with it the corpus, all of whose texts would have to be embedded anew. The page that this measurement writes is left out."""
    texts = [_whole(row) for folder in folders for row in _rows(folder)]
    if not texts:
        texts = [page.read_text() for page in sorted(_MANUAL.glob("*.md")) if page.name != "peers.md"]
    return list(dict.fromkeys(piece for text in texts for piece in pieces(text)))


def pieces(text: str) -> Iterator[str]:
    """As long as passages are."""
    words = text.split()
    for start in range(0, len(words), _PIECE_WORDS):
        piece = words[start : start + _PIECE_WORDS]
        if len(piece) >= _PIECE_LEAST:
            yield " ".join(piece)


def varied(n_judged: int, n_base: int, size: int, seed: int) -> Parts:
    """Which text each row is made of. The embedded texts come first, as they are."""
    own = np.arange(n_base, dtype=np.float64)
    whole = np.stack([own, own, np.ones(n_base)], axis=1)
    missing, pads = size - n_base, n_base - n_judged
    if missing <= 0:
        return whole[:size]
    if pads == 0:
        raise BadEvalData("There is no text to pad the corpus with.", "Name other corpora with --padding.")
    rng = np.random.default_rng(seed)
    first = np.arange(missing) % pads
    second = (first + rng.integers(1, max(2, min(_NEIGHBOURS, pads)), missing)) % pads
    share = rng.uniform(*_SHARES, missing)
    return np.concatenate([whole, np.stack([first + n_judged, second + n_judged, share], axis=1)])


def mixed(vectors: Floats, parts: Parts) -> Floats:
    """The vector of each row, of length 1."""
    share = parts[:, 2:].astype(np.float32)
    found = share * vectors[parts[:, 0].astype(int)] + (1 - share) * vectors[parts[:, 1].astype(int)]
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def _text(first: str, second: str, share: float) -> str:
    if share == 1:
        return first
    one, other = first.split(), second.split()
    return " ".join([*one[: round(share * len(one))], *other[round(share * len(other)) :]])


def _rows(folder: Path) -> list[dict[str, Any]]:
    return read_rows(folder / "corpus.jsonl", _id=str, text=str)


def _whole(row: Mapping[str, Any]) -> str:
    return f"{row['title']}\n{row['text']}" if row.get("title") else str(row["text"])


async def _embedded(texts: Sequence[str], embedder: Embedder, kept: Path) -> Embedded:
    key = hashlib.sha256("\0".join([embedder.fingerprint, *texts]).encode("utf-8", "replace")).hexdigest()[:32]
    file = kept / f"{key}.npz"
    if file.exists():
        with np.load(file) as found:
            return Embedded(found["vectors"], found["bits"], found["ends"])
    progress(f"Embedding {len(texts)} texts, once ...")
    passages = await embedder.embed_passages(texts)
    ends = np.cumsum([len(passage.bits) for passage in passages])
    made = Embedded(np.stack([p.vector for p in passages]), np.concatenate([p.bits for p in passages]), ends)
    _keep(made, file)
    return made


def _keep(made: Embedded, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, vectors=made.vectors, bits=made.bits, ends=made.ends)


async def _write_questions(folder: Path, data: Judged, embedder: Embedder) -> None:
    found = [await embedder.embed_query(text) for text in data.questions.values()]
    np.save(folder / "question_vectors.npy", np.stack([query.vector for query in found]))
    np.save(folder / "question_tokens.npy", np.concatenate([query.tokens for query in found]))
    np.save(folder / "question_ends.npy", np.cumsum([len(query.tokens) for query in found]))
