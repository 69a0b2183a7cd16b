"""The floor: numpy, bm25s and a dozen lines of fusion. No store, no filter, no update, nothing on disk.

bm25s as in its README: `bm25s.tokenize(corpus, stopwords="en", stemmer=Stemmer.Stemmer("english"))`, `BM25().index`,
`retrieve(..., k=...)`. Dense search is one product of the matrix with the question's vector.
"""

import bm25s
import numpy as np
import Stemmer

from tests.peers.measure import CANDIDATES, RESULTS, Corpus, Embedding, Search, main
from tests.peers.recipes.fusion import fused


def build(corpus: Corpus, embedding: Embedding, variant: str) -> Search:
    """There is one variant."""
    del variant
    stemmer = Stemmer.Stemmer("english")
    bm25 = bm25s.BM25()
    bm25.index(bm25s.tokenize(corpus.texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    vectors, ids, depth = corpus.vectors, corpus.ids, min(CANDIDATES, len(corpus.ids))

    def search(text: str) -> list[str]:
        terms = bm25s.tokenize(text, stopwords="en", stemmer=stemmer, show_progress=False)
        lexical, scores = bm25.retrieve(terms, k=depth, show_progress=False)
        found = [int(row) for row, score in zip(lexical[0], scores[0], strict=True) if score > 0]
        similarity = vectors @ embedding(text)
        nearest = np.argpartition(-similarity, depth - 1)[:depth]
        dense = nearest[np.argsort(-similarity[nearest])].tolist()
        return [ids[row] for row in fused([dense, found], RESULTS)]

    return search


if __name__ == "__main__":
    main(build, ["bm25s", "numpy", "PyStemmer"])
