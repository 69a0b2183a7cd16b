"""A question in, numbered passages out: dense and BM25 search at the same time, fused, reranked, packed into a context."""
