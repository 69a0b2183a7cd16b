"""Batches over HTTP: many questions in, a job out, and its results as JSON lines while it runs and after."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from itertools import islice
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from app.api.ask import base_url, grounded, library
from app.api.authentication import principal_of
from app.api.batch_schemas import BatchBody, BatchQuestion
from app.api.idempotency import once
from app.api.jobs import accepted, webhook_object
from app.api.replies import json_response, validated
from app.asked import question_of
from app.batch import BatchStore, Result, new_batch, shown
from app.errors import ApiError, InvalidRequest, JobNotFound, UnsupportedMediaType, ValidationFailed
from app.jobs import Job, Key
from app.keys.library import Library
from app.keys.model import Principal
from app.settings import Settings
from app.webhooks import Webhook, new_webhook
from app.wiring import Grounded
from retrieval.errors import InvalidFilter

router = APIRouter(prefix="/v1")
LINES = "application/x-ndjson"
_LINES = (LINES, "application/jsonl", "application/x-jsonlines")
_PAGE = 100
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": BatchBody.model_json_schema()},
            LINES: {"schema": {"type": "string", "description": "One question a line."}},
        },
    }
}


@router.post("/batch", openapi_extra=_BODY, status_code=202)
async def submit(request: Request) -> Response:
    """Have many questions answered, in places that nobody else wants: a JSON document, or a line of JSON for each question
    with `collection` and `webhook` in the address."""
    product = grounded(request)
    data = await request.body()
    body = await asyncio.to_thread(_parsed, request, data, product.settings)

    async def start(key: Key | None) -> Response:
        return accepted(await _submitted(request, body, key))

    return await once(request, body.model_dump_json().encode(), start, accepted)


async def _submitted(request: Request, body: BatchBody, key: Key | None) -> Job:
    product = grounded(request)
    await product.batches.check_room(len(body.questions))
    job = new_batch(base_url(request), len(body.questions), principal_of(request))
    webhook = await _webhook(product, job, body.webhook)
    questions = [(question.id, _kept(question, body)) for question in body.questions]

    async def keep(job: Job, key: Key | None) -> Job:
        return await product.batches.store.submit(job, key, questions, webhook)

    kept = await product.jobs.submit(job, key, keep=keep)
    product.webhooks.wake()
    return kept


async def _webhook(product: Grounded, job: Job, url: str | None) -> Webhook | None:
    if url is None:
        return None
    await product.webhooks.check(url)
    return new_webhook(job.id, url)


def _kept(question: BatchQuestion, body: BatchBody) -> dict[str, Any]:
    """What is kept of a question until it has its result."""
    kept = question.model_dump(mode="json", exclude_unset=True)
    if body.collection is not None:
        kept.setdefault("collection", body.collection)
    return kept


def _parsed(request: Request, data: bytes, settings: Settings) -> BatchBody:
    """The body, every question of it checked as if it were asked alone."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        content = _loaded(data, "The request body is not JSON.")
    elif kind in _LINES:
        content = {"questions": list(_questions(data, settings.batch.max_questions))}
        content |= {
            name: request.query_params[name] for name in ("collection", "webhook") if name in request.query_params
        }
    else:
        raise UnsupportedMediaType("The batch is sent neither as JSON nor as lines of JSON.")
    asked = content.get("questions") if isinstance(content, dict) else None
    if isinstance(asked, list) and len(asked) > settings.batch.max_questions:
        raise ValidationFailed(f"questions: are more than {settings.batch.max_questions}.", param="questions")
    body = validated(content, BatchBody)
    for number, question in enumerate(body.questions):
        _check(number, question, settings, principal_of(request))
    return body


def _questions(data: bytes, most: int) -> Iterator[Any]:
    """One more than may be at most: a body of empty lines, or of short ones, becomes far more memory than it has bytes."""
    lines = (line for line in BytesIO(data) if line.strip())
    for number, line in enumerate(islice(lines, most + 1), 1):
        yield _loaded(line, f"Line {number} is not JSON.")


def _loaded(data: bytes, wrong: str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(wrong) from error


def _check(number: int, question: BatchQuestion, settings: Settings, who: Principal) -> None:
    """What makes a question refused makes its batch refused, with its place."""
    try:
        question_of(question, settings, "", who)
    except (ApiError, InvalidFilter) as error:
        param = f"questions.{number}.{getattr(error, 'param', None) or 'filters'}"
        raise ValidationFailed(f"questions.{number}: {error.message}", error.next_step, param=param) from error


@router.get("/jobs/{job_id}/results")
async def results(request: Request, job_id: str, after: str | None = None, *, in_order: bool = False) -> Response:
    """The results of a batch that there are by now, in the order of its questions, as JSON lines; with `after` those behind
    the question of that id, with `in_order` only those that follow it without a gap."""
    product = grounded(request)
    if (await product.jobs.find(job_id, principal_of(request))).type != "batch":
        raise JobNotFound("The job is no batch, so it has no results.")
    store = product.batches.store
    number = -1 if after is None else await store.number(job_id, after)
    if number is None:
        raise ValidationFailed("after: is the id of no question of this batch.", param="after")
    first = await store.results(job_id, number, _PAGE)  # before the response begins: it may fail
    reader = _Reader(job_id, store, library(request), partial(product.authenticator.ring.check, principal_of(request)))
    lines = reader.lines(await reader.readable(first), number if in_order else None)
    return StreamingResponse(lines, media_type=LINES, headers={"cache-control": "no-cache"})


@dataclass(frozen=True, slots=True)
class _Reader:
    """Somebody who reads the results of a batch. `check` raises when their key has come to its end: the reply breaks off."""

    job_id: str
    store: BatchStore
    mine: Library
    check: Callable[[], Awaitable[None]]

    async def lines(self, page: list[Result], last: int | None) -> AsyncIterator[bytes]:
        """Page by page, so that neither side holds all of it; behind the number `last` without a gap, if there is one."""
        while page:
            if last is not None:
                page = [result for n, result in enumerate(page, last + 1) if result.number == n]
                last += len(page)
            yield b"".join(shown(result) + b"\n" for result in page)
            await self.check()
            behind = await self.store.results(self.job_id, page[-1].number, _PAGE) if page else []
            page = await self.readable(behind)

    async def readable(self, page: list[Result]) -> list[Result]:
        """A result that rests on what the reader may not read any more is withdrawn from them."""
        if self.mine.reads_all or not page:
            return page
        rests = await self.store.rests_on(self.job_id, [result.number for result in page])
        may = await self.mine.readable(frozenset[str]().union(*rests.values()))
        return [replace(one, line=None) if rests.get(one.number, frozenset()) - may else one for one in page]


@router.get("/webhooks/dead")
async def dead(request: Request, limit: int = 50, after: str | None = None) -> Response:
    """Webhooks that were given up, the newest first, page by page."""
    limit = max(1, min(limit, 200))
    found = await grounded(request).webhooks.store.dead(limit + 1, after, principal_of(request))
    data, more = [webhook_object(webhook) for webhook in found[:limit]], len(found) > limit
    return json_response({"object": "list", "data": data, "has_more": more, "next": data[-1]["id"] if more else None})


@router.post("/webhooks/{webhook_id}/retry", status_code=202)
async def retry(request: Request, webhook_id: str) -> Response:
    """Send a dead letter again, with all its attempts."""
    revived = await grounded(request).webhooks.revive(webhook_id, principal_of(request))
    return json_response(webhook_object(revived), 202)
