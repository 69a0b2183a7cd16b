"""A service that is asked far more than it can answer: `python -m tests.overload`."""
