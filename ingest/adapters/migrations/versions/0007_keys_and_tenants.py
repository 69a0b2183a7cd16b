"""API keys; collections belong to tenants, and jobs and explanations to whoever asked for them.

What is there belongs to the tenant `default`, whose ids stay what they were: nothing is embedded again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """A new table, new columns, and a name that is unique within its tenant only."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(64), unique=True),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("groups", sa.JSON),
        sa.Column("collections", sa.JSON),
        sa.Column("budget_nano_usd", sa.BigInteger),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("expires_at", sa.DateTime),
        sa.Column("revoked_at", sa.DateTime),
        sa.Column("changed", sa.Integer, nullable=False),
    )
    op.create_index("ix_api_keys_changed", "api_keys", ["changed"])
    sqlite = op.get_context().dialect.name == "sqlite"
    named = {"uq": "%(table_name)s_%(column_0_name)s_key"}  # as PostgreSQL calls what was given no name
    with op.batch_alter_table(
        "collections", recreate="always" if sqlite else "never", naming_convention=named if sqlite else None
    ) as collections:
        collections.add_column(_tenant())
        collections.drop_constraint("collections_name_key", type_="unique")
        collections.create_unique_constraint("uq_collections_tenant_name", ["tenant", "name"])
    for table in ("jobs", "explanations"):
        op.add_column(table, _tenant())
        op.add_column(table, sa.Column("key_id", sa.String(40)))
        op.add_column(table, sa.Column("rights", sa.JSON))
    op.create_index("ix_jobs_tenant", "jobs", ["tenant", "key_id"])


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.String(63), nullable=False, server_default=sa.text("'default'"))
