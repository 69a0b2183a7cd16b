"""The document of `/openapi.json`: what FastAPI reads off the routes, with the replies that they give, the one envelope of
every refusal, and who may call."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api import reply_schemas as told
from app.api.answer_schemas import AnswerTold, DossierTold
from app.api.schemas import AskBody
from app.keys.routes import NEEDS

_REF = "#/components/schemas/{model}"
_FRAMEWORKS = ("HTTPValidationError", "ValidationError")  # what FastAPI says of refusals, which are not ours
_BY_URL = ("question", "collection", "top_k")
_JSON, _EVENTS = "application/json", "text/event-stream"
_TEXT: dict[str, Any] = {"type": "string"}
_FIELDS = dict.fromkeys(("event", "id", "data"), _TEXT)
_TEXTS: dict[str, dict[str, Any]] = {
    _EVENTS: {"type": "object", "properties": _FIELDS, "description": "Each event; its data is JSON."}
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that is no refusal. Without a model it is text."""

    model: type[BaseModel] | None
    status: int = 200
    media_type: str = _JSON
    also: str | None = None  # a second media type, of text


_ANSWER, _JOB = Reply(AnswerTold, also=_EVENTS), Reply(told.JobTold)
_ACCEPTED = Reply(told.JobTold, 202)
REPLIES: Mapping[tuple[str, str], Reply] = {
    ("GET", "/health/live"): Reply(told.LiveTold),
    ("GET", "/health/ready"): Reply(told.ReadyTold),
    ("POST", "/ask"): _ANSWER,
    ("POST", "/v1/ask"): _ANSWER,
    ("GET", "/ask"): _ANSWER,
    ("POST", "/v1/vector_stores/{collection}/search"): Reply(told.FoundTold),
    ("GET", "/v1/answers/{answer_id}"): Reply(DossierTold),
    ("GET", "/v1/answers/{answer_id}/explain"): Reply(told.ExplanationTold),
    ("GET", "/v1/answers/{answer_id}/events"): Reply(None, media_type=_EVENTS),
    ("POST", "/v1/answers/{answer_id}/cancel"): Reply(told.CancelledTold, 202),
    ("POST", "/v1/batch"): _ACCEPTED,
    ("GET", "/v1/jobs/{job_id}/results"): Reply(None, media_type="application/x-ndjson"),
    ("GET", "/v1/collections"): Reply(told.CollectionPage),
    ("GET", "/v1/documents"): Reply(told.DocumentPage),
    ("GET", "/v1/documents/{document_id}"): Reply(told.DocumentTold),
    ("GET", "/v1/documents/{document_id}/content"): Reply(None, media_type="text/plain"),
    ("GET", "/v1/sources/{source_id}"): Reply(told.SourceTold),
    ("POST", "/v1/documents"): _ACCEPTED,
    ("DELETE", "/v1/documents/{document_id}"): Reply(told.DeletedTold),
    ("GET", "/v1/documents/{document_id}/receipt"): Reply(told.ReceiptTold),
    ("GET", "/v1/jobs"): Reply(told.JobPage),
    ("GET", "/v1/jobs/{job_id}"): _JOB,
    ("GET", "/v1/jobs/{job_id}/events"): Reply(None, media_type=_EVENTS),
    ("POST", "/v1/jobs/{job_id}/cancel"): _ACCEPTED,
    ("GET", "/v1/webhooks/dead"): Reply(told.WebhookPage),
    ("POST", "/v1/webhooks/{webhook_id}/retry"): Reply(told.WebhookTold, 202),
    ("POST", "/v1/jobs"): _ACCEPTED,
    ("GET", "/v1/generations"): Reply(told.GenerationPage),
}


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _made(app)
    return app.openapi_schema


def _made(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, routes=app.routes)
    parts = found.setdefault("components", {})
    schemas: dict[str, Any] = parts.setdefault("schemas", {})
    for name in _FRAMEWORKS:
        schemas.pop(name, None)
    models = {reply.model for reply in REPLIES.values() if reply.model is not None} | {told.ErrorTold}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, definitions = models_json_schema([(model, "validation") for model in ordered], ref_template=_REF)
    schemas |= definitions["$defs"]
    parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "An API key, or a token."}}
    for method, path, operation in _operations(found):
        _describe(operation, (method, path))
        schemas |= _lifted(operation)
    found["paths"]["/ask"]["get"]["parameters"] = _asked_by_url()
    return found


def _operations(found: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _describe(operation: dict[str, Any], route: tuple[str, str]) -> None:
    """Its reply, its refusals, and whether it wants a key. A service without keys wants none."""
    replies = operation["responses"]
    replies.pop("422", None)
    replies["default"] = {"description": "Why not, and what to do.", "content": _content(told.ErrorTold, _JSON)}
    if (reply := REPLIES.get(route)) is not None:
        also = _content(None, reply.also) if reply.also is not None else {}
        content = {**_content(reply.model, reply.media_type), **also}
        replies[str(reply.status)] = {"description": "Carried out.", "content": content}
    if route == ("GET", "/health/ready"):
        replies["503"] = {"description": "Not ready.", "content": _content(told.ReadyTold, _JSON)}
    need = NEEDS.get(route)
    if need is None or need.special != "public":
        operation["security"] = [{"key": []}, {}]


def _content(model: type[BaseModel] | None, media_type: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=model.__name__)} if model is not None else _TEXTS.get(media_type, _TEXT)
    return {media_type: {"schema": schema}}


def _lifted(operation: dict[str, Any]) -> dict[str, Any]:
    """The definitions inside of its body, which its references look for among all others."""
    found: dict[str, Any] = {}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        definitions = content["schema"].get("$defs", {}) | {
            name: schema for one in content["schema"].get("anyOf", ()) for name, schema in one.get("$defs", {}).items()
        }
        found |= {name: _redirected(schema) for name, schema in definitions.items()}
        content["schema"] = _redirected(content["schema"])
    return found


def _redirected(schema: Any) -> Any:
    """The same without definitions of its own."""
    if isinstance(schema, list):
        return [_redirected(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: part.replace("#/$defs/", "#/components/schemas/") if name == "$ref" else _redirected(part)
        for name, part in schema.items()
        if name != "$defs"
    }


def _asked_by_url() -> list[dict[str, Any]]:
    properties = AskBody.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "required": name == "question", "schema": properties[name]} for name in _BY_URL
    ]
