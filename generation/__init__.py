"""Passages in, a cited answer out: draft, cite, judge, and the events that tell of it."""
