"""Budgets, what is spent and reserved of them, and the processes that hold reservations."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Four tables."""
    op.create_table(
        "budgets",
        sa.Column("subject", sa.String(90), primary_key=True),
        sa.Column("unit", sa.String(8), primary_key=True),
        sa.Column("period", sa.String(8), primary_key=True),
        sa.Column("most", sa.BigInteger),
        sa.Column("changed", sa.Integer, nullable=False),
    )
    op.create_index("ix_budgets_changed", "budgets", ["changed"])
    op.create_table(
        "budget_use",
        sa.Column("subject", sa.String(90), primary_key=True),
        sa.Column("unit", sa.String(8), primary_key=True),
        sa.Column("term", sa.String(10), primary_key=True),
        sa.Column("spent", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("reserved", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("warned", sa.Boolean, nullable=False),
    )
    op.create_table(
        "budget_holds",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(90), primary_key=True),
        sa.Column("unit", sa.String(8), primary_key=True),
        sa.Column("term", sa.String(10), primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.String(40), nullable=False),
        sa.Column("freed", sa.Boolean, nullable=False),
        sa.Column("made_at", sa.DateTime, nullable=False),
    )
    op.create_index("ix_budget_holds_owner", "budget_holds", ["owner"])
    op.create_table(
        "budget_owners",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("place", sa.String(80), nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
    )
