"""The service on PostgreSQL and Redis; see `python -m tests.services`."""
