"""The ASGI application: routes, the boundary around them, and one shape for every error."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api import answers, ask, batch, documents, health, jobs, page, uploads
from app.api.authentication import Authentication
from app.api.limits import Arrivals, KeyRates
from app.api.middleware import REQUEST_ID, SECURITY_HEADERS, Boundary
from app.api.openapi import document
from app.api.replies import error_response
from app.errors import MethodNotAllowed, NotFound, ValidationFailed
from app.settings import Settings
from app.state import StateFolder
from app.wiring import opened
from ingest.errors import GroundedError


def create_app(settings: Settings, *, local: bool = False) -> FastAPI:
    """The service on a state folder that the caller owns. Everything opens at start and closes at the end, unless the
    caller has put an opened product into `app.state.grounded`. `local`: nobody but the caller itself sends requests, and
    needs no key."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as closing:
            if not hasattr(app.state, "grounded"):
                app.state.grounded = await closing.enter_async_context(opened(settings, StateFolder(settings.state)))
            yield

    app = FastAPI(title="Grounded", version=version("grounded-qa"), lifespan=lifespan, docs_url=None, redoc_url=None)
    for module in (ask, answers, batch, documents, uploads, jobs, health, page):
        app.include_router(module.router)
    app.openapi = partial(document, app)  # type: ignore[method-assign]
    app.add_exception_handler(GroundedError, _planned)
    app.add_exception_handler(HTTPException, _from_framework)
    app.add_exception_handler(RequestValidationError, _from_framework)
    app.add_exception_handler(Exception, _unplanned)
    app.add_middleware(KeyRates, limits=settings.limits)
    app.add_middleware(Authentication, local=local)
    app.add_middleware(Arrivals, limits=settings.limits)
    app.add_middleware(
        Boundary,
        allowed_hosts=settings.allowed_hosts,
        max_body=settings.max_body_kb * 1024,
        max_upload=settings.max_upload_mb * 2**20,
        max_batch=settings.batch.max_mb * 2**20,
        public_url=settings.public_url,
    )
    return app


async def _planned(request: Request, error: Exception) -> Response:
    return error_response(error, request.state.request_id)


async def _from_framework(request: Request, error: Exception) -> Response:
    """The framework's own refusals, in our envelope."""
    match error:
        case RequestValidationError():
            first = error.errors()[0]
            param = ".".join(str(part) for part in first["loc"][1:])
            known: GroundedError = ValidationFailed(f"{param}: {first['msg']}.", param=param)
        case HTTPException(status_code=405):
            known = MethodNotAllowed("This address does not know that method.")
        case _:
            known = NotFound("There is nothing at this address.")
    return error_response(known, request.state.request_id)


async def _unplanned(request: Request, error: Exception) -> Response:
    """The framework answers these outside of the boundary, so they get its headers here."""
    request_id = request.state.request_id
    structlog.get_logger().error("request.failed", request_id=request_id, exc_info=error)
    reply = error_response(error, request_id)
    reply.headers.update({**SECURITY_HEADERS, REQUEST_ID: request_id, "cache-control": "no-store"})
    return reply
