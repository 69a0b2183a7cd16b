"""The table of explanations, in the catalog's schema. It holds ids and numbers: no text of a document or of a question."""

from sqlalchemy import JSON, Column, DateTime, Index, Integer, String, Table, text

from ingest.adapters.tables import metadata

explanations = Table(
    "explanations",
    metadata,
    Column("number", Integer, primary_key=True),  # the order in which they came, whatever the clock says
    Column("answer_id", String(40), nullable=False, unique=True),
    Column("collection_id", String(36), nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("body", JSON, nullable=False),
    Column("tenant", String(63), nullable=False, server_default=text("'default'")),
    Column("key_id", String(40)),  # who asked for it; null: somebody on this machine, before there were keys
    Column("rights", JSON(none_as_null=True)),  # those that the key had
    Index("ix_explanations_created_at", "created_at"),
)
