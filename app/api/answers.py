"""What can be read of an answer once it has begun: its events again, why it got its passages, what its checks came to."""

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.answer_schemas import DossierTold
from app.api.ask import base_url, grounded, library
from app.api.authentication import principal_of
from app.api.encoders.dossier import answer_dossier, cited_ids
from app.api.encoders.explanation import answer_explanation
from app.api.replies import json_response
from app.api.resumed import next_number, read
from app.errors import AnswerNotFound
from app.explanations import AnswerExplanation
from app.keys.library import Library
from ingest.ports import LiveChunk
from retrieval.model import Explanation

router = APIRouter(prefix="/v1")


@router.get("/answers/{answer_id}", responses={200: {"model": DossierTold}})
async def dossier(request: Request, answer_id: str) -> Response:
    """What the checks of an answer came to: its sentences' verdicts, scores and places, the quotes that they cite as the
    documents have them now, and what the policy and the filters did. The words of the answer are not kept."""
    found, collection = await _found(request, answer_id)
    readable = await readable_now(library(request), collection, found.search)
    cited = {readable[id_].chunk.document_id for id_ in cited_ids(found) if id_ in readable}
    known = await library(request).texts(cited)
    return json_response(answer_dossier(found, collection, readable, known, base_url(request)))


@router.get("/answers/{answer_id}/explain")
async def explain(request: Request, answer_id: str) -> Response:
    """Every candidate of the answer's search: rank, score and share in each arm, kept or why not; and the answer's timings,
    model, prompt version and cost. Names of documents are those of this moment."""
    found, collection = await _found(request, answer_id)
    readable = await readable_now(library(request), collection, found.search)
    return json_response(answer_explanation(found, collection, readable, base_url(request)))


@router.get("/answers/{answer_id}/events")
async def events(request: Request, answer_id: str) -> Response:
    """The events of an answer that was asked for with `resumable`: those behind the one that `Last-Event-ID` names, or all.
    204 where nothing comes behind it."""
    product = grounded(request)
    recording = product.recordings.find(answer_id, principal_of(request))
    return read(recording, product.settings, next_number(request, recording))


@router.post("/answers/{answer_id}/cancel", status_code=202)
async def cancel(request: Request, answer_id: str) -> Response:
    """End an answer that was asked for with `resumable`: closing its stream does not. Its last event is `done`, with the
    finish reason `cancelled`, unless it was at its end."""
    recording = grounded(request).recordings.find(answer_id, principal_of(request))
    recording.cut(None)
    return json_response({"id": answer_id, "object": "answer"}, 202)


async def _found(request: Request, answer_id: str) -> tuple[AnswerExplanation, str]:
    """What is kept of an answer, and the name of its collection. Raises AnswerNotFound."""
    found = await grounded(request).explanations.find(answer_id)
    who = principal_of(request)
    names = {id_: name for name, id_ in (await library(request).collections()).items()}
    if found is None or not who.may_see(found.owner) or found.collection_id not in names:
        raise AnswerNotFound("There is no explanation of such an answer.")
    return found, names[found.collection_id]


async def readable_now(mine: Library, collection: str, search: Explanation) -> Mapping[str, LiveChunk]:
    """Those of the candidates that are live now and that the asker may read now."""
    return await mine.chunks(collection, [candidate.hit.id for candidate in search.candidates])
