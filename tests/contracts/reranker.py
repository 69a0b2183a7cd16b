"""What every reranker must do. Inherit, and give a `reranker` fixture."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from retrieval.model import Passage, Ranked
from retrieval.ports import Reranker
from tests.fakes import FakeEmbedder
from tests.passages import passage

ASKED = "Where was Rollo born?"


class RerankerContract:
    """A permutation: every passage once, best first, equals in the order given. It reads, and changes nothing."""

    def rerank(self, reranker: Reranker, passages: Sequence[Passage], question: str = ASKED) -> list[Ranked]:
        async def main() -> list[Ranked]:
            return await reranker.rerank(await FakeEmbedder().embed_query(question), question, passages)

        return asyncio.run(main())

    def stored(self, *texts: str) -> list[Passage]:
        """Passages as a search gives them, ids src-1, src-2, and so on."""
        embedded = asyncio.run(FakeEmbedder().embed_passages(texts))
        pairs = zip(texts, embedded, strict=True)
        return [replace(passage(text, n), bits=e.bits) for n, (text, e) in enumerate(pairs, 1)]

    def test_the_passage_that_answers_comes_first(self, reranker: Reranker) -> None:
        passages = self.stored("Bolts are sold by weight.", "Rollo was born here.", "Nuts, by the piece.")
        ranked = self.rerank(reranker, passages)
        assert ranked[0].id == "src-2"
        assert ranked[0].score > ranked[1].score
        assert {r.id for r in ranked} == {"src-1", "src-2", "src-3"}
        assert [r.score for r in ranked] == sorted((r.score for r in ranked), reverse=True)

    def test_ties_stay_as_given(self, reranker: Reranker) -> None:
        passages = self.stored(*["Rollo was born here."] * 4)
        given = [passages[i] for i in (2, 0, 3, 1)]
        assert [r.id for r in self.rerank(reranker, given)] == [p.id for p in given]

    def test_nothing_to_rerank(self, reranker: Reranker) -> None:
        assert self.rerank(reranker, []) == []

    def test_a_question_without_a_token_leaves_the_order(self, reranker: Reranker) -> None:
        passages = self.stored("Bolts are sold by weight.", "Rollo was born here.")
        assert [r.id for r in self.rerank(reranker, passages, "")] == ["src-1", "src-2"]

    def test_passages_without_token_vectors_are_ranked_too(self, reranker: Reranker) -> None:
        passages = [*self.stored("Bolts.", "Rollo was born here."), passage("Nothing stored", 3)]
        assert {r.id for r in self.rerank(reranker, passages)} == {"src-1", "src-2", "src-3"}

    def test_twice_is_the_same(self, reranker: Reranker) -> None:
        passages = self.stored("Bolts are sold by weight.", "Rollo was born here.", "Rollo swore fealty.")
        assert self.rerank(reranker, passages) == self.rerank(reranker, tuple(passages))
