"""A reranker behind HTTP: `/v1/rerank` as vLLM, Jina, Cohere and many others have it, or `/rerank` of TEI.

The order is made here, from scores that all passages have. An answer that leaves one out, tells one twice or has no number
for it is no answer: to rank by a part of it would be a reordering that nobody asked for and nobody sees.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

from ingest.model import embedded_text
from retrieval.adapters.json_endpoint import EndpointFailed, JsonEndpoint
from retrieval.errors import RerankerUnavailable
from retrieval.model import EmbeddedQuery, Passage, Ranked

Dialect = Literal["v1", "tei"]
_ROOM = 2**20  # bytes of an answer beside the documents, which some endpoints repeat
_ESCAPED = 6  # bytes that JSON may take for one byte of text


class HttpReranker:
    """The reranker port over an endpoint. Holds a pool of connections: `aclose` it at the end."""

    def __init__(
        self, base_url: str, model: str, api_key: str = "", dialect: Dialect = "v1", timeout_s: float = 10.0
    ) -> None:
        """`base_url` is what stands before `/rerank`, for example http://127.0.0.1:8002/v1."""
        self._model = model
        self._dialect = dialect
        self._endpoint = JsonEndpoint(f"{base_url.rstrip('/')}/rerank", api_key, timeout_s)

    @property
    def name(self) -> str:
        return self._model or self._dialect

    async def load(self) -> None:
        """There is nothing to load, and a start asks nobody."""

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._endpoint.aclose()

    async def rerank(self, query: EmbeddedQuery, text: str, passages: Sequence[Passage]) -> list[Ranked]:
        """Scores as the endpoint gives them. Nothing is sent where there is no question or nothing to rank."""
        del query
        if not passages or not text.strip():
            return [Ranked(passage.id, 0.0) for passage in passages]
        texts = [embedded_text(passage.header, passage.text) for passage in passages]
        largest = _ROOM + _ESCAPED * sum(len(t.encode()) for t in texts)
        try:
            scores = _scores(await self._endpoint.post(self._body(text, texts), largest), len(texts))
        except EndpointFailed as error:
            raise RerankerUnavailable(f"The rerank endpoint {error}.") from None
        order = sorted(range(len(texts)), key=lambda i: -scores[i])
        return [Ranked(passages[i].id, scores[i]) for i in order]

    def _body(self, question: str, texts: list[str]) -> dict[str, Any]:
        if self._dialect == "tei":
            return {"query": question, "texts": texts, "raw_scores": False, "return_text": False, "truncate": True}
        return {"model": self._model, "query": question, "documents": texts, "top_n": len(texts)}


def _scores(answer: Any, count: int) -> list[float]:
    """The score of each document, in the order in which they were sent, whatever the order they are told in."""
    entries = answer.get("results") if isinstance(answer, dict) else answer
    if not isinstance(entries, list) or len(entries) != count:
        raise EndpointFailed("did not answer with a score for every passage")
    scores: dict[int, float] = {}
    for entry in entries:
        index, score = _entry(entry)
        if not 0 <= index < count or index in scores:
            raise EndpointFailed("told an index twice, or one that it was not sent")
        scores[index] = score
    return [scores[i] for i in range(count)]


def _entry(entry: Any) -> tuple[int, float]:
    found = entry if isinstance(entry, dict) else {}
    index, score = found.get("index"), found.get("relevance_score", found.get("score"))
    if not isinstance(index, int) or isinstance(index, bool):
        raise EndpointFailed("left out the index of a passage")
    if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
        raise EndpointFailed("gave a score that is no number")
    return index, float(score)
