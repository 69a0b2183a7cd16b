"""What can be read about: collections, documents, their stored text, and single sources."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from app.api.answers import readable_now
from app.api.ask import base_url, end_of, grounded, library
from app.api.authentication import principal_of
from app.api.encoders.explanation import explanation
from app.api.encoders.source import described, rfc3339
from app.api.encoders.source import source as source_object
from app.api.idempotency import once
from app.api.jobs import receipt_object
from app.api.replies import json_response, parsed
from app.api.schemas import SearchBody
from app.api.stream import GONE, ClientGoneError, unless_gone
from app.asked import check_length
from app.jobs import Job, Key, new_job
from app.keys.library import Library
from app.wiring import Grounded
from ingest.errors import StateNotWritable, StorageFull, next_step_of
from ingest.ports import DocumentRow
from retrieval import filters
from retrieval.explain import explained
from retrieval.model import Context, Found, Hit, LeftOut, Passage, Query
from retrieval.search import as_passage

router = APIRouter(prefix="/v1")


@router.get("/collections")
async def collections(request: Request) -> Response:
    """Every collection with its counts, and the index that answers for all of them."""
    product = grounded(request)
    mine = library(request)
    index = {"generation": product.generations.live.fingerprint, "embedder": product.embedder.name}
    data = []
    for name, collection_id in (await mine.collections()).items():
        documents, chunks = await mine.count(collection_id)
        data.append({"name": name, "documents": documents, "chunks": chunks, **index})
    return json_response(_page(data, more=False))


@router.get("/documents")
async def documents(
    request: Request, collection: str = "default", limit: int = 50, after: str | None = None
) -> Response:
    """The documents of a collection, page by page."""
    limit = max(1, min(limit, 200))
    rows = await library(request).documents(collection, limit + 1, after)
    return json_response(_page([_document(row, collection) for row in rows[:limit]], more=len(rows) > limit))


@router.get("/documents/{document_id}")
async def document(request: Request, document_id: str) -> Response:
    """One document."""
    return json_response(_document(*await library(request).document(document_id)))


@router.delete("/documents/{document_id}")
async def delete(request: Request, document_id: str) -> Response:
    """From this reply on the document is in no answer. A job removes the rest of it and signs the receipt."""
    product = grounded(request)

    async def remove(key: Key | None) -> Response:
        row, _ = await library(request).document(document_id)
        shelf = product.uploads.shelf_at(row.collection_id, row.root)
        file = await product.uploads.mark(row.collection_id, row.id, shelf)
        spec = {"document_id": row.id, "collection_id": row.collection_id, "file": file, "shelf": shelf}
        job = new_job("delete", spec, principal_of(request))

        async def hide() -> None:
            await product.ingest.hide(row.id, job.id)
            with suppress(StateNotWritable, StorageFull):  # then the job does it, or says why not
                await product.uploads.set_aside(row.collection_id, row.id, file, shelf)

        return _deleted(await product.jobs.submit(job, key, hide))

    return await once(request, b"", remove, _deleted)


@router.get("/documents/{document_id}/receipt")
async def receipt(request: Request, document_id: str) -> Response:
    """Of the document's last deletion, by whatever road: where it was looked for, what was removed, what is left."""
    return json_response(receipt_object(await library(request).receipt(document_id)))


@router.get("/documents/{document_id}/content")
async def content(request: Request, document_id: str) -> Response:
    """The stored text of the live version: what all offsets point into. Always plain text, whatever the file was."""
    return PlainTextResponse(await library(request).text(document_id), headers={"cache-control": "no-cache"})


@router.get("/sources/{source_id}")
async def source(request: Request, source_id: str) -> Response:
    """A passage with its text, from the live version."""
    passage = as_passage(Hit(source_id, {}), await library(request).source(source_id), None)
    return json_response(source_object(passage, 1, base_url(request), ("sources.text",)))


