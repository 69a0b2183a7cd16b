"""Alembic's steps from one catalog schema to the next."""
