"""Index generations, in place of the one fact about the live index."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """What the live index was built with becomes its first generation. Until now there was one model, of 384 dimensions,
    and no setting that changed its vectors; so an empty recipe makes it again."""
    op.create_table(
        "generations",
        sa.Column("fingerprint", sa.String(64), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("scores", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("swapped_at", sa.DateTime),
        sa.Column("retired_at", sa.DateTime),
        sa.Column("in_step_at", sa.DateTime),
    )
    op.execute(
        "INSERT INTO generations (fingerprint, state, recipe, dimension, scores, created_at, swapped_at) "
        "SELECT value, 'live', '{}', 384, '{}', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP FROM facts WHERE name = 'embedder'"
    )
    op.execute("DELETE FROM facts WHERE name = 'embedder'")
