"""Haystack: a pipeline of InMemoryBM25Retriever, InMemoryEmbeddingRetriever and DocumentJoiner.

As in its tutorial "Creating a Hybrid Retrieval Pipeline" (haystack.deepset.ai/tutorials/33_hybrid_retrieval), with the
joiner's mode `reciprocal_rank_fusion` from the page on DocumentJoiner and without the ranker, which is a model of its own.
"""

from typing import Any

from haystack import Document, Pipeline, component
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from tests.peers.measure import CANDIDATES, RESULTS, Corpus, Embedding, Search, main


@component
class TextEmbedder:
    """Their interface over the vectors that all peers share."""

    def __init__(self, embedding: Embedding) -> None:
        self._embedding = embedding

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        return {"embedding": self._embedding(text).tolist()}


def build(corpus: Corpus, embedding: Embedding, variant: str) -> Search:
    """There is one variant."""
    del variant
    store = InMemoryDocumentStore()
    rows = zip(corpus.ids, corpus.texts, corpus.vectors, strict=True)
    store.write_documents([Document(id=i, content=text, embedding=vector.tolist()) for i, text, vector in rows])
    pipeline = Pipeline()
    pipeline.add_component("text_embedder", TextEmbedder(embedding))
    pipeline.add_component("embedding_retriever", InMemoryEmbeddingRetriever(store, top_k=CANDIDATES))
    pipeline.add_component("bm25_retriever", InMemoryBM25Retriever(store, top_k=CANDIDATES))
    pipeline.add_component("document_joiner", DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=RESULTS))
    pipeline.connect("text_embedder", "embedding_retriever")
    pipeline.connect("bm25_retriever", "document_joiner")
    pipeline.connect("embedding_retriever", "document_joiner")

    def search(text: str) -> list[str]:
        found = pipeline.run({"text_embedder": {"text": text}, "bm25_retriever": {"query": text}})
        return [document.id for document in found["document_joiner"]["documents"]]

    return search


if __name__ == "__main__":
    main(build, ["haystack-ai"])
