"""What is refused, by whom it is asked: errors of requests and of commands.

Messages say the cause and next steps what to do; both are written by us. Their HTTP status and type are in
`app.error_table`.
"""

from collections.abc import Mapping
from typing import Any

from ingest.errors import GroundedError


class ApiError(GroundedError):
    """A request that is not carried out. `param` names the field, `retry_after` is in whole seconds."""

    code = "invalid_request"
    next_step = "Compare the request with /openapi.json."

    def __init__(
        self,
        message: str,
        next_step: str | None = None,
        *,
        param: str | None = None,
        details: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message, next_step)
        self.param = param
        self.details = details
        self.retry_after = retry_after


class InvalidRequest(ApiError):
    """The request cannot be understood, or its parts contradict each other."""


class ValidationFailed(ApiError):
    """A field is missing, unknown, or has a wrong value; `param` is its path."""

    code = "validation_failed"
    next_step = "Correct the field that param names."


class UnknownTier(ValidationFailed):
    """There is no tier of this name."""

    code = "unknown_tier"
    next_step = "Leave tier out to have the service choose; grounded config show tells the tiers there are."


class UnsupportedParameter(ApiError):
    """A field asks for something that this service, as it is configured, cannot do."""

    code = "unsupported_parameter"
    next_step = "Leave the field out, or ask the operator to configure what it needs."


class QuestionBlocked(ApiError):
    """The moderation that is configured here does not let this question through; no other model has seen it."""

    code = "question_blocked"
    next_step = "Ask in other words; details.categories says what was found."


class UnsupportedMediaType(ApiError):
    """The body is not of a type that is read."""

    code = "unsupported_media_type"
    next_step = "Send JSON with content-type: application/json."


class BodyTooLarge(ApiError):
    """The body is larger than is read."""

    code = "body_too_large"
    next_step = (
        "Send less, or raise GROUNDED_MAX_BODY_KB, for uploads GROUNDED_MAX_UPLOAD_MB, batches GROUNDED_BATCH__MAX_MB."
    )


class HostNotAllowed(ApiError):
    """The Host header names a host that this service does not answer for."""

    code = "host_not_allowed"
    next_step = "Use an allowed host name, or add this one to GROUNDED_ALLOWED_HOSTS."


class CrossSite(ApiError):
    """A page of another site made the browser send this."""

    code = "cross_site"
    next_step = "Call the service from its own page, or from a program that is no browser."


class MissingApiKey(ApiError):
    """The request does not say who asks."""

    code = "missing_api_key"
    next_step = "Send Authorization: Bearer KEY; on the command line set GROUNDED_API_KEY. Keys: grounded keys create."


class InvalidApiKey(ApiError):
    """The key is not known here or has expired, or the token is not one that is accepted here."""

    code = "invalid_api_key"
    next_step = "Check that the whole key was sent, and to the right service; or ask the operator for another."


class KeyRevoked(InvalidApiKey):
    """The key was revoked, or has come to its end while it was being used."""

    code = "key_revoked"
    next_step = "Ask the operator for a new key."


class IdentityUnavailable(ApiError):
    """The keys of the identity provider cannot be had, so no token can be checked."""

    code = "identity_unavailable"
    next_step = "Try again after the seconds in retry-after; the operator checks GROUNDED_OIDC__JWKS_URL."


class InsufficientScope(ApiError):
    """The key has not the right to do this, or it may be asked for by programs on this machine only."""

    code = "insufficient_scope"
    next_step = "Use a key with the scope that the message names; the operator creates it with grounded keys create."


class TierNotAllowed(ApiError):
    """The passages of this collection may not be sent to this tier."""

    code = "tier_not_allowed"
    next_step = "Leave tier out; the operator says by data_policy and routing.sensitive what may be sent where."


class NotFound(ApiError):
    """There is nothing at this address."""

    code = "not_found"
    next_step = "See /openapi.json for the addresses there are."


class CollectionNotFound(NotFound):
    """There is no collection of this name."""

    code = "collection_not_found"
    next_step = "Check the name, or fill it from a folder: grounded ingest FOLDER --collection NAME."


class DocumentNotFound(NotFound):
    """There is no document with this id."""

    code = "document_not_found"
    next_step = "See GET /v1/documents for the ids there are."


class SourceNotFound(NotFound):
    """There is no source with this id."""

    code = "source_not_found"
    next_step = "Take the id from the sources of an answer."


class AnswerNotFound(NotFound):
    """No answer with this id is known, or it is known no longer."""

    code = "answer_not_found"
    next_step = "Take the id from an answer; those of older answers are forgotten, see GROUNDED_EXPLANATIONS."


class KeyNotFound(NotFound):
    """There is no key with this id."""

    code = "key_not_found"
    next_step = "See grounded keys list for the keys there are."


class JobNotFound(NotFound):
    """There is no job with this id."""

    code = "job_not_found"
    next_step = "See GET /v1/jobs for the jobs there are."


class MethodNotAllowed(ApiError):
    """The address exists, the method does not."""

    code = "method_not_allowed"
    next_step = "See /openapi.json for the methods of this address."


class IngestRunning(ApiError):
    """Another ingest of the same folder, asked for with other options, is not at its end."""

    code = "ingest_running"
    next_step = "Wait for that job or cancel it; its id is in details.job_id."


class ReindexRunning(ApiError):
    """Another reindex, asked for with other options, is not at its end."""

    code = "reindex_running"
    next_step = "Wait until that reindex has ended, or cancel its job, whose id is in details.job_id."


