import importlib
import pkgutil
from types import ModuleType

import pytest

import app
import generation
import ingest
import retrieval
from app.error_table import TABLE, envelope, headers, known, row
from app.errors import ApiError, CollectionNotFound, JobFinished, Overloaded, SourceNotFound, ValidationFailed
from generation.errors import ContextTooLong, UpstreamTimeout, UpstreamTruncated, UpstreamUnavailable
from ingest.errors import Broken, GroundedError, StorageFull
from retrieval.errors import IndexUnavailable, InvalidFilter, SearchTimeout

# Section 9 of the interfaces: what clients may rely on.
PROMISED = {
    "invalid_request": 400,
    "context_length_exceeded": 400,
    "host_not_allowed": 403,
    "cross_site": 403,
    "insufficient_scope": 403,
    "collection_not_found": 404,
    "document_not_found": 404,
    "source_not_found": 404,
    "job_not_found": 404,
    "idempotency_conflict": 409,
    "ingest_running": 409,
    "job_finished": 409,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "validation_failed": 422,
    "internal_error": 500,
    "upstream_truncated": 502,
    "upstream_unavailable": 503,
    "index_unavailable": 503,
    "overloaded": 503,
    "shutting_down": 503,
    "upstream_timeout": 504,
    "deadline_exceeded": 504,
    "storage_full": 507,
}
TYPES = {
    401: "authentication_error",
    400: "invalid_request_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}


def modules_of_errors(package: ModuleType) -> list[str]:
    names = [found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [name for name in names if name.rpartition(".")[2] in ("errors", "settings")]


def leaves(kind: type[GroundedError] = GroundedError) -> list[type[GroundedError]]:
    below = kind.__subclasses__()
    return [leaf for sub in below for leaf in leaves(sub)] if below else [kind]


for package in (app, generation, ingest, retrieval):
    for name in modules_of_errors(package):
        importlib.import_module(name)
PACKAGES = ("app", "generation", "ingest", "retrieval")
# What a command repeats of a service's error is made of that error; whether it is loaded depends on the tests beside these.
REPEATED = ("RemoteError",)
OURS = [leaf for leaf in leaves() if leaf.__module__.partition(".")[0] in PACKAGES and leaf.__name__ not in REPEATED]


@pytest.mark.parametrize("leaf", OURS, ids=lambda leaf: leaf.__name__)
def test_every_leaf_has_a_row_a_code_and_a_next_step(leaf: type[GroundedError]) -> None:
    assert any(kind in TABLE for kind in leaf.__mro__), f"{leaf.__name__} has no row in app/error_table.py"
    error = leaf("The cause.")
    body = envelope(error, "req_1")["error"]
    assert body["message"] == "The cause."
    assert body["code"] == leaf.code
    assert body["next_step"]
    assert leaf.__name__ == "InternalError" or row(error).status != 500


def test_codes_have_the_promised_status() -> None:
    found = {leaf.code: row(leaf("x")).status for leaf in [*OURS, *TABLE]}
    assert {code: found.get(code) for code in PROMISED} == PROMISED


def test_types_go_with_the_status() -> None:
    for said in TABLE.values():
        expected = TYPES.get(said.status, "server_error" if said.status >= 500 else "invalid_request_error")
        assert said.type == expected


def test_the_envelope() -> None:
    error = ValidationFailed("Too long.", param="question", details={"limit": 4000})
    assert envelope(error, "req_7") == {
        "error": {
            "message": "Too long.",
            "type": "invalid_request_error",
            "param": "question",
            "code": "validation_failed",
            "next_step": "Correct the field that param names.",
            "request_id": "req_7",
            "details": {"limit": 4000},
        }
    }
    body = envelope(SourceNotFound("Gone."), "req_7", param="id", details={"a": 1})["error"]
    assert (body["param"], body["details"]) == ("id", {"a": 1})
    assert "details" not in envelope(SourceNotFound("Gone."), "req_7")["error"]
    assert envelope(CollectionNotFound("x", "Do this."), "r")["error"]["next_step"] == "Do this."


@pytest.mark.parametrize("error", [ValueError("/home/secret"), GroundedError("secret"), KeyError("secret"), OSError()])
def test_of_what_is_unknown_nothing_is_told(error: Exception) -> None:
    body = envelope(error, "req_7")
    assert row(error).status == 500
    assert body["error"]["code"] == "internal_error"
    assert "secret" not in str(body)
    assert "ValueError" not in str(body)


def test_a_new_leaf_inherits_its_branch() -> None:
    class Scribbled(Broken):
        code = "scribbled"

    assert row(Scribbled("x")).status == 422
    assert known(Scribbled("x")).code == "scribbled"
    del Scribbled


def test_headers_say_whether_to_try_again() -> None:
    assert headers(Overloaded("x", retry_after=9)) == {"retry-after": "9"}
    assert headers(UpstreamUnavailable("x")) == {"retry-after": "5"}
    assert headers(IndexUnavailable("x")) == {"retry-after": "5"}
    for useless in (UpstreamTruncated("x"), UpstreamTimeout("x"), SearchTimeout("x"), JobFinished("x")):
        assert headers(useless) == {"x-should-retry": "false"}
    for error in (InvalidFilter("x"), ContextTooLong("x"), StorageFull("x"), ApiError("x"), ValueError("x")):
        assert headers(error) == {}
