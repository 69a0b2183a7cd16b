"""What ingestion needs from others. Adapters are chosen in `app/wiring_*.py`; every adapter passes `tests/contracts/`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from ingest.errors import FileError
from ingest.metadata import NO_METADATA, Metadata
from ingest.model import DEFAULT_TENANT, Chunk, ChunkedDocument, Document, Known, Parsed, Source
from ingest.receipt import Receipt


class Reader(Protocol):
    """Turns the bytes of a file into text and structure."""

    async def read(self, source: Source, data: bytes) -> Parsed:
        """The parsed file, never with empty text. Raises a `FileError` leaf; never hangs and never takes us down."""
        ...


class TokenCounter(Protocol):
    """Counts word pieces as the embedder's tokenizer does, special tokens not included."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """One count per text, in order. An empty text counts 0."""
        ...


@runtime_checkable
class PassageCounter(TokenCounter, Protocol):
    """A counter that is also the embedder: what it has read to count it need not be read again to embed it."""

    def count_passages(self, texts: Sequence[str]) -> list[int]:
        """As `count`, of texts that are about to be embedded."""
        ...


class SentenceEmbedder(Protocol):
    """Vectors by which sentences of one document compare. Blocks while it embeds: call it off the event loop."""

    @property
    def fingerprint(self) -> str:
        """Of the model: with another one, other cuts are made."""
        ...

    def embed_sentences(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """A vector per text, in order, all of one length."""
        ...


class Splitter(Protocol):
    """Cuts a document into chunks that fit the window."""

    def fingerprint_for(self, name: str) -> str:
        """Changes whenever the same document of this name would be cut differently; 64 characters at most."""
        ...

    def split(self, document: Document) -> tuple[Chunk, ...]:
        """Chunks in reading order, ordinals from 0, none empty; together they cover all text but white space."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """How many texts had to be embedded, and the seconds that the embedder took for them."""

    embedded: int = 0
    embed_seconds: float = 0.0

    def __add__(self, other: "Written") -> "Written":
        return Written(self.embedded + other.embedded, self.embed_seconds + other.embed_seconds)


class ChunkIndex(Protocol):
    """Where chunks become searchable. `retrieval.index.HybridIndex` satisfies it."""

    @property
    def fingerprint(self) -> str:
        """Of the embedder: vectors of different fingerprints do not compare."""
        ...

    async def put(self, documents: Sequence[ChunkedDocument]) -> Written:
        """Write all chunks durably. Chunks that are there already are left alone, and no text is embedded twice."""
        ...

    async def count(self, chunk_ids: Sequence[str]) -> int:
        """How many of these are in the index."""
        ...

    async def size(self) -> int:
        """How many chunks are in the index, in all its parts."""
        ...

    async def collect(self, document_id: str, keep: Collection[str]) -> int:
        """Remove the document's points but for `keep`; how many went. Twice does no harm."""
        ...

    async def held(self, document_id: str) -> Mapping[str, int]:
        """How much each store of the index holds of the document: vectors, lexical, token_vectors."""
        ...


@dataclass(frozen=True, slots=True)
class LiveChunk:
    """A chunk of a live version with what a citation needs of its document."""

    chunk: Chunk
    collection_id: str
    version: int
    name: str
    title: str
    media_type: str
    modified_at: datetime
    metadata: Metadata = NO_METADATA


@dataclass(frozen=True, slots=True)
class Lead:
    """How a long document introduces itself: its name, title and first lines. `dated` is when it was made, by what it says
    itself, else when its file was changed; `access` has the labels of those that may read it, nobody's for everyone."""

    document_id: str
    version: int
    name: str
    title: str
    text: str
    dated: datetime
    access: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to before `end` of one version of a document, in chunks or in characters."""

    document_id: str
    version: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document as lists show it. `status` is live, failed, quarantined or empty_text; counts are those of the live version."""

    id: str
    collection_id: str
    root: str
    name: str
    title: str
    media_type: str
    status: str
    version: int
    sha256: str
    bytes: int
    pages: int | None
    chunks: int
    modified_at: datetime
    updated_at: datetime
    error_code: str | None = None
    error_message: str | None = None
    metadata: Metadata = NO_METADATA


class Catalog(Protocol):
    """The only truth: which documents there are, which version of each is live, and its text."""

    async def collection(self, name: str, create: bool = False, tenant: str = DEFAULT_TENANT) -> str | None:
        """The immutable id of a tenant's collection, or None when it has none of that name."""
        ...

    async def collections(self, tenant: str = DEFAULT_TENANT) -> Mapping[str, str]:
        """Ids of a tenant's collections, by name."""
        ...

    async def collection_ids(self) -> list[str]:
        """Of all collections of all tenants: for upkeep, which reads nothing to anyone."""
        ...

    async def known(self, collection_id: str, root: Path) -> dict[str, Known]:
        """What was ingested or tried from this folder, by name."""
        ...

    async def roots(self, collection_id: str) -> list[Path]:
        """The folders that the collection's documents came from."""
        ...

    async def begin(self, group: Sequence[tuple[ChunkedDocument, str]]) -> dict[str, int]:
        """Write the next version of each document, not live, with the fingerprint of what cut it, in one commit; their
        numbers by document id. What an earlier, unfinished attempt left is replaced."""
        ...

    async def flip(self, versions: Mapping[str, int]) -> None:
        """Make these versions (by document id) live in one commit; from here readers see them and not the former."""
        ...

    async def collect(self, document_id: str) -> None:
        """Forget all versions of the document but the live one."""
        ...

    async def retire(self, document_id: str, found: Mapping[str, int] | None = None, job_id: str | None = None) -> None:
        """The document is gone: in one commit it stops being answered from, its text is forgotten and its receipt begun.

        `found` counts what other stores hold of it, `job_id` is who asked. A run that began before does not bring it back.
        """
        ...

    async def forget(self, document_id: str, left: Mapping[str, int] | None = None) -> None:
        """A retired document's points are gone too: remove the last row about it, and all that jobs tell of it, and sign
        the receipt with what is `left` in the other stores."""
        ...

    async def receipt(self, document_id: str, job_id: str | None = None) -> Receipt | None:
        """Of the document's last deletion, or of the one that the job asked for."""
        ...

    async def add_places(self, job_id: str, found: Mapping[str, int], left: Mapping[str, int]) -> None:
        """Add stores that catalog and index know nothing of to the receipt of the deletion that the job asked for."""
        ...

    async def retired(self) -> list[str]:
        """Documents that were retired and not yet forgotten."""
        ...

    async def fail(self, collection_id: str, source: Source, sha256: str, error: FileError) -> None:
        """Remember that the file could not be ingested. A live version stays live and goes on answering."""
        ...

    async def unfinished(self) -> list[str]:
        """Documents with versions that are not live: what a crash or a failed flip left behind."""
        ...

    async def live_chunks(self, collection_id: str, chunk_ids: Sequence[str]) -> dict[str, LiveChunk]:
        """Those of the ids that belong to a live version in this collection. All others are absent."""
        ...

    async def find_chunk(self, chunk_id: str) -> LiveChunk | None:
        """A live chunk by id, in whatever collection."""
        ...

    async def live_ids(self, document_id: str) -> list[str]:
        """Chunk ids of the live version, in order; empty when there is none."""
        ...

    async def current_ids(self, document_id: str) -> list[str]:
        """Chunk ids of the live version and of one that is being written, if there is one."""
        ...

    async def count_live(
        self, collection_id: str | None = None, groups: Collection[str] | None = None
    ) -> tuple[int, int]:
        """Live documents and live chunks, of one collection or of all; with `groups` those that their members may read."""
        ...

    async def documents(self, collection_id: str, limit: int, after: str | None = None) -> list[DocumentRow]:
        """A page of the list, ordered by id, starting behind `after`. What is on its way in or out is not in it."""
        ...

    async def document(self, document_id: str) -> DocumentRow | None:
        """One document, or None."""
        ...

    async def stored(self, document_id: str) -> ChunkedDocument | None:
        """The live version as it was put into the index, without its text; None when there is none."""
        ...

    async def check(self) -> None:
        """Raises CatalogCorrupt when its file is damaged, or chunks of a live version are missing."""
        ...

    async def text(self, document_id: str) -> str | None:
        """The stored text of the live version."""
        ...

    async def stamp(self, collection_id: str) -> str:
        """Another one whenever a document of the collection came, changed or went."""
        ...

    async def leads(self, collection_id: str, known: Mapping[str, int]) -> tuple[set[str], list[Lead]]:
        """Ids of all long live documents, and the leads of those whose live version is not the one in `known`."""
        ...

    async def settle(self) -> None:
        """What was forgotten is no longer in any file of the catalog, not even in what it freed."""
        ...

    async def fingerprint(self, value: str | None = None) -> str | None:
        """The embedder fingerprint that the live index was built with; sets it first when given and none is set."""
        ...
