"""Schemas from strangers: none may take long, reach out, or break what looks at them."""

import time
from contextlib import suppress
from typing import Any

import orjson
import pytest

from generation.schema_limits import BadSchemaError, check_limits
from generation.structured import Form, format_of


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


def doubling(levels: int) -> dict[str, Any]:
    """Two references to the next level in each: 2 ** levels ways to the last."""
    ref = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**ref, f"d{levels}": {"type": "string"}}, "$ref": "#/$defs/d0"}


CHAIN = {"$defs": {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(30)} | {"d30": {}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "https://example.com/schema.json"}, "refers to something outside"),
        ({"$ref": "file:///etc/passwd"}, "refers to something outside"),
        ({"$ref": "other.json#/a"}, "refers to something outside"),
        ({"properties": {"a": {"properties": {"enum": {"$ref": "http://127.0.0.1/"}}}}}, "refers to something outside"),
        ({"$ref": "#/$defs/none"}, "refers to a part of itself that is not there"),
        ({"$ref": "#"}, "refers to itself"),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, "refers to itself"),
        ({"$id": "https://example.com/", "type": "object"}, r"uses \$id"),
        ({"items": {"$dynamicRef": "#x"}}, r"uses \$dynamicRef"),
        ({"items": {"$anchor": "x"}}, r"uses \$anchor"),
        ({"$schema": "https://example.com/dialect"}, "names a dialect"),
        ({"pattern": "a" * 257}, "pattern of more than 256"),
        ({"patternProperties": {"a" * 257: {}}}, "pattern of more than 256"),
        ({"allOf": [{"pattern": "a"}] * 33}, "more than 32 patterns"),
        ({"patternProperties": {f"a{n}": {} for n in range(33)}}, "more than 32 patterns"),
        (nested(33), "nested deeper"),
        (nested(900), "nested deeper"),
        ({"enum": ["x" * 20_001]}, "longer than 20000"),
        ({"maximum": 10**30}, "a number that is too large"),
        (doubling(20), "parts when its references are opened"),
        (doubling(49), "parts when its references are opened"),
        ({"allOf": [{"$ref": "#/$defs/a"}] * 101, "$defs": {"a": {}}}, "more than 100 references"),
    ],
)
def test_what_is_refused(schema: dict[str, Any], why: str) -> None:
    begun = time.process_time()
    with pytest.raises(BadSchemaError, match=why):
        format_of(schema)
    assert time.process_time() - begun < 1  # thousands of times what it takes


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"type": 7},
        {"required": "name"},
        {"pattern": "(unclosed"},
        {"pattern": "(?=ahead)"},
        {"pattern": "(?:a{1000}){1000}"},
        {"minimum": "low"},
        {"properties": []},
        {"$ref": 7},
    ],
)
def test_what_is_no_schema(schema: dict[str, Any]) -> None:
    with pytest.raises(BadSchemaError, match="is no JSON Schema that can be used"):
        format_of(schema)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ä", "a\n"])
def test_names_are_those_that_endpoints_take(name: str) -> None:
    with pytest.raises(BadSchemaError, match="has a name"):
        format_of({}, name)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(x+x+)+y"])
def test_a_pattern_takes_time_that_grows_with_the_text_alone(pattern: str) -> None:
    form = Form(format_of({"type": "object", "properties": {"a": {"pattern": pattern}}}), 1)
    begun = time.process_time()
    for letter in "ax":
        try:
            form.read(orjson.dumps({"not_in_sources": False, "a": letter * 5000 + "!"}).decode())
        except ValueError:
            continue
    assert time.process_time() - begun < 2  # backtracking would take longer than the universe


@pytest.mark.parametrize(
    "pattern", ["(?:a{1,100}){1,30}", r"(?i)(?:[\w-]{1,20}\.){1,9}", "[^\u0000-\u0fff]{60}", "(a|b|c){500}"]
)
def test_the_dearest_patterns_are_compiled_at_once(pattern: str) -> None:
    schema = {"type": "object", "properties": {f"p{n}": {"pattern": f"{pattern}{n}"} for n in range(32)}}
    begun = time.process_time()
    with suppress(BadSchemaError):  # one that is too large is refused, and no slower for it
        format_of(schema)
    assert time.process_time() - begun < 1


def test_what_is_accepted() -> None:
    check_limits(CHAIN)
    check_limits(doubling(6))
    check_limits(nested(31))
    for draft in ("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"):
        format_of({"$schema": draft, "type": "object"})
    format_of({"$defs": {"a/b~c": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a~1b~0c"}}})
    format_of({"anyOf": [{"type": "string"}, {"type": "null"}], "items": {"$ref": "#/anyOf/0"}})
