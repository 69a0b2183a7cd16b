"""`POST /ask` and its twins: one handler, JSON or server-sent events."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from itertools import count
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.answer_schemas import AnswerTold
from app.api.authentication import principal_of
from app.api.encoders.native import NativeEncoder, fold, frame
from app.api.replies import error_response, json_response, parsed, validated
from app.api.resumed import read, recorded
from app.api.schemas import AskBody
from app.api.stream import GONE, ClientGoneError, EventStream, Frame, cut_short, unless_gone
from app.asked import question_of
from app.errors import InvalidRequest
from app.keys.library import Library
from app.keys.ring import End
from app.wiring import Grounded
from generation.events import AnswerEvent, Failed

router = APIRouter()
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": AskBody.model_json_schema()}}}}
_ANSWER: dict[int | str, dict[str, Any]] = {200: {"model": AnswerTold}}


@router.post("/ask", openapi_extra=_BODY, responses=_ANSWER)
@router.post("/v1/ask", openapi_extra=_BODY, responses=_ANSWER)
async def ask(request: Request) -> Response:
    """Ask a question. The answer comes as one JSON document, or as events where `stream` or `Accept` asks for them."""
    return await _answer(request, await parsed(request, AskBody))


@router.get("/ask")
async def ask_by_url(request: Request) -> Response:
    """The same for curl: `/ask?question=...&collection=...&top_k=...`. Off by `ask_get`."""
    if not grounded(request).settings.ask_get:
        raise InvalidRequest("Asking by GET is switched off here.", "Send POST /ask with a JSON body.")
    await request.body()
    return await _answer(request, validated(dict(request.query_params), AskBody))


def grounded(request: Request) -> Grounded:
    """The product behind this request."""
    found: Grounded = request.app.state.grounded
    return found


def library(request: Request) -> Library:
    """The catalog, as far as whoever asks may read it."""
    return Library(grounded(request).catalog, principal_of(request))


def end_of(request: Request) -> End | None:
    """The end of the key with which this was asked. It is watched for as long as the caller holds it."""
    return grounded(request).authenticator.ring.end_of(principal_of(request))


async def _document(request: Request, encoder: NativeEncoder, events: AsyncGenerator[AnswerEvent, None]) -> Response:
    """The fold of the same events. An error event gives the document its status."""

    async def collect() -> list[AnswerEvent]:
        seen: list[AnswerEvent] = []
        async with aclosing(events):
            async for event in events:
                seen.append(event)
                await asyncio.sleep(0)  # what is quoted waits for nothing by itself, and others want their turn
        return seen

    seen = await unless_gone(request.receive, collect(), end_of(request))
    failed = next((event.error for event in seen if isinstance(event, Failed)), None)
    if failed is not None:
        return error_response(failed, request.state.request_id)
    return json_response(fold(payload for event in seen for payload in encoder.encode(event)))


async def _answer(request: Request, body: AskBody) -> Response:
    try:
        return await _begun(request, body)
    except ClientGoneError:
        return Response(status_code=GONE)
    except asyncio.CancelledError:
        if not getattr(request.app.state, "draining", False):
            raise
        return error_response(cut_short(), request.state.request_id)  # the drain time is over


async def _begun(request: Request, body: AskBody) -> Response:
    """The answer, as far as it has to be known before its status is."""
    product, who = grounded(request), principal_of(request)
    await product.settled()
    streams = body.stream or "text/event-stream" in request.headers.get("accept", "")
    if body.resumable and not streams:
        raise InvalidRequest("Only a stream can be taken up again.", "Send stream=true with resumable, or neither.")
    question, style = question_of(body, product.settings, request.state.request_id, who)
    if wants_it_fresh(request):
        question = replace(question, cache="bypass")
    encoder = NativeEncoder(base_url(request), tuple(body.include), style)
    events = product.pipeline.ask(question)
    if not streams:
        return await _document(request, encoder, events)
    end, settings = end_of(request), product.settings
    first = await unless_gone(request.receive, anext(events), end)
    if body.resumable:
        return read(recorded(product.recordings, who, (first, events), encoder, end), settings)
    framed = _framed(encoder)
    return EventStream(first, events, framed, ping_s=settings.ping_s, stalled_s=settings.stalled_s, end=end)


def wants_it_fresh(request: Request) -> bool:
    """Whether its headers ask for an answer that was made for it, as HTTP has them."""
    asked = {part.strip().lower() for part in request.headers.get("cache-control", "").split(",")}
    return not asked.isdisjoint(("no-cache", "no-store", "max-age=0"))


def _framed(encoder: NativeEncoder) -> Frame:
    """Frames with running numbers from 0."""
    numbers = count()
    return lambda event: b"".join(frame(payload, next(numbers)) for payload in encoder.encode(event))


def base_url(request: Request) -> str:
    """Where links to sources lead: the configured address, or the one this request came by (its host was checked)."""
    configured = grounded(request).settings.public_url
    return configured.rstrip("/") or f"{request.url.scheme}://{request.url.netloc}"
