"""An explanation as it is shown: ranks and scores as they were, names of documents as they are at this moment."""

from collections.abc import Mapping
from typing import Any

from app.api.encoders.dossier import checks
from app.api.encoders.native import usd
from app.api.encoders.source import rfc3339, source_url
from app.explanations import AnswerExplanation
from ingest.ports import LiveChunk
from retrieval.model import Candidate, Explanation, Hit
from retrieval.search import as_passage

_DIGITS = 6


def explanation(search: Explanation, readable: Mapping[str, LiveChunk], base_url: str) -> dict[str, Any]:
    """What a search did. Of a candidate that is not in `readable` nothing is shown but its id and its numbers."""
    fusion = search.fusion
    return {
        "fusion": {"k": fusion.k, "close_k": fusion.close_k, "weights": dict(fusion.weights)},
        "timings_ms": {stage: round(ms, 3) for stage, ms in search.timings_ms.items()},
        "degraded": list(search.degraded),
        "candidates": [
            {"rank": rank, **_candidate(one), "source": _source(one.hit.id, readable, base_url)}
            for rank, one in enumerate(search.candidates, start=1)
        ],
    }


def answer_explanation(
    answer: AnswerExplanation, collection: str, readable: Mapping[str, LiveChunk], base_url: str
) -> dict[str, Any]:
    """The same for an answer, with how it ended."""
    return {
        "object": "answer.explanation",
        "answer_id": answer.answer_id,
        "collection": collection,
        "created": rfc3339(answer.created_at),
        "finish_reason": answer.finish_reason,
        "model": answer.model,
        "prompt_version": answer.prompt_version,
        "tier": answer.tier,
        "routing": answer.routing,
        "fallback_reason": _fallback_reason(answer.routing),
        "cost_usd": usd(answer.cost_nano_usd),
        "rewritten": answer.rewritten,
        "narrowed": answer.narrowed,
        "cache": answer.cache,
        **checks(answer),
        **explanation(answer.search, readable, base_url),
    }


def _fallback_reason(routing: Mapping[str, Any] | None) -> str | None:
    """Why another than the chosen tier wrote: the first thing that went wrong."""
    outcomes = [attempt["outcome"] for attempt in routing["attempts"]] if routing else []
    return next((outcome for outcome in outcomes if outcome != "ok"), None)


def _candidate(candidate: Candidate) -> dict[str, Any]:
    places = candidate.hit.places
    arms = {
        arm: {"rank": place.rank, "score": round(place.score, _DIGITS), "share": _share(candidate, arm)}
        for arm, place in places.items()
    }
    return {
        "id": candidate.hit.id,
        "outcome": candidate.outcome,
        "score": round(candidate.score, _DIGITS),
        "arms": arms,
    }


def _share(candidate: Candidate, arm: str) -> float | None:
    """`fused` is a sum itself."""
    share = {str(name): value for name, value in candidate.shares.items()}.get(arm)
    return None if share is None else round(share, _DIGITS)


def _source(chunk_id: str, readable: Mapping[str, LiveChunk], base_url: str) -> dict[str, Any] | None:
    """Null: deleted or replaced since, or not the asker's to read; which of these it is, nobody is told."""
    if chunk_id not in readable:
        return None
    passage = as_passage(Hit(chunk_id, {}), readable[chunk_id], None)
    return {
        "document_id": passage.document_id,
        "filename": passage.name,
        "title": passage.title,
        "page": passage.page,
        "heading_path": list(passage.heading_path),
        "url": source_url(passage, base_url),
    }
