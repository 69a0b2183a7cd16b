"""A corpus made large: copies of real documents whose words differ and whose vectors are moved a little.

A copy keeps the length of every word that is replaced, so its chunks stand where those of the original do. Its title is
another one altogether, since a question that names one document is not to name a thousand. Vectors are
those that the model made of the original, with noise, made unit length again; of the token vectors' signs some are turned.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ingest.model import Chunk, ChunkedDocument, Document, Parsed, chunk_id, document_id
from ingest.ports import Catalog
from retrieval.model import Bits, EmbeddedPassage, Floats
from retrieval.ports import Embedder, VectorStore

SPLITTER = "copies-1"
_ROOT = Path("/copies")  # no such folder is looked into: what is copied is in the catalog alone
_WORD = re.compile(r"(\w+)")
_LEAST = 4  # letters of a word that may be replaced
_REPLACED = 0.2  # share of these words
_NOISE = 0.5  # length of the noise; cosine of copy and original is then 1 / sqrt(1 + noise^2), about .89
_TURNED = 0.05  # share of the signs
_SPECIAL = 2  # tokens around every text
_POOL = 1 << 20  # bytes of prepared noise for signs
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Original:
    """A real document, whole, with the vectors of its chunks."""

    chunked: ChunkedDocument
    vectors: tuple[EmbeddedPassage, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """A document that is none, and the vectors of its chunks."""

    chunked: ChunkedDocument
    vectors: tuple[EmbeddedPassage, ...]


async def originals(catalog: Catalog, vectors: VectorStore, collection_id: str) -> tuple[list[Original], int]:
    """Every live document of a collection that has chunks and is no copy; and how many copies there are."""
    found: list[Original] = []
    copies, after = 0, None
    while rows := await catalog.documents(collection_id, _PAGE, after):
        after = rows[-1].id
        for row in rows:
            if row.root == _ROOT.as_posix():
                copies += 1
            elif (original := await _original(catalog, vectors, row.id)) is not None:
                found.append(original)
    return found, copies


async def _original(catalog: Catalog, vectors: VectorStore, document: str) -> Original | None:
    stored, text = await catalog.stored(document), await catalog.text(document)
    if stored is None or text is None or not stored.chunks:
        return None
    made = await vectors.embedded(list({chunk.digest for chunk in stored.chunks}))
    whole = replace(stored.document, parsed=replace(stored.document.parsed, text=text))
    return Original(ChunkedDocument(whole, stored.chunks), tuple(made[chunk.digest] for chunk in stored.chunks))


class Copies:
    """Endless copies, one original after the other, the same for the same seed. `start` is the number of the first.

    The embedder tells how many tokens each new text has: vectors that do not fit their text would be made anew by whoever
    reads them.
    """

    def __init__(self, of: Sequence[Original], embedder: Embedder, seed: int, start: int = 0) -> None:
        self._of = of
        self._embedder = embedder
        self._number = start
        self._draw = np.random.default_rng((seed, start))
        self._pieces = [_WORD.split(original.chunked.document.text) for original in of]
        self._free = [
            np.array([i for i in range(1, len(pieces), 2) if _replaceable(pieces[i])], dtype=np.int64)
            for pieces in self._pieces
        ]
        self._words = _by_length(self._pieces)
        shape = (_POOL, 8)
        self._pool = np.packbits(self._draw.random(shape, dtype=np.float32) < _TURNED, axis=1)[:, 0]

    def __iter__(self) -> Iterator[Copy]:
        while True:
            at = self._number % len(self._of)
            yield self._copy(self._of[at], at)
            self._number += 1

    def _copy(self, original: Original, at: int) -> Copy:
        old, text = original.chunked.document, self._text(at)
        name = f"{self._number:07}{Path(old.source.name).suffix}"
        sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        parsed = Parsed(self._title(old.parsed.title), text, (), old.parsed.media_type, old.parsed.pages)
        source = replace(old.source, root=_ROOT, name=name)
        found = document_id(old.collection_id, _ROOT, name)
        document = Document(found, old.collection_id, source, sha256, parsed, old.metadata)
        chunks = tuple(_moved(chunk, document) for chunk in original.chunked.chunks)
        counted = self._embedder.count([chunk.embedded for chunk in chunks])
        tokens = (min(count + _SPECIAL, self._embedder.window) for count in counted)
        moved = tuple(map(self._moved_vectors, original.vectors, tokens))
        return Copy(ChunkedDocument(document, chunks), moved)

    def _text(self, at: int) -> str:
        pieces, free = list(self._pieces[at]), self._free[at]
        for i in free[self._draw.random(len(free)) < _REPLACED]:
            pieces[i] = self._other(pieces[i])
        return "".join(pieces)

    def _title(self, title: str) -> str:
        pieces = _WORD.split(title)
        pieces[1::2] = map(self._other, pieces[1::2])
        return "".join(pieces)

    def _other(self, word: str) -> str:
        """A word of the same length, if there is one."""
        words = self._words.get(len(word), [word])
        return words[self._draw.integers(len(words))]

    def _moved_vectors(self, made: EmbeddedPassage, tokens: int) -> EmbeddedPassage:
        noise = self._draw.standard_normal(len(made.vector), dtype=np.float32)
        noise *= _NOISE / np.linalg.norm(noise)
        bits = np.resize(made.bits, (tokens, made.bits.shape[1]))
        return EmbeddedPassage(_unit(made.vector + noise), self._turned(bits))

    def _turned(self, bits: Bits) -> Bits:
        start = int(self._draw.integers(_POOL))
        noise = np.take(self._pool, np.arange(start, start + bits.size), mode="wrap")
        return bits ^ noise.reshape(bits.shape)


def _moved(chunk: Chunk, document: Document) -> Chunk:
    own = chunk_id(document.collection_id, document.id, document.sha256, SPLITTER, chunk.ordinal)
    return replace(chunk, id=own, document_id=document.id, text=document.text[chunk.start : chunk.end])


def _replaceable(word: str) -> bool:
    return word.isdigit() or (len(word) >= _LEAST and word.isalpha())


def _by_length(pieces: Sequence[Sequence[str]]) -> dict[int, list[str]]:
    words: defaultdict[int, set[str]] = defaultdict(set)
    for some in pieces:
        for word in some[1::2]:
            if _replaceable(word):
                words[len(word)].add(word)
    return {length: sorted(found) for length, found in words.items()}


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
