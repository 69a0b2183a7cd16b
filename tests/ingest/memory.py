"""An index and a reader in memory, for tests of the way between them."""

from collections.abc import Collection, Sequence

from ingest.errors import Broken, EmptyText, NotText, ReaderTimeout
from ingest.model import Block, Chunk, ChunkedDocument, Document, Parsed, Source, chunk_id
from ingest.ports import Written


class MemoryIndex:
    """ChunkIndex in a dict. `log` tells what was done; `fail_on` makes `put` fail when that text is among the chunks."""

    def __init__(self, fingerprint: str = "memory-1") -> None:
        self.fingerprint = fingerprint
        self.points: dict[str, Chunk] = {}
        self.log: list[str] = []
        self.lose = 0
        self.fail_on: str | None = None

    async def put(self, documents: Sequence[ChunkedDocument]) -> Written:
        chunks = [chunk for entry in documents for chunk in entry.chunks if chunk.id not in self.points]
        if any(self.fail_on and self.fail_on in chunk.text for chunk in chunks):
            raise OSError("the embedder died")
        fresh = {chunk.digest for chunk in chunks} - {chunk.digest for chunk in self.points.values()}
        self.points |= {chunk.id: chunk for chunk in chunks[self.lose :]}
        self.log.append(f"put {len(chunks)}")
        return Written(len(fresh))

    async def count(self, chunk_ids: Sequence[str]) -> int:
        self.log.append("count")
        return sum(i in self.points for i in chunk_ids)

    async def size(self) -> int:
        return len(self.points)

    async def collect(self, document_id: str, keep: Collection[str]) -> int:
        gone = [i for i, chunk in self.points.items() if chunk.document_id == document_id and i not in keep]
        for i in gone:
            del self.points[i]
        self.log.append(f"collect {len(gone)}")
        return len(gone)

    async def held(self, document_id: str) -> dict[str, int]:
        return {"vectors": sum(chunk.document_id == document_id for chunk in self.points.values())}


class LineReader:
    """Reads text; a file that says "broken" is broken, one that says "bomb" takes too long, one that says "empty" holds
    none. `log` gets the names."""

    def __init__(self, log: list[str] | None = None) -> None:
        self.log = [] if log is None else log

    async def read(self, source: Source, data: bytes) -> Parsed:
        self.log.append(source.name)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise NotText("It is no UTF-8.") from None
        if "broken" in text:
            raise Broken("It says so itself.")
        if "bomb" in text:
            raise ReaderTimeout("It took too long.")
        if text == "empty" or not text.strip():
            raise EmptyText("There is nothing in it.")
        return Parsed("", text, (Block("paragraph", 0, len(text)),), "text/plain")


class LineSplitter:
    """A chunk per line."""

    fingerprint = "lines-1"

    def fingerprint_for(self, name: str) -> str:
        return self.fingerprint

    def split(self, document: Document) -> tuple[Chunk, ...]:
        chunks: list[Chunk] = []
        start = 0
        for line in document.text.splitlines(keepends=True):
            text = line.strip()
            if text:
                n = len(chunks)
                i = chunk_id(document.collection_id, document.id, document.sha256, self.fingerprint, n)
                at = start + line.index(text)
                chunks.append(Chunk(i, document.id, n, at, at + len(text), text, (), None, n + 1, None, 3))
            start += len(line)
        return tuple(chunks)
