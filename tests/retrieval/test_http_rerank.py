"""A reranker behind HTTP: what is sent, what is believed, and what is not."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest

from retrieval.adapters.http_rerank import HttpReranker
from retrieval.adapters.json_endpoint import retry_after
from retrieval.errors import RerankerUnavailable
from retrieval.model import Passage, Ranked
from tests.contracts.reranker import ASKED, RerankerContract
from tests.fakes import FakeEmbedder
from tests.model_endpoint import Reply, endpoint
from tests.passages import passage

TEXTS = ["Bolts are sold by weight.", "Rollo was born here.", "Nuts, by the piece."]


def shared(question: str, text: str) -> float:
    """As many words as both have."""
    return float(len(set(re.findall(r"\w+", question.lower())) & set(re.findall(r"\w+", text.lower()))))


def told(body: Any) -> list[tuple[int, float]]:
    """Index and score of each text, best first, as all these endpoints tell them."""
    texts = body.get("documents") or body["texts"]
    return sorted(enumerate(shared(body["query"], text) for text in texts), key=lambda x: -x[1])


def v1(body: Any) -> Reply:
    results = [{"index": i, "relevance_score": s, "document": {"text": body["documents"][i]}} for i, s in told(body)]
    return Reply({"id": "r1", "model": body["model"], "results": results, "usage": {"total_tokens": 9}})


def tei(body: Any) -> Reply:
    return Reply([{"index": i, "score": s} for i, s in told(body)])


@pytest.fixture(params=["v1", "tei"])
def reranker(request: pytest.FixtureRequest) -> Iterator[HttpReranker]:
    with endpoint(v1 if request.param == "v1" else tei) as seen:
        reranker = HttpReranker(seen.url, "some-model", dialect=request.param)
        yield reranker
        asyncio.run(reranker.aclose())


class TestHttpReranker(RerankerContract):
    @pytest.fixture
    def reranker(self, reranker: HttpReranker) -> HttpReranker:
        return reranker


def asked(reply: Any, *, timeout_s: float = 60.0, key: str = "", dialect: Any = "v1") -> tuple[list[Ranked], Any]:
    """What a reranker makes of this answer, and what the endpoint saw."""
    passages: list[Passage] = [passage(text, n) for n, text in enumerate(TEXTS, 1)]

    async def main(url: str) -> list[Ranked]:
        reranker = HttpReranker(url, "m", key, dialect, timeout_s)
        try:
            return await reranker.rerank(await FakeEmbedder().embed_query(ASKED), ASKED, passages)
        finally:
            await reranker.aclose()

    with endpoint(reply if callable(reply) else lambda _: reply) as seen:
        return asyncio.run(main(seen.url)), seen


def results(*pairs: tuple[Any, Any]) -> Reply:
    return Reply({"results": [{"index": i, "relevance_score": s} for i, s in pairs]})


def test_what_is_sent_to_v1() -> None:
    _, seen = asked(v1, key="k-123")
    assert seen.paths == ["/v1/rerank"]
    assert seen.bodies == [{"model": "m", "query": ASKED, "documents": TEXTS, "top_n": 3}]
    assert seen.headers[0]["authorization"] == "Bearer k-123"


def test_what_is_sent_to_tei() -> None:
    _, seen = asked(tei, dialect="tei")
    assert seen.bodies[0] == {
        "query": ASKED,
        "texts": TEXTS,
        "raw_scores": False,
        "return_text": False,
        "truncate": True,
    }
    assert "authorization" not in seen.headers[0]


def test_the_header_is_read_with_the_text() -> None:
    async def main(url: str) -> None:
        reranker = HttpReranker(url, "m")
        await reranker.rerank(
            await FakeEmbedder().embed_query(ASKED), ASKED, [passage("text", header="Guide > Refunds")]
        )
        await reranker.aclose()

    with endpoint(v1) as seen:
        asyncio.run(main(seen.url))
    assert seen.bodies[0]["documents"] == ["Guide > Refunds\ntext"]


def test_the_order_is_that_of_the_scores_not_of_the_answer() -> None:
    ranked, _ = asked(results((0, 0.1), (2, 0.2), (1, 0.9)))
    assert [(r.id, r.score) for r in ranked] == [("src-2", 0.9), ("src-3", 0.2), ("src-1", 0.1)]


@pytest.mark.parametrize(
    "reply",
    [
        results((0, 0.1), (1, 0.9)),
        results((0, 0.1), (1, 0.9), (1, 0.8)),
        results((0, 0.1), (1, 0.9), (3, 0.8)),
        results((0, 0.1), (1, 0.9), (-1, 0.8)),
        results((0, 0.1), (1, 0.9), (True, 0.8)),
        results((0, 0.1), (1, 0.9), (2, None)),
        results((0, 0.1), (1, 0.9), (2, "0.8")),
        results((0, 0.1), (1, 0.9), (2, True)),
        Reply(b'{"results": [{"index": 0, "relevance_score": NaN}]}'),
        Reply(b'[{"index":0,"score":1},{"index":1,"score":1},{"index":2,"score":1e999}]'),
        Reply({"results": [{"relevance_score": 0.1}, {"relevance_score": 0.2}, {"relevance_score": 0.3}]}),
        Reply({"results": "none"}),
        Reply({"error": "model is loading"}),
        Reply([1, 2, 3]),
        Reply(b"<html>"),
        Reply(b""),
        Reply({"results": []}, status=500),
        Reply({"error": "no such key"}, status=401),
        Reply(b"", status=302, headers={"location": "http://127.0.0.1:1/"}),
        Reply(b'{"results": [' + b" " * 3_000_000 + b"]}"),
    ],
)
def test_what_is_not_whole_is_no_answer(reply: Reply) -> None:
    with pytest.raises(RerankerUnavailable):
        asked(reply)


@pytest.mark.parametrize("slow", [Reply({"results": []}, wait_s=1.5), Reply(b'{"results": []}', drip_s=0.1)])
def test_what_is_late_is_given_up(slow: Reply) -> None:
    with pytest.raises(RerankerUnavailable, match=r"within 0\.3 s"):
        asked(slow, timeout_s=0.3)


def test_nobody_there() -> None:
    with endpoint(v1) as seen:
        url = seen.url

    async def main() -> None:
        reranker = HttpReranker(url, "m", "k-123")
        with pytest.raises(RerankerUnavailable) as caught:
            await reranker.rerank(await FakeEmbedder().embed_query(ASKED), ASKED, [passage("a")])
        assert "k-123" not in f"{caught.value!r} {caught.value.__cause__!r}"
        await reranker.aclose()

    asyncio.run(main())


def test_a_refusal_repeats_neither_key_nor_text() -> None:
    with pytest.raises(RerankerUnavailable) as caught:
        asked(lambda body: Reply({"error": f"bad key k-123 for {body}"}, status=403), key="k-123")
    assert str(caught.value) == "The rerank endpoint answered with status 403."
    assert caught.value.__cause__ is None


def test_when_to_come_again() -> None:
    assert retry_after({"retry-after": "2"}) == 2
    assert retry_after({"retry-after": "-3"}) == 0
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert (retry_after({"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}) or 0) > 1e6
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"retry-after": "nan"}) is None
    assert retry_after({}) is None