class GenerationNotFound(NotFound):
    """There is no generation to go back to."""

    code = "generation_not_found"
    next_step = "Set the embedder that you want, then run grounded reindex."


class GenerationWorse(ApiError):
    """The new index finds less of the golden set than the live one, which goes on answering."""

    code = "generation_worse"
    next_step = (
        "Keep the live embedder and free the space with grounded reindex --drop-old, "
        "or swap all the same with grounded reindex --force."
    )


class GoldenSetMissing(ApiError):
    """There are no questions by which a new index could be compared with the live one."""

    code = "golden_set_missing"
    next_step = (
        "Write questions about your documents into a file, one JSON object a line with question and file, and name it "
        "with --golden or GROUNDED_REINDEX__GOLDEN; or swap without comparing with grounded reindex --force."
    )


class JobFinished(ApiError):
    """The job is at its end already."""

    code = "job_finished"
    next_step = "There is nothing left to cancel; see GET /v1/jobs/{id} for how it ended."


class WebhookNotAllowed(ApiError):
    """The operator has not named this address as one that webhooks may go to."""

    code = "webhook_not_allowed"
    next_step = "Have its host or the whole address put into GROUNDED_WEBHOOKS__ALLOW, or send the request without it."


class WebhookOff(ApiError):
    """The receiver has answered with status 410, so nothing more is sent there."""

    code = "webhook_off"
    next_step = "Mend the receiver, then send its dead letter again with POST /v1/webhooks/{id}/retry."


class WebhookNotFound(NotFound):
    """There is no dead letter with this id."""

    code = "webhook_not_found"
    next_step = "See GET /v1/webhooks/dead for the dead letters there are."


class WebhookFailed(ApiError):
    """The receiver of a webhook could not be reached, or did not answer with success."""

    code = "webhook_failed"
    next_step = "Mend the receiver; what became a dead letter is sent again with POST /v1/webhooks/{id}/retry."


class WebhookTargetInside(ApiError):
    """The address of a webhook leads to this machine, a private network or a special purpose, or is not reached by https."""

    code = "webhook_target_inside"
    next_step = "Name a receiver that the public internet knows; for trying out, set GROUNDED_WEBHOOKS__LOOPBACK."


class AnswerWithdrawn(ApiError):
    """A document that this answer of a batch rested on was deleted, and the answer with it."""

    code = "answer_withdrawn"
    next_step = "Ask the question again: it is answered from the documents that are there."


class IdempotencyConflict(ApiError):
    """The same Idempotency-Key came with another request."""

    code = "idempotency_conflict"
    next_step = "Send a new key with a new request, and the same key only with the same one."


class JobAbandoned(ApiError):
    """The job was begun again and again and never got on: whatever it does ends the process that does it."""

    code = "job_abandoned"
    next_step = "See the log of the service for how it ended, mend that, then ingest again."


class RateLimited(ApiError):
    """More requests of one key, or of one address, than are allowed in a minute."""

    code = "rate_limited"
    next_step = (
        "Try again after the seconds in retry-after; the operator sets GROUNDED_LIMITS__KEY_PER_MINUTE and others."
    )


class BudgetExceeded(ApiError):
    """The budget of the key or of its tenant is used up, or does not hold what the call may take."""

    code = "budget_exceeded"
    next_step = "Wait for the next day or month, or have the operator raise the budget with grounded budgets set."


class RequestTooSlow(ApiError):
    """The body of the request took longer to arrive than is waited for."""

    code = "request_too_slow"
    next_step = "Send it again over a better connection; the operator can raise GROUNDED_LIMITS__BODY_S."


class Overloaded(ApiError):
    """Too many questions at once."""

    code = "overloaded"
    next_step = "Try again after the seconds in retry-after."


class ShuttingDown(ApiError):
    """The service is about to stop and takes no new work."""

    code = "shutting_down"
    next_step = "Try again after the seconds in retry-after."


class InternalError(GroundedError):
    """Something broke that should not. Never planned."""

    code = "internal_error"
    next_step = "Report it with this request id; the log of the service says more."


class CommandError(GroundedError):
    """What a command says on a terminal; it never becomes a reply."""

    code = "command_failed"


class PortInUse(CommandError):
    """Another program uses the port, or this user may not listen on it."""

    code = "port_in_use"
    next_step = "Stop what listens there, or choose another port with --port or GROUNDED_PORT."


class ServiceUnreachable(CommandError):
    """The service that should answer does not."""

    code = "service_unreachable"
    next_step = "Start it with grounded serve, or check GROUNDED_URL."


class BackupDamaged(CommandError):
    """The file is not a backup of ours, was made by a newer release, or is not what was written."""

    code = "backup_damaged"
    next_step = "Take another copy of the file or an older backup; nothing was put into the state folder."


class FileExists(CommandError):
    """A backup is not written over another file."""

    code = "file_exists"
    next_step = "Choose another name, or replace it with --force."


class StateEmpty(CommandError):
    """There is nothing to back up."""

    code = "state_empty"
    next_step = "Check GROUNDED_STATE, or ingest a folder first: grounded ingest FOLDER."


class StateNotEmpty(CommandError):
    """A backup is only put into a state folder that holds nothing."""

    code = "state_not_empty"
    next_step = "Choose an empty folder with GROUNDED_STATE, or move what is there away."


class JobCanceled(CommandError):
    """Somebody has canceled the job; what it had committed stays."""

    code = "job_canceled"
    next_step = "Run the same command again to go on where it stopped."
