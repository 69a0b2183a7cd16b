"""The catalog on SQL."""
