"""A JSON Schema from a caller is untrusted: what of it is accepted, so that no check of an answer can take long or ask
the network.

Validation takes, at most, as many steps as the schema has parts with every `$ref` opened, times the parts of the answer.
So references are opened here and counted; those that go in a circle, or elsewhere, are refused.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import orjson

LARGEST = 20_000  # bytes as JSON
DEEPEST = 32  # of nested objects and arrays
MOST_PARTS = 2000  # with every reference opened
MOST_REFERENCES = 100
LONGEST_PATTERN = 256  # characters of a regular expression
MOST_PATTERNS = 32  # each takes milliseconds to compile
DRAFTS = frozenset(
    f"http{s}://json-schema.org/{draft}/schema{end}"
    for s in ("", "s")
    for draft in ("draft-04", "draft-06", "draft-07", "draft/2019-09", "draft/2020-12")
    for end in ("", "#")
)
_ELSEWHERE = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef")  # change what a reference means


class BadSchemaError(ValueError):
    """A schema that is not accepted; the message says why, as the rest of a sentence that begins with `the schema`."""


def check_limits(schema: Mapping[str, Any]) -> None:
    """Raises BadSchemaError. How deep it is comes first: what walks through it afterwards may recurse."""
    if _depth(schema) > DEEPEST:
        raise BadSchemaError(f"is nested deeper than {DEEPEST} levels")
    if _size(schema) > LARGEST:
        raise BadSchemaError(f"is longer than {LARGEST} bytes")
    references, patterns = 0, list[str]()
    for name, value in _entries(schema):
        if name in _ELSEWHERE and isinstance(value, str):
            raise BadSchemaError(f"uses {name}, which is not supported; point with $ref to #/$defs/NAME")
        if name == "$schema" and isinstance(value, str) and value not in DRAFTS:
            raise BadSchemaError("names a dialect other than the drafts 4 to 2020-12 of JSON Schema")
        patterns += [value] if name == "pattern" and isinstance(value, str) else []
        patterns += value if name == "patternProperties" and isinstance(value, dict) else []
        references += name == "$ref" and isinstance(value, str)
    if len(patterns) > MOST_PATTERNS:
        raise BadSchemaError(f"has more than {MOST_PATTERNS} patterns")
    if max(map(len, patterns), default=0) > LONGEST_PATTERN:
        raise BadSchemaError(f"has a pattern of more than {LONGEST_PATTERN} characters")
    if references > MOST_REFERENCES:
        raise BadSchemaError(f"has more than {MOST_REFERENCES} references")
    _Opened(schema).check()


def _size(schema: Mapping[str, Any]) -> int:
    try:
        return len(orjson.dumps(schema))
    except TypeError:
        raise BadSchemaError("holds a number that is too large") from None


def _depth(value: object) -> int:
    """Without recursion: what is to be refused must not be able to break what refuses it."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        deepest = max(deepest, depth)
        if depth <= DEEPEST and isinstance(one, dict | list):
            inner = one.values() if isinstance(one, dict) else one
            waiting += [(child, depth + 1) for child in inner]
    return deepest


def _entries(value: object) -> Iterator[tuple[str, object]]:
    """Every key of every object with its value; wherever it stands, since a name may be a keyword or a property."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from _entries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner)


class _Opened:
    """The parts of a schema with every reference opened, counted once for each way that leads to them."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._known: dict[str, int | None] = {}  # None while it is being opened

    def check(self) -> None:
        """Raises BadSchemaError."""
        if self._parts(self._schema) > MOST_PARTS:
            raise BadSchemaError(f"has more than {MOST_PARTS} parts when its references are opened")

    def _parts(self, value: object) -> int:
        if isinstance(value, list):
            return 1 + sum(map(self._parts, value))
        if not isinstance(value, dict):
            return 1
        opened = (
            self._behind(inner) if name == "$ref" and isinstance(inner, str) else self._parts(inner)
            for name, inner in value.items()
        )
        return 1 + sum(opened)

    def _behind(self, reference: str) -> int:
        if reference not in self._known:
            self._known[reference] = None
            self._known[reference] = self._parts(self._target(reference))
        parts = self._known[reference]
        if parts is None:
            raise BadSchemaError("refers to itself, which is not supported: an answer could be nested without end")
        return parts

    def _target(self, reference: str) -> object:
        if reference != "#" and not reference.startswith("#/"):
            raise BadSchemaError("refers to something outside of itself; only #/... is followed")
        found: object = self._schema
        for step in reference[2:].split("/") if reference != "#" else ():
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                raise BadSchemaError("refers to a part of itself that is not there")
        return found
