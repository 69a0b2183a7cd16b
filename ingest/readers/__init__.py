"""One file per format: bytes in, plain text and its structure out."""
