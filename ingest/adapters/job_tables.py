"""The tables of jobs and receipts, in the catalog's schema: a job and its documents are kept and forgotten together."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    text,
)

from ingest.adapters.tables import metadata

jobs = Table(
    "jobs",
    metadata,
    Column("number", Integer, primary_key=True),  # the order in which they came, whatever the clock says
    Column("id", String(40), nullable=False, unique=True),
    Column("type", String(16), nullable=False),
    Column("spec", JSON, nullable=False),  # what is to be done; emptied at the end, since it may name documents
    Column("status", String(16), nullable=False),  # enqueued, processing, succeeded, failed, canceled
    Column("details", JSON, nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("unit", String(16), nullable=False),
    Column("error", JSON),
    Column("attempts", Integer, nullable=False),  # begun since it last got on
    Column("cancel_requested", Boolean, nullable=False),
    Column("enqueued_at", DateTime, nullable=False),
    Column("started_at", DateTime),
    Column("finished_at", DateTime),
    Column("updated_at", DateTime, nullable=False),
    Column("tenant", String(63), nullable=False, server_default=text("'default'")),
    Column("key_id", String(40)),  # who asked for it; null: somebody on this machine, before there were keys
    Column("rights", JSON(none_as_null=True)),  # those that the key had
    Index("ix_jobs_status", "status"),
    Index("ix_jobs_tenant", "tenant", "key_id"),
)

job_files = Table(
    "job_files",
    metadata,
    Column("job_id", String(40), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("document_id", String(36), ForeignKey("documents.id", ondelete="CASCADE")),  # its last row takes these along
    Column("status", String(16), nullable=False),
    Column("chunks", Integer, nullable=False),
    Column("pages", Integer),
    Column("ms", Integer, nullable=False),
    Column("error", JSON),
    Column("warnings", JSON, nullable=False),
    Index("ix_job_files_document_id", "document_id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", String(64), primary_key=True),  # SHA-256 of what the client sent
    Column("fingerprint", String(64), nullable=False),  # of the request that it came with first
    Column("job_id", String(40)),
    Column("status", Integer),  # of the reply; null: it was cut off before there was one
    Column("body", LargeBinary),
    Column("created_at", DateTime, nullable=False),
)

receipts = Table(
    "receipts",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("document_id", String(36), nullable=False),  # a hash: nothing of the document can be read from it
    Column("collection_id", String(36), nullable=False),
    Column("job_id", String(40)),
    Column("places", JSON, nullable=False),  # {place: {found, left}}
    Column("deleted_at", DateTime, nullable=False),
    Column("signed_at", DateTime),  # null until every place was looked at again
    Index("ix_receipts_document_id", "document_id"),
)
