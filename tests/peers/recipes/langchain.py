"""LangChain: EnsembleRetriever over BM25Retriever (rank_bm25) and FAISS.

As in its documentation of the ensemble retriever: `BM25Retriever.from_texts`, `FAISS` with
`as_retriever(search_kwargs={"k": ...})`, `EnsembleRetriever(retrievers=[...], weights=[0.5, 0.5])`. BM25Retriever splits at
white space and keeps case by default; its page (docs.langchain.com, integrations/retrievers/bm25) advises a preprocessing
function that splits by words. `tuned` is one that also folds case and stems, since that is what the other peers do.
"""

import re

import Stemmer
from langchain_classic.retrievers import EnsembleRetriever
from langchain_community.retrievers import BM25Retriever
from langchain_community.vectorstores import FAISS
from langchain_core.embeddings import Embeddings

from tests.peers.measure import CANDIDATES, RESULTS, Corpus, Embedding, Search, main

_WORD = re.compile(r"\w\w+")


class Given(Embeddings):
    """Their interface over the vectors that all peers share."""

    def __init__(self, embedding: Embedding) -> None:
        self._embedding = embedding

    def embed_query(self, text: str) -> list[float]:
        return self._embedding(text).tolist()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise NotImplementedError("Documents come with their vectors.")


def stemmed(text: str) -> list[str]:
    """Lower case, words of two letters and more, stemmed."""
    return _STEMMER.stemWords(_WORD.findall(text.lower()))


_STEMMER = Stemmer.Stemmer("english")


def build(corpus: Corpus, embedding: Embedding, variant: str) -> Search:
    """`default` or `tuned`."""
    metadatas = [{"id": i} for i in corpus.ids]
    own = {"preprocess_func": stemmed} if variant == "tuned" else {}
    bm25 = BM25Retriever.from_texts(corpus.texts, metadatas=metadatas, k=CANDIDATES, **own)
    pairs = zip(corpus.texts, corpus.vectors, strict=True)
    faiss = FAISS.from_embeddings(pairs, Given(embedding), metadatas=metadatas)
    dense = faiss.as_retriever(search_kwargs={"k": CANDIDATES})
    ensemble = EnsembleRetriever(retrievers=[bm25, dense], weights=[0.5, 0.5])
    return lambda text: [found.metadata["id"] for found in ensemble.invoke(text)[:RESULTS]]


if __name__ == "__main__":
    main(build, ["langchain-classic", "langchain-community", "rank-bm25", "faiss-cpu"])
