"""The table of API keys, in the catalog's schema. A row stays when its key is revoked: so nothing that was closed opens."""

from sqlalchemy import JSON, BigInteger, Column, DateTime, Index, Integer, String, Table

from ingest.adapters.tables import metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(200), nullable=False),
    Column(
        "digest", String(64), unique=True
    ),  # SHA-256 of the key; null: the mark of somebody whose tokens are refused
    Column("tenant", String(63), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("groups", JSON(none_as_null=True)),  # null: all that there are
    Column("collections", JSON(none_as_null=True)),  # null: all of the tenant
    Column("budget_nano_usd", BigInteger),
    Column("created_at", DateTime, nullable=False),
    Column("expires_at", DateTime),
    Column("revoked_at", DateTime),
    Column("changed", Integer, nullable=False),  # rises with every change: who has seen the last one has seen all
    Index("ix_api_keys_changed", "changed"),
)
