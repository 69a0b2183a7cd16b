"""qdrant-client in local mode: dense and BM25 vectors of one collection, both fetched and fused in one request.

As in Qdrant's documentation, "Hybrid Queries" (qdrant.tech/documentation/concepts/hybrid-queries): `query_points` with two
`Prefetch` and `FusionQuery(fusion=Fusion.RRF)`, the sparse vectors with `Modifier.IDF`. The documented BM25 encoder fetches
its list of stop words from the network; the one of qdrant-edge-py gives the same kind of vectors without.
"""

import warnings

from qdrant_client import QdrantClient, models
from qdrant_edge import Bm25, Bm25Config

from tests.peers.measure import CANDIDATES, RESULTS, Corpus, Embedding, Search, main

_NAME = "peers"
_BATCH = 1024


def build(corpus: Corpus, embedding: Embedding, variant: str) -> Search:
    """There is one variant."""
    del variant
    warnings.filterwarnings("ignore", message="Local mode is not recommended")
    client = QdrantClient(":memory:")
    bm25 = Bm25(Bm25Config(language="english"))
    client.create_collection(
        _NAME,
        vectors_config={
            "dense": models.VectorParams(size=corpus.vectors.shape[1], distance=models.Distance.COSINE),
        },
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    for start in range(0, len(corpus.ids), _BATCH):
        client.upsert(_NAME, [_point(corpus, row, bm25) for row in range(len(corpus.ids))[start : start + _BATCH]])
    ids = corpus.ids

    def search(text: str) -> list[str]:
        dense = models.Prefetch(query=embedding(text).tolist(), using="dense", limit=CANDIDATES)
        lexical = models.Prefetch(query=_sparse(bm25.embed_query(text)), using="bm25", limit=CANDIDATES)
        fusion = models.FusionQuery(fusion=models.Fusion.RRF)
        found = client.query_points(_NAME, prefetch=[dense, lexical], query=fusion, limit=RESULTS)
        return [ids[int(point.id)] for point in found.points]

    return search


def _point(corpus: Corpus, row: int, bm25: Bm25) -> models.PointStruct:
    vectors = {"dense": corpus.vectors[row].tolist(), "bm25": _sparse(bm25.embed_document(corpus.texts[row]))}
    return models.PointStruct(id=row, vector=vectors, payload={"text": corpus.texts[row]})


def _sparse(vector: object) -> models.SparseVector:
    return models.SparseVector(indices=list(vector.indices), values=list(vector.values))


if __name__ == "__main__":
    main(build, ["qdrant-client", "qdrant-edge-py"])
