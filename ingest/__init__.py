"""A file's way: files in, chunks out. Reads documents, splits them, and keeps catalog and index in step with a folder."""
