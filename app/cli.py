"""Placeholder until the wiring stands."""
