"""How often somebody may come, and how much of a request is read."""
