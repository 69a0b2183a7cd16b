"""What may not leave in an answer, and what a question or a document should be flagged for. Pure: no clock, no I/O."""
