"""The tables of kept answers, in the catalog's schema: what goes with a document goes in the document's own transaction."""

from sqlalchemy import Column, DateTime, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from ingest.adapters.tables import metadata

answer_cache = Table(
    "answer_cache",
    metadata,
    Column("number", Integer, primary_key=True),  # the order in which they came; none is ever given again
    Column("key", String(64), nullable=False, unique=True),
    Column("space", String(64), nullable=False),  # all that the answer depends on but the question's text
    Column("collection_id", String(36), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("seal", String(64), nullable=False),  # of all the other columns but the number, and of the documents
    Index("ix_answer_cache_space", "space", "number"),
    Index("ix_answer_cache_collection", "collection_id", "revision"),
    Index("ix_answer_cache_bytes", "bytes"),
    sqlite_autoincrement=True,
)

answer_cache_documents = Table(
    "answer_cache_documents",
    metadata,
    Column("number", Integer, ForeignKey("answer_cache.number", ondelete="CASCADE"), primary_key=True),
    Column("document_id", String(36), primary_key=True),
    Column("version", Integer, nullable=False),
    Index("ix_answer_cache_documents_document", "document_id"),
)
