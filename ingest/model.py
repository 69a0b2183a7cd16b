"""The nouns of ingestion: Source, Block, Parsed, Document, Chunk, and how they get their ids.

A Document has no vector and no score; a Chunk has no score (a `retrieval.model.Hit` does). Offsets are Unicode code
points, half open: `document.text[chunk.start:chunk.end] == chunk.text` for every chunk, always.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Literal
from uuid import UUID, uuid5

from ingest.metadata import NO_METADATA, Metadata

NAMESPACE = UUID("6b7f0f0e-53b0-5c0e-9d0a-6f1f2a6c2b11")

COLLECTION_NAME = "[a-z0-9][a-z0-9_-]{0,62}"
TENANT_NAME = COLLECTION_NAME
DEFAULT_TENANT = "default"  # of everything that was there before there were tenants

BlockKind = Literal["heading", "paragraph", "list", "table", "code", "quote", "cell"]


@dataclass(frozen=True, slots=True)
class Source:
    """One file as a scan saw it. `name` is its path below `root`, with forward slashes."""

    root: Path
    name: str
    size: int  # bytes
    modified_at: datetime  # UTC

    @property
    def path(self) -> Path:
        return self.root / self.name


@dataclass(frozen=True, slots=True)
class Block:
    """A unit of structure: a paragraph, a list, a table, a function. `text[start:end]` of the document is its text.

    A heading is a block of its own and also the last item of its own `heading_path`. `page` counts from 1 and is None
    where there are no pages; `line` is the first line, from 1; `cell` is the number of a notebook cell or a row range;
    `box` is where on its page it stands: left, bottom, right, top in PDF points from the page's lower left corner;
    `anchor` is the id by which a link of its own page opens it, or its section.
    """

    kind: BlockKind
    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    page: int | None = None
    line: int | None = None
    cell: str | None = None
    box: tuple[float, float, float, float] | None = None
    anchor: str | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reader makes of a file: the text that is stored, searched, cited and shown, and its structure.

    `title` is what the content calls itself, empty when it does not: a file's name is not part of what it says.
    `metadata` is what it says of itself besides, unchecked: author, created, modified, language, tags, url and others.
    """

    title: str
    text: str
    blocks: tuple[Block, ...]
    media_type: str
    pages: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    access: tuple[str, ...] = ()  # labels that came with the file, not in it: no reader of files gives any


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content at one moment. `sha256` is that of the file's bytes; another content is another version."""

    id: str
    collection_id: str
    source: Source
    sha256: str
    parsed: Parsed
    metadata: Metadata = NO_METADATA

    @property
    def text(self) -> str:
        return self.parsed.text

    @property
    def modified_at(self) -> datetime:
        """UTC: when the document says that it was last changed; where it does not say, when its file was."""
        return self.metadata.modified_at or self.source.modified_at


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage that fits the embedder's window together with its title and heading path.

    `header` is what the models read before the text: title and heading path, as far as they fit, and for the later part
    of a table or function that had to be cut its header row or signature. `tokens` counts word pieces of both together,
    special tokens included.
    """

    id: str
    document_id: str
    ordinal: int
    start: int
    end: int
    text: str
    heading_path: tuple[str, ...]
    page: int | None
    line: int | None
    cell: str | None
    tokens: int
    header: str = ""

    @property
    def embedded(self) -> str:
        """What the embedder reads. It depends on the content alone, so a file that is only renamed keeps its vectors."""
        return embedded_text(self.header, self.text)

    @property
    def digest(self) -> str:
        """Of `embedded`: chunks with the same digest have the same vectors."""
        return hashlib.sha256(self.embedded.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class ChunkedDocument:
    """A document cut up, ready to be indexed."""

    document: Document
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog remembers of a document: enough to tell whether a file has changed."""

    document_id: str
    name: str
    sha256: str
    splitter: str
    status: str
    error_code: str | None = None
    error_message: str | None = None


def shown_title(title: str, name: str) -> str:
    """What people see as a document's title: its own, or the file's name without folder and extension."""
    if title:
        return title
    path = PurePosixPath(name)
    return path.stem.replace("_", " ").replace("-", " ").strip() or path.name


def header_text(title: str, heading_path: tuple[str, ...]) -> str:
    """Title and headings as one line, without saying the same twice. It helps retrieval; it is never shown or cited."""
    parts = [title] if title else []
    parts += [h for h in heading_path if h and h != title]
    return " > ".join(parts)


def embedded_text(header: str, text: str) -> str:
    """The text that the models see."""
    return f"{header}\n{text}" if header else text


def collection_id(name: str, incarnation: int = 0, tenant: str = DEFAULT_TENANT) -> str:
    """A collection's immutable id: a deleted and recreated name gets another, so it cannot see old points, and the same name
    of another tenant is another collection. Those of the default tenant are what they were before there were others."""
    whose = "" if tenant == DEFAULT_TENANT else f"\0{tenant}"
    return str(uuid5(NAMESPACE, f"collection\0{name}\0{incarnation}{whose}"))


def document_id(collection: str, root: Path, name: str) -> str:
    """The same file of the same folder is the same document, whatever it holds today."""
    return str(uuid5(NAMESPACE, f"document\0{collection}\0{root.as_posix()}\0{name}"))


def chunk_id(collection: str, document: str, sha256: str, splitter: str, ordinal: int) -> str:
    """Content decides: cutting the same bytes with the same splitter gives the same ids, and nothing is embedded twice."""
    return str(uuid5(NAMESPACE, f"chunk\0{collection}\0{document}\0{sha256}\0{splitter}\0{ordinal}"))
