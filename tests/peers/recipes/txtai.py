"""txtai: an Embeddings index with `hybrid=True`.

As in its documentation (neuml.github.io/txtai, embeddings/configuration: `hybrid`; vectors: `method: external` with a
`transform`). Its default Faiss index above 5,000 rows is an inverted file, which looks at a few cells; `tuned` is the flat
index, `faiss: {components: "IDMap,Flat"}`, from the page on the ANN settings.
"""

from txtai import Embeddings

from tests.peers.measure import RESULTS, Corpus, Embedding, Search, main


def build(corpus: Corpus, embedding: Embedding, variant: str) -> Search:
    """`default` or `tuned`."""
    known = dict(zip(corpus.texts, corpus.vectors, strict=True))
    own = {"faiss": {"components": "IDMap,Flat"}} if variant == "tuned" else {}

    def transform(texts: list[str]) -> list[list[float]]:
        return [known[text] if text in known else embedding(text) for text in texts]

    index = Embeddings(method="external", transform=transform, hybrid=True, content=False, **own)
    index.index(list(zip(corpus.ids, corpus.texts, strict=True)))
    known.clear()
    return lambda text: [i for i, _ in index.search(text, RESULTS)]


if __name__ == "__main__":
    main(build, ["txtai", "faiss-cpu", "torch"])
