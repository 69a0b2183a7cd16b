"""Alembic's entry: the connection is handed over by `migrate`, so the URL is read in one place only."""

from alembic import context

from ingest.adapters.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