@router.post("/vector_stores/{collection}/search")
async def search(request: Request, collection: str) -> Response:
    """Passages for a question, with their rank and score in each arm; the shape OpenAI's clients read."""
    body = await parsed(request, SearchBody)
    product = grounded(request)
    check_length("query", body.text(), product.settings)
    await product.settled()
    wanted = filters.parsed(body.filters, datetime.now(UTC))
    try:
        work = _found(product, library(request), collection, body, wanted)
        found = await unless_gone(request.receive, work, end_of(request))
    except ClientGoneError:
        return Response(status_code=GONE)
    data = [_hit(passage) for passage in found.passages[: body.max_num_results]]
    page: dict[str, Any] = {"object": "vector_store.search_results.page", "search_query": [body.text()], "data": data}
    page |= {"has_more": False, "next_page": None, "degraded": list(found.degraded)}
    told = await _explained(library(request), collection, found, body, base_url(request)) if body.explain else None
    return json_response(page if told is None else {**page, "explanation": told})


async def _explained(
    mine: Library, collection: str, found: Found, body: SearchBody, link: str
) -> dict[str, Any] | None:
    """A search packs nothing: what it shows is kept, the rest of what it read is too much."""
    shown, more = found.passages[: body.max_num_results], found.passages[body.max_num_results :]
    search = explained(found, Context(shown, tuple(LeftOut(passage, "top_k") for passage in more), 0))
    if search is None:
        return None
    readable = await readable_now(mine, collection, search)
    told = {"query": search.asked.text, "filters": body.filters or {}}
    return {"object": "search.explanation", **told, **explanation(search, readable, link)}


async def _found(product: Grounded, mine: Library, collection: str, body: SearchBody, wanted: filters.Filter) -> Found:
    """A search costs what a question costs but for the writing, so it waits in the same line."""
    async with product.admission.admit(mine.key_id or ""):
        scope = await mine.scope(collection)
        return await product.search.search(Query(body.text(), scope, wanted))


def _deleted(job: Job) -> Response:
    """Counts are null until the job has collected them; its own reply tells them then."""
    counts = dict.fromkeys(("vectors", "lexical", "cache", "answers", "traces"))
    return json_response({"id": job.spec["document_id"], "deleted": True, "job_id": job.id, "receipt": counts})


def _page(data: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    return {"object": "list", "data": data, "has_more": more, "next": data[-1].get("id") if more else None}


def _document(row: DocumentRow, collection: str) -> dict[str, Any]:
    error = _error(row.error_code, row.error_message) if row.error_code else None
    return {
        "id": row.id,
        "collection": collection,
        "filename": row.name,
        "title": row.title,
        "media_type": row.media_type,
        "status": row.status,
        "version": row.version,
        "sha256": row.sha256,
        "bytes": row.bytes,
        "pages": row.pages,
        "chunks": row.chunks,
        "modified_at": row.modified_at,
        "updated_at": row.updated_at,
        "metadata": described(row.metadata),
        "access": list(row.metadata.access),
        "error": error,
    }


def _error(code: str, message: str | None) -> dict[str, str]:
    return {"code": code, "message": message or "", "next_step": next_step_of(code)}


def _hit(passage: Passage) -> dict[str, Any]:
    """An attribute holds no null; ranks and scores are flat, since attributes may not nest."""
    attributes: dict[str, str | int | float] = {
        "source_id": passage.id,
        "start": passage.start,
        "end": passage.end,
        "title": passage.title,
        "heading": " > ".join(passage.heading_path),
        "modified_at": rfc3339(passage.modified_at),
    }
    if passage.metadata.url:
        attributes["url"] = passage.metadata.url
    if passage.page is not None:
        attributes["page"] = passage.page
    for arm, place in passage.hit.places.items():
        attributes[f"{arm}_rank"] = place.rank
        attributes[f"{arm}_score"] = round(place.score, 6)
    places = passage.hit.places
    best = places.get("cross") or places.get("rerank") or places["fused"]
    text = [{"type": "text", "text": passage.text}]
    return {
        "file_id": passage.document_id,
        "filename": passage.name,
        "score": best.score,
        "attributes": attributes,
        "content": text,
    }
