"""Batches of questions, what their answers rest on, what was handed to a provider, and webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """New tables only."""
    op.create_table(
        "batch_questions",
        sa.Column("job_id", sa.String(40), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("asked", sa.JSON),
        sa.Column("result", sa.LargeBinary),
        sa.UniqueConstraint("job_id", "name"),
    )
    op.create_index("ix_batch_questions_state", "batch_questions", ["job_id", "state"])
    op.create_table(
        "batch_sources",
        sa.Column("job_id", sa.String(40), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("document_id", sa.String(36), sa.ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
        sa.ForeignKeyConstraint(
            ["job_id", "number"], ["batch_questions.job_id", "batch_questions.number"], ondelete="CASCADE"
        ),
    )
    op.create_index("ix_batch_sources_document_id", "batch_sources", ["document_id"])
    op.create_table(
        "provider_batches",
        sa.Column("job_id", sa.String(40), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("part", sa.Integer, primary_key=True),
        sa.Column("upstream_id", sa.String(200)),
    )
    op.create_table(
        "webhooks",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("job_id", sa.String(40), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.DateTime, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.JSON),
        sa.Column("ended_at", sa.DateTime),
    )
    op.create_index("ix_webhooks_state", "webhooks", ["state", "due_at"])
    op.create_index("ix_webhooks_job_id", "webhooks", ["job_id"])
