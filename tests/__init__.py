"""Tests of Grounded."""
