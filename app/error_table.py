"""The one table: what went wrong -> HTTP status and type. Found by MRO, so a new leaf inherits its branch's row.

An exception that is not a GroundedError is told as internal_error without a word of its own text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app import settings
from app.errors import (
    AnswerWithdrawn,
    BodyTooLarge,
    BudgetExceeded,
    CommandError,
    CrossSite,
    GenerationWorse,
    GoldenSetMissing,
    HostNotAllowed,
    IdempotencyConflict,
    IdentityUnavailable,
    IngestRunning,
    InsufficientScope,
    InternalError,
    InvalidApiKey,
    InvalidRequest,
    JobAbandoned,
    JobFinished,
    MethodNotAllowed,
    MissingApiKey,
    NotFound,
    Overloaded,
    QuestionBlocked,
    RateLimited,
    ReindexRunning,
    RequestTooSlow,
    ShuttingDown,
    TierNotAllowed,
    UnsupportedMediaType,
    UnsupportedParameter,
    ValidationFailed,
    WebhookFailed,
    WebhookNotAllowed,
    WebhookOff,
    WebhookTargetInside,
)
from generation import errors as generation
from ingest import errors as ingest
from ingest.errors import GroundedError
from retrieval import errors as retrieval

ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "rate_limit_error",
    "server_error",
]


@dataclass(frozen=True, slots=True)
class Row:
    """What HTTP makes of an error."""

    status: int
    type: ErrorType


def _rows(status: int, kind: ErrorType, *errors: type[GroundedError]) -> dict[type[GroundedError], Row]:
    return {error: Row(status, kind) for error in errors}


TABLE: Mapping[type[GroundedError], Row] = {
    **_rows(400, "invalid_request_error", InvalidRequest, UnsupportedParameter, QuestionBlocked),
    **_rows(400, "invalid_request_error", generation.ContextTooLong),
    **_rows(401, "authentication_error", MissingApiKey, InvalidApiKey),
    **_rows(403, "permission_error", HostNotAllowed, CrossSite, InsufficientScope, TierNotAllowed),
    **_rows(404, "not_found_error", NotFound, ingest.FolderNotFound),
    **_rows(405, "invalid_request_error", MethodNotAllowed),
    **_rows(408, "invalid_request_error", RequestTooSlow),
    **_rows(409, "conflict_error", IngestRunning, JobFinished, IdempotencyConflict, ReindexRunning, GenerationWorse),
    **_rows(409, "conflict_error", WebhookOff),
    **_rows(410, "invalid_request_error", AnswerWithdrawn),
    **_rows(413, "invalid_request_error", BodyTooLarge, ingest.TooLarge),
    **_rows(415, "invalid_request_error", UnsupportedMediaType, ingest.Unsupported),
    **_rows(422, "invalid_request_error", ValidationFailed, ingest.FileError, ingest.FolderEmpty),
    **_rows(422, "invalid_request_error", retrieval.InvalidFilter, GoldenSetMissing),
    **_rows(422, "invalid_request_error", WebhookNotAllowed, WebhookTargetInside),
    **_rows(429, "rate_limit_error", RateLimited, BudgetExceeded, generation.BudgetSpent),
    **_rows(500, "server_error", InternalError),
    **_rows(502, "server_error", generation.UpstreamTruncated, generation.StructuredOutputInvalid, WebhookFailed),
    **_rows(503, "server_error", IdentityUnavailable),
    **_rows(503, "server_error", Overloaded, ShuttingDown, JobAbandoned, CommandError, settings.ConfigurationError),
    **_rows(
        503, "server_error", generation.UpstreamUnavailable, generation.UpstreamMisconfigured, generation.EndpointPaced
    ),
    **_rows(503, "server_error", generation.ModerationUnavailable, generation.VerifierUnavailable),
    **_rows(503, "server_error", retrieval.IndexUnavailable, retrieval.EmbedderUnavailable),
    **_rows(503, "server_error", retrieval.RerankerUnavailable, ingest.CatalogUnavailable, ingest.IndexIncomplete),
    **_rows(503, "server_error", ingest.CatalogCorrupt, ingest.StorageFailed),
    **_rows(503, "server_error", ingest.StateLocked, ingest.StateNotWritable, ingest.GenerationMismatch),
    **_rows(504, "server_error", generation.UpstreamTimeout, retrieval.SearchTimeout),
    **_rows(507, "server_error", ingest.StorageFull),
}
_RETRY_AFTER_S = 5  # where nobody knows better: long enough for a restart of an endpoint to get somewhere
_NO_RETRY = (
    generation.UpstreamTruncated,
    generation.UpstreamTimeout,
    generation.StructuredOutputInvalid,
    retrieval.SearchTimeout,
)


def known(error: BaseException) -> GroundedError:
    """The error itself if it has a row, else an InternalError that says nothing about it."""
    if isinstance(error, GroundedError) and any(kind in TABLE for kind in type(error).__mro__):
        return error
    return InternalError("Something broke that should not.")


def row(error: BaseException) -> Row:
    """Status and type; of the nearest class that has a row."""
    return next(TABLE[kind] for kind in type(known(error)).__mro__ if kind in TABLE)


def envelope(
    error: BaseException, request_id: str, param: str | None = None, details: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The body of every refusal and of every `error` event. `param` and `details` stand above the error's own."""
    said = known(error)
    body: dict[str, Any] = {
        "message": said.message,
        "type": row(said).type,
        "param": param if param is not None else getattr(said, "param", None),
        "code": said.code,
        "next_step": said.next_step,
        "request_id": request_id,
    }
    details = details if details is not None else getattr(said, "details", None)
    return {"error": body | ({"details": dict(details)} if details else {})}


def headers(error: BaseException) -> dict[str, str]:
    """`retry-after` where waiting helps; `x-should-retry: false` where a retry would pay for the work again."""
    said = known(error)
    if isinstance(said, BudgetExceeded | generation.BudgetSpent):  # to try again at once would be in vain
        return {"x-should-retry": "false", "retry-after": str(said.retry_after or _RETRY_AFTER_S)}
    if isinstance(said, (*_NO_RETRY, IdempotencyConflict, JobFinished)):
        return {"x-should-retry": "false"}
    if row(said).status == 401:
        return {"www-authenticate": "Bearer"}
    if row(said).status in (429, 503):
        return {"retry-after": str(getattr(said, "retry_after", None) or _RETRY_AFTER_S)}
    return {}
