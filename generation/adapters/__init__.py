"""Answerers behind the generation ports."""
