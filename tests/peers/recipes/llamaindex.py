"""LlamaIndex: QueryFusionRetriever over a VectorStoreIndex and BM25Retriever (bm25s).

As in its example "Reciprocal Rerank Fusion Retriever" (developers.llamaindex.ai, examples/retrievers/
reciprocal_rerank_fusion), with `num_queries=1`, which the example names to turn the writing of further questions off, and
`use_async=False`, since the embedder answers one question at a time. The default store is the simple one; `tuned` takes
the flat index of the example "Faiss Vector Store" (examples/vector_stores/FaissIndexDemo).
"""

from typing import Any

from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import TextNode
from llama_index.retrievers.bm25 import BM25Retriever
from pydantic import PrivateAttr

from tests.peers.measure import CANDIDATES, RESULTS, Corpus, Embedding, Search, main


class Given(BaseEmbedding):
    """Their interface over the vectors that all peers share."""

    _embedding: Any = PrivateAttr()

    def __init__(self, embedding: Embedding) -> None:
        super().__init__()
        self._embedding = embedding

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._embedding(query).tolist()

    def _get_text_embedding(self, text: str) -> list[float]:
        raise NotImplementedError("Texts come with their vectors.")

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


def build(corpus: Corpus, embedding: Embedding, variant: str) -> Search:
    """`default` or `tuned`."""
    rows = zip(corpus.ids, corpus.texts, corpus.vectors, strict=True)
    nodes = [TextNode(id_=i, text=text, embedding=vector.tolist()) for i, text, vector in rows]
    storage = _faiss(corpus.vectors.shape[1]) if variant == "tuned" else None
    index = VectorStoreIndex(nodes, storage_context=storage, embed_model=Given(embedding))
    retriever = QueryFusionRetriever(
        [
            index.as_retriever(similarity_top_k=CANDIDATES),
            BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=CANDIDATES),
        ],
        llm=MockLLM(),
        mode="reciprocal_rerank",
        num_queries=1,
        similarity_top_k=RESULTS,
        use_async=False,
    )
    return lambda text: [found.node.node_id for found in retriever.retrieve(text)]


def _faiss(dimension: int) -> StorageContext:
    import faiss
    from llama_index.vector_stores.faiss import FaissVectorStore

    return StorageContext.from_defaults(vector_store=FaissVectorStore(faiss.IndexFlatIP(dimension)))


if __name__ == "__main__":
    main(build, ["llama-index-core", "llama-index-retrievers-bm25", "bm25s", "faiss-cpu"])
