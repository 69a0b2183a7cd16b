"""Whether the process turns, and whether it can answer."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.ask import grounded
from app.api.replies import json_response
from app.wiring import Grounded
from ingest.errors import GroundedError

router = APIRouter(prefix="/health")
_STARTING_S = 1.0  # an index that is just being opened is not missing
_OUTDATED = "The index was built with another embedder than the one configured, and goes on answering with that one."
_INDEX = {"short": "degraded", "empty": "failed", "unavailable": "failed"}


@router.get("/live")
async def live() -> Response:
    """200 while the event loop turns."""
    return json_response({"status": "ok"})


@router.get("/ready")
async def ready(request: Request) -> Response:
    """200 when questions can be answered; 503 while models load, when catalog or index is missing, and when ending."""
    product = grounded(request)
    checks = await _checks(product)
    draining = bool(getattr(request.app.state, "draining", False))
    there = checks["catalog"] == "ok" and checks["index"] not in ("failed", "loading")
    able = there and not draining and checks["embedder"] != "loading"
    told = {"index": product.watch.seen.detail, "generation": _OUTDATED}
    details = {name: told[name] for name in told if checks[name] != "ok"}
    if (problem := product.bars.problem) is not None:  # it answers, and all its parts are well
        details["abstention"] = problem
    body = {"status": "ready" if able else "not_ready", "checks": checks, "details": details}
    return json_response(body, 200 if able else 503)


async def _checks(product: Grounded) -> dict[str, str]:
    """`ok`, `degraded`, `loading` or `failed` for each part, by name. An index that lacks points of live chunks is
    degraded, one without any has failed: its questions would be answered with "not in these documents"."""
    checks: dict[str, str] = {
        "catalog": "ok",
        "index": "ok",
        "embedder": "ok",
        "reranker": "ok",
        "generator": product.router.state,
    }
    try:
        checks["index"] = await _index(product)
    except GroundedError:
        checks["catalog"] = "failed"
    checks["generation"] = "degraded" if product.generations.outdated else "ok"
    if not product.models.done():
        checks["embedder"] = checks["reranker"] = "loading"
    elif product.models.exception() is not None:
        checks["embedder"] = checks["reranker"] = "degraded"
    if not product.warming.done():
        checks["reranker"] = "loading"
    elif product.warming.exception() is not None or (product.reranking and product.reranking.state != "closed"):
        checks["reranker"] = "degraded"
    return checks


async def _index(product: Grounded) -> str:
    """Raises GroundedError when the catalog cannot be read."""
    await asyncio.wait({product.upkeep}, timeout=_STARTING_S)
    found = _INDEX.get((await product.watch.look()).state, "ok")
    return "loading" if found != "ok" and not product.upkeep.done() else found
