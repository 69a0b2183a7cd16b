"""Measured quality and speed: every figure in the manual comes from here."""
