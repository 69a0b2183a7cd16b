"""Kept answers, the documents they rest on, and how often the documents of a collection have changed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Two tables and a counter."""
    op.add_column("collections", sa.Column("revision", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.create_table(
        "answer_cache",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("space", sa.String(64), nullable=False),
        sa.Column("collection_id", sa.String(36), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("seal", sa.String(64), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_answer_cache_space", "answer_cache", ["space", "number"])
    op.create_index("ix_answer_cache_collection", "answer_cache", ["collection_id", "revision"])
    op.create_index("ix_answer_cache_bytes", "answer_cache", ["bytes"])
    op.create_table(
        "answer_cache_documents",
        sa.Column("number", sa.Integer, sa.ForeignKey("answer_cache.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("document_id", sa.String(36), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("ix_answer_cache_documents_document", "answer_cache_documents", ["document_id"])
