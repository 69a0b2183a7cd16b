"""Two bare queries to Qdrant Edge, the engine that Grounded embeds, and a dozen lines of fusion: the other floor.

As in its documentation (qdrant.tech/documentation/edge): a shard with a dense and a sparse vector, exact search.
"""

import qdrant_edge as edge

from tests.peers.measure import CANDIDATES, RESULTS, Corpus, Embedding, Search, main
from tests.peers.recipes.fusion import fused

_BATCH = 256


def build(corpus: Corpus, embedding: Embedding, variant: str) -> Search:
    """There is one variant."""
    del variant
    bm25 = edge.Bm25(edge.Bm25Config(language="english"))
    config = edge.EdgeConfig(
        vectors={"dense": edge.EdgeVectorParams(size=corpus.vectors.shape[1], distance=edge.Distance.Dot)},
        sparse_vectors={"bm25": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
    )
    shard = edge.EdgeShard.create(str(corpus.scratch), config)
    for start in range(0, len(corpus.ids), _BATCH):
        points = [_point(corpus, row, bm25) for row in range(len(corpus.ids))[start : start + _BATCH]]
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.flush()
    ids = corpus.ids

    def nearest(query: object, using: str) -> list[int]:
        request = edge.QueryRequest(limit=CANDIDATES, query=edge.Query.Nearest(query, using=using))
        return [int(point.id) for point in shard.query(request)]

    def search(text: str) -> list[str]:
        dense = nearest(embedding(text).tolist(), "dense")
        return [ids[row] for row in fused([dense, nearest(bm25.embed_query(text), "bm25")], RESULTS)]

    return search


def _point(corpus: Corpus, row: int, bm25: edge.Bm25) -> edge.Point:
    vectors = {"dense": corpus.vectors[row].tolist(), "bm25": bm25.embed_document(corpus.texts[row])}
    return edge.Point(id=row, vector=vectors, payload={})


if __name__ == "__main__":
    main(build, ["qdrant-edge-py"])
