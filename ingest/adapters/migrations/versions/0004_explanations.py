"""Explanations of answers."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """A new table only."""
    op.create_table(
        "explanations",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("answer_id", sa.String(40), nullable=False, unique=True),
        sa.Column("collection_id", sa.String(36), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
    )
    op.create_index("ix_explanations_created_at", "explanations", ["created_at"])
