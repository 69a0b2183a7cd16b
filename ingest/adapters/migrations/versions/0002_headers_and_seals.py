"""Chunks keep their header; versions and chunks carry seals."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Rows that are there get neither; their next ingest writes both, since the splitter has changed."""
    op.add_column("chunks", sa.Column("header", sa.Text, nullable=False, server_default=sa.text("''")))
    op.add_column("chunks", sa.Column("seal", sa.String(32), nullable=False, server_default=sa.text("''")))
    op.add_column("versions", sa.Column("chunks", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.add_column("versions", sa.Column("text_digest", sa.String(32), nullable=False, server_default=sa.text("''")))
    op.add_column("versions", sa.Column("seal", sa.String(32), nullable=False, server_default=sa.text("''")))
