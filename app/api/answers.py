"""What can be read about an answer after it was given: why it got its passages, and what its checks came to."""

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.ask import base_url, grounded
from app.api.encoders.dossier import answer_dossier, cited_ids
from app.api.encoders.explanation import answer_explanation
from app.api.replies import json_response
from app.errors import AnswerNotFound
from app.explanations import AnswerExplanation
from app.wiring import Grounded
from ingest.ports import LiveChunk
from retrieval.model import Explanation, Scope

router = APIRouter(prefix="/v1")


@router.get("/answers/{answer_id}")
async def dossier(request: Request, answer_id: str) -> Response:
    """What the checks of an answer came to: its sentences' verdicts, scores and places, the quotes that they cite as the
    documents have them now, and what the policy and the filters did. The words of the answer are not kept."""
    product = grounded(request)
    found, collection = await _found(product, answer_id)
    readable = await readable_now(product, await product.pipeline.scope(collection), found.search)
    texts = {
        id_: await product.catalog.text(id_)
        for id_ in {readable[cited].chunk.document_id for cited in cited_ids(found) if cited in readable}
    }
    known = {id_: text for id_, text in texts.items() if text is not None}
    return json_response(answer_dossier(found, collection, readable, known, base_url(request)))


@router.get("/answers/{answer_id}/explain")
async def explain(request: Request, answer_id: str) -> Response:
    """Every candidate of the answer's search: rank, score and share in each arm, kept or why not; and the answer's timings,
    model, prompt version and cost. Names of documents are those of this moment."""
    product = grounded(request)
    found, collection = await _found(product, answer_id)
    readable = await readable_now(product, await product.pipeline.scope(collection), found.search)
    return json_response(answer_explanation(found, collection, readable, base_url(request)))


async def _found(product: Grounded, answer_id: str) -> tuple[AnswerExplanation, str]:
    """What is kept of an answer, and the name of its collection. Raises AnswerNotFound."""
    found = await product.explanations.find(answer_id)
    names = {id_: name for name, id_ in (await product.catalog.collections()).items()}
    if found is None or found.collection_id not in names:
        raise AnswerNotFound("There is no explanation of such an answer.")
    return found, names[found.collection_id]


async def readable_now(product: Grounded, scope: Scope, search: Explanation) -> Mapping[str, LiveChunk]:
    """Those of the candidates that are live now and that the asker may read now."""
    ids = [candidate.hit.id for candidate in search.candidates]
    live = await product.catalog.live_chunks(scope.collection_id, ids)
    return {i: chunk for i, chunk in live.items() if scope.admits(chunk.metadata.access)}
