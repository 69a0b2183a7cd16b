"""Budgets under load, under SIGKILL and across processes: `python -m tests.budgets`."""
