"""The tree of conditions in the words of a Qdrant server, and the indexes that it needs for them.

The collection has an index of its own, so that the server lays out what belongs together side by side, and looks for a
neighbour among the points of one collection alone. Text that is looked for by its beginning needs an index with prefixes;
in strict mode the server refuses a filter that has no index.

In strict mode it also refuses to look for a part of a text, index or not (Qdrant 1.20), so a file name is stored as all its
ends: what a name holds is what one of its ends begins with.
"""

from collections.abc import Mapping
from typing import Any

from qdrant_client import models

from retrieval.adapters import qdrant_conditions as conditions
from retrieval.adapters.qdrant_conditions import NUMBERS, TENANT, TERMS, WILD, Words
from retrieval.filters import Filter
from retrieval.ports import Payload

_WINDOW = 64  # characters; of a longer end only so many are stored, or long names would take their length squared
Schema = models.KeywordIndexParams | models.IntegerIndexParams


def _texts(memory: models.Memory | None = None) -> models.KeywordIndexParams:
    """Without links of its own in the graph of neighbours: there would be one net for each of thousands of values."""
    keyword = models.KeywordIndexType.KEYWORD
    return models.KeywordIndexParams(type=keyword, prefix=True, enable_hnsw=False, memory=memory)


INDEXED: Mapping[str, Schema] = {
    TENANT: models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
    TERMS: _texts(),
    **{key: _texts(models.Memory.COLD) for key in WILD},
    **{key: models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, enable_hnsw=False) for key in NUMBERS},
}


def compiled(wanted: Filter) -> models.Filter:
    """The same tree for the server."""
    return conditions.compiled(wanted, _WORDS)


def stored(payload: Payload) -> dict[str, Any]:
    """A payload as the server keeps it."""
    kept = conditions.stored(payload)
    return {**kept, **{key: _ends(kept[key]) for key in WILD if key in kept}}


def _ends(text: str) -> list[str]:
    return list(dict.fromkeys(text[start : start + _WINDOW] for start in range(len(text))))


def _among(key: str, values: list[Any]) -> models.FieldCondition:
    match = models.MatchValue(value=values[0]) if len(values) == 1 else models.MatchAny(any=values)
    return models.FieldCondition(key=key, match=match)


def _begins(key: str, text: str) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchPrefix(prefix=text))


def _contains(key: str, text: str) -> models.Filter:
    """What is longer than the ends that are stored is looked for in pieces that overlap by half."""
    starts = [*range(0, len(text) - _WINDOW, _WINDOW // 2), max(0, len(text) - _WINDOW)]
    return models.Filter(must=[_begins(key, text[start : start + _WINDOW]) for start in starts])


def _within(key: str, least: int | None, below: int | None) -> models.FieldCondition:
    return models.FieldCondition(key=key, range=models.Range(gte=least, lt=below))


_WORDS: Words[models.Filter] = Words(
    own=frozenset((TENANT,)),
    must=lambda parts: models.Filter(must=parts),
    should=lambda parts: models.Filter(should=parts),
    must_not=lambda parts: models.Filter(must_not=parts),
    among=_among,
    begins=_begins,
    contains=_contains,
    within=_within,
    nothing=lambda: models.HasIdCondition(has_id=[]),
)
