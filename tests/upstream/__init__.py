"""What model endpoints do wrong, and what must come of it."""
