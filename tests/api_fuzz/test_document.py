"""`/openapi.json` against the routes, and a few calls of each operation as it describes them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.api.openapi import REPLIES, document
from app.api.service import create_app
from tests.api_fuzz.fuzz import TOOL, sweep
from tests.app.serving import settings_for

DOCUMENT = document(create_app(settings_for(Path("nowhere"))))
OPERATIONS = [(m.upper(), path) for path, methods in DOCUMENT["paths"].items() for m in methods]


def references(part: Any) -> Iterator[str]:
    for name, value in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
        if name == "$ref" and isinstance(value, str):
            yield value
        else:
            yield from references(value)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > 20
    for reference in found:
        at: Any = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            assert name in at, reference
            at = at[name]
    assert "$defs" not in json.dumps(DOCUMENT)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_says_what_it_replies(method: str, path: str) -> None:
    operation = DOCUMENT["paths"][path][method.lower()]
    assert (method, path) in REPLIES
    reply = REPLIES[method, path]
    assert set(operation["responses"]) == {str(reply.status), "default"} | ({"503"} if "ready" in path else set())
    default = operation["responses"]["default"]["content"]["application/json"]["schema"]
    assert default == {"$ref": "#/components/schemas/ErrorTold"}
    assert ("security" in operation) == ("health" not in path)


@pytest.mark.slow
@pytest.mark.skipif(not TOOL.exists(), reason="needs schemathesis: pip install '.[dev]'")
def test_replies_are_as_described_whatever_is_sent() -> None:
    found = sweep(examples=2, seed=0, phases="examples,fuzzing")
    assert found["wrong"] == []
    assert found["requests"] > 100
    assert found["statuses"]["200"] > 10
    assert found["server_errors"] == 0
