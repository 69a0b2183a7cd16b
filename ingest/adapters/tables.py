"""The catalog's tables. A change here needs a migration beside it; a test compares the two."""

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

collections = Table(
    "collections",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(63), nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("tenant", String(63), nullable=False, server_default=text("'default'")),
    Column("revision", Integer, nullable=False, server_default=text("0")),  # rises with every change of live documents
    UniqueConstraint("tenant", "name", name="uq_collections_tenant_name"),
)

documents = Table(
    "documents",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("collection_id", String(36), ForeignKey("collections.id"), nullable=False),
    Column("root", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("live_version", Integer),  # null: never live, or gone
    Column("status", String(16), nullable=False),  # pending, live, failed, empty_text, retired
    Column("sha256", String(64), nullable=False),  # of the file as last seen, also when it failed
    Column("splitter", String(64), nullable=False),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("updated_at", DateTime, nullable=False),
    Index("ix_documents_collection_root", "collection_id", "root"),
)

versions = Table(
    "versions",
    metadata,
    Column("document_id", String(36), ForeignKey("documents.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("splitter", String(64), nullable=False),
    Column("title", Text, nullable=False),
    Column("media_type", String(127), nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("pages", Integer),
    Column("metadata", JSON, nullable=False),
    Column("modified_at", DateTime, nullable=False),
    Column("text", Text, nullable=False),
    Column("chunks", Integer, nullable=False, server_default=text("0")),  # how many there must be
    Column("text_digest", String(32), nullable=False, server_default=text("''")),
    Column("seal", String(32), nullable=False, server_default=text("''")),  # of all columns but the text; see rows.py
)

chunks = Table(
    "chunks",
    metadata,
    Column("document_id", String(36), ForeignKey("documents.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("id", String(36), nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("heading_path", JSON, nullable=False),
    Column("page", Integer),
    Column("line", Integer),
    Column("cell", String(63)),
    Column("tokens", Integer, nullable=False),
    Column("header", Text, nullable=False, server_default=text("''")),
    Column("seal", String(32), nullable=False, server_default=text("''")),  # of all the other columns
    UniqueConstraint("id", "version", name="uq_chunks_id_version"),
)

generations = Table(
    "generations",
    metadata,
    Column("fingerprint", String(64), primary_key=True),  # of the embedder
    Column("state", String(16), nullable=False),  # building, ready, live, retired, dropped
    Column("recipe", JSON, nullable=False),  # settings that make the embedder again
    Column("dimension", Integer, nullable=False),  # 0: not known
    Column("scores", JSON, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("swapped_at", DateTime),
    Column("retired_at", DateTime),
    Column("in_step_at", DateTime),  # null: never whole, or live and so always
)

facts = Table(
    "facts",
    metadata,
    Column("name", String(63), primary_key=True),  # installation: names what the catalog is the truth about
    Column("value", Text, nullable=False),
)
