"""The tables of budgets, in the catalog's schema. Money is in whole 1e-9 USD."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, String, Table, text

from ingest.adapters.tables import metadata

budgets = Table(
    "budgets",
    metadata,
    Column("subject", String(90), primary_key=True),  # key:ID or tenant:NAME
    Column("unit", String(8), primary_key=True),  # usd, tokens
    Column("period", String(8), primary_key=True),  # day, month
    Column("most", BigInteger),  # null: no limit any more
    Column("changed", Integer, nullable=False),  # rises with every change: who has seen the last one has seen all
    Index("ix_budgets_changed", "changed"),
)

budget_use = Table(
    "budget_use",
    metadata,
    Column("subject", String(90), primary_key=True),
    Column("unit", String(8), primary_key=True),
    Column("term", String(10), primary_key=True),  # the day or month, UTC
    Column("spent", BigInteger, nullable=False, server_default=text("0")),
    Column("reserved", BigInteger, nullable=False, server_default=text("0")),
    Column("warned", Boolean, nullable=False),
)

budget_holds = Table(
    "budget_holds",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subject", String(90), primary_key=True),
    Column("unit", String(8), primary_key=True),
    Column("term", String(10), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("owner", String(40), nullable=False),
    Column("freed", Boolean, nullable=False),  # its owner was taken for dead; who settles it all the same spends only
    Column("made_at", DateTime, nullable=False),
    Index("ix_budget_holds_owner", "owner"),
)

budget_owners = Table(
    "budget_owners",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("place", String(80), nullable=False),  # boot and process namespace in which pid and started mean something
    Column("pid", BigInteger, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("beat", BigInteger, nullable=False),  # rises while the owner lives
)
