"""The tables of batches and webhooks, in the catalog's schema: an answer goes in the commit that hides what it rests on."""

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from ingest.adapters.tables import metadata

batch_questions = Table(
    "batch_questions",
    metadata,
    Column("job_id", String(40), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),  # its place in the request, from 0
    Column("name", String(200), nullable=False),  # what the client calls it
    Column("state", String(16), nullable=False),  # waiting, answered, failed, withdrawn
    Column(
        "asked", JSON(none_as_null=True)
    ),  # null once there is a result: a question is kept no longer than it is needed
    Column("result", LargeBinary),  # the line of JSON that the client gets
    UniqueConstraint("job_id", "name"),
    Index("ix_batch_questions_state", "job_id", "state"),
)

batch_sources = Table(
    "batch_sources",
    metadata,
    Column("job_id", String(40), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("document_id", String(36), ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    ForeignKeyConstraint(
        ["job_id", "number"], ["batch_questions.job_id", "batch_questions.number"], ondelete="CASCADE"
    ),
    Index("ix_batch_sources_document_id", "document_id"),
)

provider_batches = Table(
    "provider_batches",
    metadata,
    Column("job_id", String(40), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("upstream_id", String(200)),  # null: it was about to be handed in
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("number", Integer, primary_key=True),  # the order in which they came, whatever the clock says
    Column("id", String(40), nullable=False, unique=True),  # the same in every attempt
    Column("job_id", String(40), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("url", Text, nullable=False),
    Column("state", String(16), nullable=False),  # waiting, delivered, dead
    Column("attempts", Integer, nullable=False),
    Column("due_at", DateTime, nullable=False),
    Column("status", Integer),  # what the receiver said last, if it said anything
    Column("error", JSON(none_as_null=True)),
    Column("ended_at", DateTime),
    Index("ix_webhooks_state", "state", "due_at"),
    Index("ix_webhooks_job_id", "job_id"),
)
