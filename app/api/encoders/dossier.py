"""What the checks, the policy and the filters did to an answer, as it is shown later: the quotes are read again from the
documents, at that moment and with the asker's rights, since none of their words were kept."""

from collections.abc import Mapping
from typing import Any

from app.api.encoders.native import usd
from app.api.encoders.source import rfc3339, source
from app.explanations import AnswerExplanation
from ingest.ports import LiveChunk
from retrieval.model import Hit, Passage
from retrieval.search import as_passage

_CHECKS = ("verification", "claims", "filter", "abstention", "flags")


def checks(answer: AnswerExplanation) -> dict[str, Any]:
    """Numbers and places alone; null for an answer of a release that did not keep them."""
    return {name: (answer.dossier or {}).get(name) for name in _CHECKS}


def cited_ids(answer: AnswerExplanation) -> list[str]:
    """The sources that its sentences cite, each once, in the order of the text."""
    claims = (answer.dossier or {}).get("claims") or ()
    return list(dict.fromkeys(citation["source"] for claim in claims for citation in claim["citations"]))


def answer_dossier(
    answer: AnswerExplanation,
    collection: str,
    readable: Mapping[str, LiveChunk],
    texts: Mapping[str, str],
    base_url: str,
) -> dict[str, Any]:
    """`texts` are the stored texts of the documents of `readable`, by document id. Of a source that is not readable any more
    nothing is shown but its id and the places."""
    passages = {id_: as_passage(Hit(id_, {}), readable[id_], None) for id_ in cited_ids(answer) if id_ in readable}
    told = checks(answer)
    claims = [_claim(claim, passages, texts) for claim in told["claims"] or ()]
    return {
        "id": answer.answer_id,
        "object": "answer.dossier",
        "collection": collection,
        "created": rfc3339(answer.created_at),
        "finish_reason": answer.finish_reason,
        "model": answer.model,
        "tier": answer.tier,
        "prompt_version": answer.prompt_version,
        "cost_usd": usd(answer.cost_nano_usd),
        **told,
        "claims": claims,
        "sources": [source(passage, n, base_url) for n, passage in enumerate(passages.values(), 1)],
        "degraded": list((answer.dossier or {}).get("degraded", ())),
    }


def _claim(claim: Mapping[str, Any], passages: Mapping[str, Passage], texts: Mapping[str, str]) -> dict[str, Any]:
    citations = [
        {**citation, "cited_text": _quote(citation, passages.get(citation["source"]), texts)}
        for citation in claim["citations"]
    ]
    return {**claim, "citations": citations}


def _quote(citation: Mapping[str, Any], passage: Passage | None, texts: Mapping[str, str]) -> str | None:
    if passage is None or passage.document_id not in texts:
        return None
    return texts[passage.document_id][citation["start"] : citation["end"]]
