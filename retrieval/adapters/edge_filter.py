"""The tree of conditions in the words of Qdrant Edge, and payloads in the form that these can find.

Every index of the engine costs an empty shard seven megabytes, and each flush ten calls to the disk, so all text that
is compared as a whole or by its beginning shares one: a point's `terms` are written `key=value`. File names, which are also
looked for by their end, have an index of their own, and a mark behind them that no name can hold; numbers have theirs.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import qdrant_edge as edge

from retrieval.filters import FIELDS, AllOf, AnyOf, Filter, Like, Not, OneOf, Within
from retrieval.ports import Payload

_TERMS = "terms"
_END = "\n"
_NUMBERS = [name for name, kind in FIELDS.items() if kind in ("number", "moment")]
_WILD = [name for name, kind in FIELDS.items() if kind == "wild"]
INDEXED: Mapping[str, edge.PayloadSchemaType] = {
    **dict.fromkeys((_TERMS, *_WILD), edge.PayloadSchemaType.Keyword),
    **dict.fromkeys(_NUMBERS, edge.PayloadSchemaType.Integer),
}


def compiled(wanted: Filter) -> edge.Filter:
    """The same tree for the engine."""
    match wanted:
        case AllOf():
            return edge.Filter(must=[_condition(part) for part in wanted.parts])
        case AnyOf() if wanted.parts:
            return edge.Filter(should=[_condition(part) for part in wanted.parts])
        case AnyOf():
            return edge.Filter(must=[edge.HasIdCondition(set())])  # without parts the engine takes it for everything
        case Not():
            return edge.Filter(must_not=[_condition(wanted.inner)])
        case _:
            return edge.Filter(must=[_condition(wanted)])


def stored(payload: Payload) -> dict[str, Any]:
    """A payload as the engine keeps it."""
    numbers = {key: payload[key] for key in _NUMBERS if key in payload}
    ended = {key: f"{payload[key]}{_END}" for key in _WILD if key in payload}
    return {_TERMS: list(_terms(payload)), **ended, **numbers}


def _terms(payload: Payload, above: str = "") -> Iterator[str]:
    for key, value in payload.items():
        if isinstance(value, Mapping):
            yield from _terms(value, f"{key}.")
        elif key not in _NUMBERS:
            yield from (f"{above}{key}={one}" for one in (value if isinstance(value, list) else [value]))


def _condition(wanted: Filter) -> edge.FieldCondition | edge.Filter:
    match wanted:
        case OneOf() if wanted.key in _NUMBERS:
            return edge.FieldCondition(key=wanted.key, match=edge.MatchAny(any=[int(value) for value in wanted.values]))
        case OneOf():
            return _term(edge.MatchAny(any=[f"{wanted.key}={value}" for value in wanted.values]))
        case Like(at="start"):
            return _term(edge.MatchPrefix(f"{wanted.key}={wanted.text}"))
        case Like():
            end = _END if wanted.at == "end" else ""
            return edge.FieldCondition(key=wanted.key, match=edge.MatchSubstring(wanted.text + end))
        case Within():
            return edge.FieldCondition(key=wanted.key, range=edge.RangeFloat(gte=wanted.least, lt=wanted.below))
        case _:
            return compiled(wanted)


def _term(match: edge.MatchAny | edge.MatchPrefix) -> edge.FieldCondition:
    return edge.FieldCondition(key=_TERMS, match=match)
