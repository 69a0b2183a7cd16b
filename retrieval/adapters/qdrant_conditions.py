"""What both engines of Qdrant have in common: the form of payloads, and the tree of conditions over it.

Every index of the engine costs an empty shard seven megabytes, and each flush ten calls to the disk, so all text that
is compared as a whole or by its beginning shares one: a point's `terms` are written `key=value`. File names, which are also
looked for by their end, have an index of their own, and a mark behind them that no name can hold; numbers have theirs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from retrieval.filters import FIELDS, AllOf, AnyOf, Filter, Like, Not, OneOf, Within
from retrieval.ports import Payload

F = TypeVar("F")
TENANT = "collection_id"
TERMS = "terms"
NUMBERS = tuple(name for name, kind in FIELDS.items() if kind in ("number", "moment"))
WILD = tuple(name for name, kind in FIELDS.items() if kind == "wild")
_END = "\n"


@dataclass(frozen=True, slots=True)
class Words(Generic[F]):
    """How an engine says each kind of condition. `own` are the texts with an index of their own, not among the terms."""

    own: frozenset[str]
    must: Callable[[list[Any]], F]
    should: Callable[[list[Any]], F]
    must_not: Callable[[list[Any]], F]
    among: Callable[[str, list[Any]], Any]
    begins: Callable[[str, str], Any]
    contains: Callable[[str, str], Any]
    within: Callable[[str, int | None, int | None], Any]
    nothing: Callable[[], Any]


def stored(payload: Payload) -> dict[str, Any]:
    """A payload as the engine keeps it."""
    whole = {key: payload[key] for key in (TENANT, *NUMBERS) if key in payload}
    ended = {key: f"{payload[key]}{_END}" for key in WILD if key in payload}
    return {TERMS: list(_terms(payload)), **ended, **whole}


def compiled(wanted: Filter, words: Words[F]) -> F:
    """The same tree in the words of an engine."""
    match wanted:
        case AllOf():
            return words.must([_condition(part, words) for part in flat(wanted)])
        case AnyOf() if wanted.parts:
            return words.should([_condition(part, words) for part in wanted.parts])
        case Not():
            return words.must_not([_condition(wanted.inner, words)])
        case _:
            return words.must([_condition(wanted, words)])


def flat(wanted: AllOf) -> Iterator[Filter]:
    """The parts of a conjunction, without a conjunction among them: the engine looks at a point four times as long where
    conditions are nested."""
    for part in wanted.parts:
        if isinstance(part, AllOf):
            yield from flat(part)
        else:
            yield part


def _condition(wanted: Filter, words: Words[F]) -> Any:
    match wanted:
        case AnyOf(parts=()) | OneOf(values=()):
            return words.nothing()  # without parts the engine takes a list of choices for everything
        case OneOf() if wanted.key in words.own or wanted.key in NUMBERS:
            return words.among(wanted.key, list(wanted.values))
        case OneOf():
            return words.among(TERMS, [f"{wanted.key}={value}" for value in wanted.values])
        case Like():
            return _likeness(wanted, words)
        case Within():
            return words.within(wanted.key, wanted.least, wanted.below)
        case _:
            return compiled(wanted, words)


def _likeness(wanted: Like, words: Words[F]) -> Any:
    if wanted.at == "start":
        return words.begins(TERMS, f"{wanted.key}={wanted.text}")
    return words.contains(wanted.key, wanted.text + (_END if wanted.at == "end" else ""))


def _terms(payload: Payload, above: str = "") -> Iterator[str]:
    for key, value in payload.items():
        if isinstance(value, Mapping):
            yield from _terms(value, f"{key}.")
        elif key not in NUMBERS:
            values: Sequence[Any] = value if isinstance(value, list) else [value]
            yield from (f"{above}{key}={one}" for one in values)
