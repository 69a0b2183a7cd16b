"""Rows of the catalog to nouns and back. Each row of text carries a seal, so that a flipped bit is never shown as text.

SQLite keeps no checksums of its pages: a disk that errs would otherwise change a quotation, and nobody would know.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Row, Select, and_, select

from ingest.adapters.tables import chunks, documents, versions
from ingest.errors import CatalogCorrupt
from ingest.metadata import Metadata, as_json, from_json
from ingest.model import Chunk, ChunkedDocument, Document, Parsed, Source, document_id, shown_title
from ingest.ports import DocumentRow, LiveChunk

_CHUNK = [str(column.name) for column in chunks.c]
_VERSION = [str(column.name) for column in versions.c if column.name != "text"]
_root = lru_cache(maxsize=64)(Path)  # the folders of a search's hits are few, and to take a path apart is slow


def live_select() -> Select[Any]:
    """Chunks of live versions with what `live_chunks_of` reads: the join is what makes a chunk of version n vanish the moment
    n + 1 is flipped."""
    live = and_(chunks.c.document_id == documents.c.id, chunks.c.version == documents.c.live_version)
    version = and_(versions.c.document_id == documents.c.id, versions.c.number == documents.c.live_version)
    columns = (*chunks.c, documents.c.collection_id, documents.c.root, documents.c.name, *version_columns())
    return select(*columns).select_from(chunks.join(documents, live).join(versions, version))


def version_columns() -> list[Any]:
    """A version but for its text, its columns called v_..."""
    return [versions.c[column].label(f"v_{column}") for column in _VERSION]


def digest(text: str) -> str:
    """Of a document's whole text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def checked_text(text: str, expected: str) -> str:
    """A version's text, if it has the digest that is expected. Raises CatalogCorrupt."""
    if expected and digest(text) != expected:
        raise CatalogCorrupt("A document's text in the catalog is damaged.")
    return text


def _seal(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def _check(values: dict[str, Any]) -> None:
    """Takes the seal off. Rows from before there were seals have none."""
    if (seal := values.pop("seal")) and _seal(values) != seal:
        raise CatalogCorrupt("A row of the catalog is damaged.")


def version_values(chunked: ChunkedDocument, number: int, splitter: str) -> dict[str, Any]:
    """A version to insert."""
    document, parsed = chunked.document, chunked.document.parsed
    values = {
        "document_id": document.id,
        "number": number,
        "sha256": document.sha256,
        "splitter": splitter,
        "title": parsed.title,
        "media_type": parsed.media_type,
        "bytes": document.source.size,
        "pages": parsed.pages,
        "metadata": as_json(document.metadata),
        "modified_at": document.modified_at.astimezone(UTC).replace(tzinfo=None),
        "chunks": len(chunked.chunks),
        "text_digest": digest(parsed.text),
    }
    return {**values, "text": parsed.text, "seal": _seal(values)}


def chunk_values(chunk: Chunk, version: int) -> dict[str, Any]:
    """A chunk to insert."""
    values = {
        "document_id": chunk.document_id,
        "version": version,
        "ordinal": chunk.ordinal,
        "id": chunk.id,
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text,
        "heading_path": list(chunk.heading_path),
        "page": chunk.page,
        "line": chunk.line,
        "cell": chunk.cell,
        "tokens": chunk.tokens,
        "header": chunk.header,
    }
    return {**values, "seal": _seal(values)}


def live_chunks_of(rows: Iterable[Row[Any]], besides: Collection[str] = ()) -> list[LiveChunk]:
    """Rows of `live_select`, but for the chunks `besides`. What they say of their document is checked and read once for each.
    Raises CatalogCorrupt."""
    told: dict[str, _Told] = {}
    found = []
    for row in rows:
        if row.id in besides:
            continue
        if (of := told.get(row.document_id)) is None:
            of = told[row.document_id] = _told(row)
        values = dict(zip(_CHUNK, row, strict=False))  # they stand in front, and by name each would be looked for
        _check(values)
        found.append(LiveChunk(_chunk(values), *of))
    return found


_Told = tuple[str, int, str, str, str, datetime, Metadata]  # a live chunk's fields but for the chunk


def _told(row: Row[Any]) -> _Told:
    values = row._mapping  # noqa: SLF001  public, its name notwithstanding
    _check({column: values[f"v_{column}"] for column in _VERSION})
    if document_id(row.collection_id, _root(row.root), row.name) != row.document_id:
        raise CatalogCorrupt("A row of the catalog is damaged.")  # a document's id is made of these three
    title, modified_at = shown_title(row.v_title, row.name), row.v_modified_at.replace(tzinfo=UTC)
    known = from_json(row.v_metadata)
    return row.collection_id, row.version, row.name, title, row.v_media_type, modified_at, known


def _chunk(values: Mapping[str, Any]) -> Chunk:
    return Chunk(
        id=values["id"],
        document_id=values["document_id"],
        ordinal=values["ordinal"],
        start=values["start"],
        end=values["end"],
        text=values["text"],
        heading_path=tuple(values["heading_path"]),
        page=values["page"],
        line=values["line"],
        cell=values["cell"],
        tokens=values["tokens"],
        header=values["header"],
    )


def stored_document(row: Row[Any], found: Sequence[Chunk]) -> ChunkedDocument:
    """A live document as the index needs it: everything but its whole text, which no point holds."""
    _check({column: row._mapping[f"v_{column}"] for column in _VERSION})  # noqa: SLF001
    source = Source(Path(row.root), row.name, row.v_bytes, row.v_modified_at.replace(tzinfo=UTC))
    parsed = Parsed(row.v_title, "", (), row.v_media_type, row.v_pages)
    document = Document(row.id, row.collection_id, source, row.v_sha256, parsed, from_json(row.v_metadata))
    return ChunkedDocument(document, tuple(sorted(found, key=lambda chunk: chunk.ordinal)))


def document_row(row: Row[Any]) -> DocumentRow:
    """A document as lists show it."""
    return DocumentRow(
        id=row.id,
        collection_id=row.collection_id,
        root=row.root,
        name=row.name,
        title=shown_title(row.title or "", row.name),
        media_type=row.media_type or "application/octet-stream",
        status=row.status,
        version=row.live_version or 0,
        sha256=row.sha256,
        bytes=row.bytes or 0,
        pages=row.pages,
        chunks=row.chunks,
        modified_at=(row.modified_at or row.updated_at).replace(tzinfo=UTC),
        updated_at=row.updated_at.replace(tzinfo=UTC),
        error_code=row.error_code,
        error_message=row.error_message,
        metadata=from_json(row.metadata or {}),
    )
