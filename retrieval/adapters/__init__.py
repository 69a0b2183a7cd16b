"""Engines and models behind the retrieval ports."""
