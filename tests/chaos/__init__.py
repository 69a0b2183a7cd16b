"""Faults on purpose: what ingest and search promise, attacked. `python -m tests.chaos --help` lists the attacks."""
