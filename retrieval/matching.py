"""Whether a payload passes a filter, decided here for stores that cannot be asked: the meaning that engines give the tree."""

from collections.abc import Mapping
from typing import Any

from retrieval.filters import AllOf, AnyOf, Filter, Like, Not, OneOf, Within
from retrieval.ports import Payload


def passes(payload: Payload, wanted: Filter) -> bool:
    """A condition on a field with several values holds if one of them meets it, and never for a field that is absent."""
    match wanted:
        case Not():
            return not passes(payload, wanted.inner)
        case AllOf():
            return all(passes(payload, part) for part in wanted.parts)
        case AnyOf():
            return any(passes(payload, part) for part in wanted.parts)
        case _:
            return any(_meets(value, wanted) for value in _values(payload, wanted.key))


def _meets(value: Any, wanted: OneOf | Like | Within) -> bool:
    match wanted:
        case OneOf():
            return value in wanted.values
        case Within(least=least, below=below):
            return (least is None or value >= least) and (below is None or value < below)
        case Like(at="anywhere"):
            return wanted.text in value
        case Like():
            return bool(value.startswith(wanted.text) if wanted.at == "start" else value.endswith(wanted.text))


def _values(payload: Payload, key: str) -> list[Any]:
    """All values of a field; a name with a dot is one within another."""
    found: Any = payload
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, list) else [] if found is None else [found]
