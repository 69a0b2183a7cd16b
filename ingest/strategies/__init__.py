"""The ways to cut a document into chunks: one file each, over the same atoms and plans."""
