"""The tree of conditions in the words of Qdrant Edge, and the indexes that it needs for them."""

from collections.abc import Mapping
from typing import Any

import qdrant_edge as edge

from retrieval.adapters import qdrant_conditions as conditions
from retrieval.adapters.qdrant_conditions import NUMBERS, TERMS, WILD, Words, stored
from retrieval.filters import Filter

__all__ = ["INDEXED", "compiled", "stored"]

INDEXED: Mapping[str, edge.PayloadSchemaType] = {
    **dict.fromkeys((TERMS, *WILD), edge.PayloadSchemaType.Keyword),
    **dict.fromkeys(NUMBERS, edge.PayloadSchemaType.Integer),
}


def compiled(wanted: Filter) -> edge.Filter:
    """The same tree for the engine."""
    return conditions.compiled(wanted, _WORDS)


def _among(key: str, values: list[Any]) -> edge.FieldCondition:
    """One value is said as such: the engine then looks at each point in a third of the time."""
    match = edge.MatchValue(values[0]) if len(values) == 1 else edge.MatchAny(any=values)
    return edge.FieldCondition(key=key, match=match)


def _begins(key: str, text: str) -> edge.FieldCondition:
    return edge.FieldCondition(key=key, match=edge.MatchPrefix(text))


def _contains(key: str, text: str) -> edge.FieldCondition:
    return edge.FieldCondition(key=key, match=edge.MatchSubstring(text))


def _within(key: str, least: int | None, below: int | None) -> edge.FieldCondition:
    return edge.FieldCondition(key=key, range=edge.RangeFloat(gte=least, lt=below))


_WORDS: Words[edge.Filter] = Words(
    own=frozenset(),
    must=lambda parts: edge.Filter(must=parts),
    should=lambda parts: edge.Filter(should=parts),
    must_not=lambda parts: edge.Filter(must_not=parts),
    among=_among,
    begins=_begins,
    contains=_contains,
    within=_within,
    nothing=lambda: edge.HasIdCondition(set()),
)
