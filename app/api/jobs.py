"""Jobs over HTTP: what there is to do, how far it is, and how it ended."""

from dataclasses import asdict
from itertools import count
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.ask import end_of, grounded, library
from app.api.authentication import from_here, principal_of
from app.api.encoders.native import frame
from app.api.idempotency import once
from app.api.replies import json_response, parsed
from app.api.schemas import JobBody, ReindexBody
from app.api.stream import EventStream
from app.error_table import envelope
from app.errors import InsufficientScope, ValidationFailed
from app.jobs import FileEntry, Job, JobStatus, Key, Told, new_job
from app.recipe import recipe_of
from app.reindex import Asked, found_golden
from app.webhooks import Webhook
from app.wiring import Grounded
from generation.events import Failed
from ingest.generation import Generation
from ingest.receipt import Receipt

router = APIRouter(prefix="/v1")
_SCHEMA = {"anyOf": [JobBody.model_json_schema(), ReindexBody.model_json_schema()]}
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}}
_STATUSES: tuple[JobStatus, ...] = ("enqueued", "processing", "succeeded", "failed", "canceled")


@router.post("/jobs", openapi_extra=_BODY, status_code=202)
async def submit(request: Request) -> Response:
    """Bring folders of this machine in step with the index, or build the index anew: how the command line hands work to the
    service."""
    only_from_here(request)
    again = await _asks_reindex(request)
    body: JobBody | ReindexBody = await parsed(request, ReindexBody) if again else await parsed(request, JobBody)

    async def start(key: Key | None) -> Response:
        job = new_job(body.type, await _spec(grounded(request), body), principal_of(request))
        kept = await grounded(request).jobs.submit(job, key)
        return json_response({**job_object(kept), "joined": kept.id != job.id}, 202)

    return await once(request, body.model_dump_json().encode(), start, accepted)


async def _asks_reindex(request: Request) -> bool:
    """Before the body is checked: what may be in it depends on the type."""
    try:
        found = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, dict) and found.get("type") == "reindex"


async def _spec(product: Grounded, body: JobBody | ReindexBody) -> dict[str, Any]:
    """What is kept of the job. Raises GenerationNotFound."""
    if isinstance(body, ReindexBody):
        wanted = body.options
        embedder = wanted.embedder or product.settings.embedder
        golden = wanted.golden or found_golden(product.settings)
        asked = Asked(recipe_of(embedder), golden, wanted.force, wanted.rollback, wanted.drop_old)
        return asdict(await product.reindex.order(asked))
    options = body.options.model_dump()
    return {"collection": options.pop("collection"), "folders": body.paths, "options": options}


@router.get("/generations")
async def generations(request: Request) -> Response:
    """The indexes that there are, the newest first: which one is live, what it was built with and what it was measured at."""
    rows = await grounded(request).reindex.generations()
    return json_response(
        {"object": "list", "data": [generation_object(row) for row in rows], "has_more": False, "next": None}
    )


@router.get("/jobs")
async def jobs(request: Request, limit: int = 50, after: str | None = None, status: str | None = None) -> Response:
    """Jobs, the newest first, page by page."""
    wanted = next((known for known in _STATUSES if known == status), None)
    if status is not None and wanted is None:
        raise ValidationFailed(f"status: is none of {', '.join(_STATUSES)}.", param="status")
    limit = max(1, min(limit, 200))
    found = await grounded(request).jobs.store.page(limit + 1, after, wanted, principal_of(request))
    data, more = [job_object(job) for job in found[:limit]], len(found) > limit
    return json_response({"object": "list", "data": data, "has_more": more, "next": data[-1]["id"] if more else None})


@router.get("/jobs/{job_id}")
async def job(request: Request, job_id: str) -> Response:
    """One job with its files; of a deletion its receipt, of a batch its webhook."""
    dispatcher = grounded(request).jobs
    found = await dispatcher.find(job_id, principal_of(request))
    if found.type == "batch":
        webhook = await grounded(request).webhooks.store.of_job(job_id)
        return json_response({**job_object(found), "webhook": webhook_object(webhook) if webhook else None})
    files = [file_object(entry) for entry in await dispatcher.store.files(job_id)]
    if found.type != "delete":
        return json_response({**job_object(found), "files": files})
    receipt = await library(request).receipt_of(found)
    return json_response({**job_object(found), "receipt": receipt_object(receipt)})


@router.get("/jobs/{job_id}/events")
async def events(request: Request, job_id: str) -> Response:
    """The job as it goes, as server-sent events: `job` when it got on, `file` for each file. The last one is its end."""
    product = grounded(request)
    followed = product.jobs.follow(job_id, principal_of(request))
    first = await anext(followed)
    numbers = count()

    def framed(item: Job | FileEntry | Failed) -> bytes:
        match item:
            case Job():
                payload = {"type": "job", "job": job_object(item)}
            case Failed():
                payload = {"type": "error", **envelope(item.error, request.state.request_id)}
            case _:
                payload = {"type": "file", "file": file_object(item)}
        return frame(payload, next(numbers))

    s, end = product.settings, end_of(request)
    return EventStream(first, followed, framed, ping_s=s.ping_s, stalled_s=s.stalled_s, end=end)


@router.post("/jobs/{job_id}/cancel", status_code=202)
async def cancel(request: Request, job_id: str) -> Response:
    """Stop it. What it has committed stays; its end is in the reply if it came at once."""

    async def stop(_key: Key | None) -> Response:
        return accepted(await grounded(request).jobs.cancel(job_id, principal_of(request)))

    return await once(request, b"", stop, accepted)


def only_from_here(request: Request) -> None:
    """A request that names folders of this machine must come from it: not through a proxy, which comes from here too.

    Raises InsufficientScope.
    """
    if not from_here(request.scope):
        raise InsufficientScope(
            "Only programs on this machine may have folders of it ingested.",
            "Send it from this machine without a proxy, or upload the files with POST /v1/documents.",
        )


def accepted(job: Job) -> Response:
    """202 with the job."""
    return json_response(job_object(job), 202)


def job_object(job: Job) -> dict[str, Any]:
    """A job as the wire has it."""
    end = job.finished_at
    duration = round((end - job.started_at).total_seconds() * 1e3) if end and job.started_at else None
    details = dict.fromkeys(("received", "indexed", "skipped", "failed", "deleted"), 0)
    return {
        "id": job.id,
        "object": "job",
        "type": job.type,
        "status": job.status,
        "details": {**details, **job.details},
        "progress": {"done": job.progress.done, "total": job.progress.total, "unit": job.progress.unit},
        "error": _told(job.error),
        "enqueued_at": job.enqueued_at,
        "started_at": job.started_at,
        "updated_at": job.updated_at,
        "finished_at": end,
        "duration_ms": duration,
    }


def generation_object(row: Generation) -> dict[str, Any]:
    """A generation as the wire and the command line have it."""
    return {
        "id": row.fingerprint,
        "object": "generation",
        "state": row.state,
        "embedder": dict(row.recipe),
        "dimension": row.dimension,
        "scores": dict(row.scores),
        "created_at": row.created_at,
        "swapped_at": row.swapped_at,
        "retired_at": row.retired_at,
    }


def file_object(entry: FileEntry) -> dict[str, Any]:
    """What a job did with a file, as the wire has it."""
    return {
        "path": entry.path,
        "status": entry.status,
        "document_id": entry.document_id,
        "chunks": entry.chunks,
        "pages": entry.pages,
        "ms": round(entry.ms, 1),
        "error": _told(entry.error),
        "warnings": list(entry.warnings),
        **({"renamed_from": entry.renamed_from} if entry.renamed_from is not None else {}),
    }


def receipt_object(receipt: Receipt | None) -> dict[str, Any] | None:
    """A receipt as the wire has it: what was removed of each store, and what is left. Null until both are known."""
    if receipt is None:
        return None
    signed = receipt.signed_at is not None
    places = receipt.places.items()
    return {
        **{name: place.found - (place.left or 0) if signed else None for name, place in places},
        "left": {name: place.left for name, place in places} if signed else None,
        "document_id": receipt.document_id,
        "deleted_at": receipt.deleted_at,
        "signed_at": receipt.signed_at,
    }


def webhook_object(webhook: Webhook) -> dict[str, Any]:
    """A webhook as the wire has it."""
    return {
        "id": webhook.id,
        "object": "webhook",
        "job_id": webhook.job_id,
        "url": webhook.url,
        "state": webhook.state,
        "attempts": webhook.attempts,
        "status": webhook.status,
        "next_attempt_at": webhook.due_at if webhook.state == "waiting" else None,
        "ended_at": webhook.ended_at,
        "error": _told(webhook.error),
    }


def _told(error: Told | None) -> dict[str, Any] | None:
    return {"code": error.code, "message": error.message, "next_step": error.next_step} if error else None
