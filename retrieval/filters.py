"""What a search may be narrowed to: one tree of conditions, read once from the wire, compiled once by each engine.

    {"filename": "hr/*", "language": ["de", "fr"]}                        every field equals one of its values
    {"type": "gte", "key": "modified_at", "value": "now-90d"}             one comparison
    {"type": "and", "filters": [..., {"type": "or", "filters": [...]}]}   both, nested

Moments become spans of whole seconds here, so an engine compares integers and knows no dates. A filter only narrows: it
stands below the scope of its query, which no client can express.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

from ingest.metadata import language_tag, moment
from retrieval.errors import InvalidFilter

T = TypeVar("T")
MOST_DEPTH = 4  # of and/or inside each other
MOST_CONDITIONS = 64  # comparisons; each date of a list is one, since the engine looks for each
MOST_PATTERNS = 16  # each is compared with every value there is
MOST_VALUES = 1000  # of all comparisons together
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_VALUE = 4096
_LONGEST_NAME = 120
_INT64 = range(-(2**63), 2**63)
_EXTRA = re.compile(r"metadata\.[a-z0-9_]{1,64}")
_RELATIVE = re.compile(r"now(?:-(\d{1,6})([hdw]))?")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_PART_OF_DATE = re.compile(r"(\d{4})(?:-(\d\d))?")
_SPAN_OF_DAY = 10  # characters of 2026-01-31

Kind = Literal["text", "prefix", "wild", "folded", "language", "number", "moment"]
FIELDS: Mapping[str, Kind] = {
    "filename": "wild",
    "document_id": "text",
    "media_type": "text",
    "title": "prefix",
    "heading": "text",
    "page": "number",
    "author": "prefix",
    "language": "language",
    "tags": "folded",
    "url": "prefix",
    "created_at": "moment",
    "modified_at": "moment",
}
_OPERATORS = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin")
_ORDERED = ("gt", "gte", "lt", "lte")


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field, or one of its values, is one of these. None of them: nothing matches."""

    key: str
    values: tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """The field begins with, ends with or contains the text; an empty text means that there is a value at all."""

    key: str
    at: Literal["start", "end", "anywhere"]
    text: str


@dataclass(frozen=True, slots=True)
class Within:
    """The field is a number from `least`, up to but not including `below`; None is no bound."""

    key: str
    least: int | None
    below: int | None


@dataclass(frozen=True, slots=True)
class Not:
    """What it holds does not match; so what lacks the field does."""

    inner: "Filter"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part matches. Without parts everything does."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part matches. Without parts nothing does."""

    parts: tuple["Filter", ...]


PUBLIC = "*"  # in a payload's `access`: everyone may read it; no label looks like this

Filter = OneOf | Like | Within | Not | AllOf | AnyOf
EVERYTHING = AllOf(())


def parsed(wire: Any, now: datetime) -> Filter:
    """The filter that this JSON asks for; `now` is what relative moments count from. Raises InvalidFilter, naming the
    place and the nearest field there is."""
    if wire is None or wire == {}:
        return EVERYTHING
    return _Reading(now).tree(wire, "filters", 1)


def language_ranges(tag: str) -> list[str]:
    """A language and all that it is a case of, so that `en` finds `en-GB`: `en-gb`, `en`."""
    parts = tag.lower().split("-") if tag else []
    return ["-".join(parts[:n]) for n in range(len(parts), 0, -1)]


class _Reading:
    """One filter being read; it counts what the engine will have to look for."""

    def __init__(self, now: datetime) -> None:
        self._now = now.astimezone(UTC).replace(microsecond=0)
        self._conditions = 0
        self._patterns = 0
        self._values = 0

    def tree(self, wire: Any, path: str, depth: int) -> Filter:
        if not isinstance(wire, Mapping):
            raise _wrong("is not an object", path)
        if "type" not in wire:
            return self._short(wire, path)
        kind = wire["type"]
        if kind in ("and", "or"):
            return self._compound(wire, path, depth)
        if kind not in _OPERATORS:
            raise _wrong(
                f"has no type of {', '.join(_OPERATORS)}, and, or{_hint(kind, (*_OPERATORS, 'and', 'or'))}", path
            )
        _only(wire, ("type", "key", "value"), path)
        return self._comparison(kind, wire["key"], wire["value"], path)

    def _short(self, wire: Mapping[str, Any], path: str) -> Filter:
        parts = [
            self._comparison("in" if isinstance(value, list) else "eq", key, value, f"{path}.{key}")
            for key, value in wire.items()
        ]
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _compound(self, wire: Mapping[str, Any], path: str, depth: int) -> Filter:
        if depth > MOST_DEPTH:
            raise _wrong(f"is nested deeper than {MOST_DEPTH}", path)
        _only(wire, ("type", "filters"), path)
        inner = wire["filters"]
        if not isinstance(inner, list) or not inner:
            raise _wrong("holds no list of filters", path)
        parts = tuple(self.tree(one, f"{path}.filters.{n}", depth + 1) for n, one in enumerate(inner))
        return AllOf(parts) if wire["type"] == "and" else AnyOf(parts)

    def _comparison(self, operator: str, key: Any, value: Any, path: str) -> Filter:
        kind = _kind(key, path)
        if operator in _ORDERED:
            self._count(1, 1)
            return self._ordered(operator, key, kind, value, path)
        if operator in ("in", "nin") and not isinstance(value, list):
            raise _wrong("needs a list of values", path)
        values = value if operator in ("in", "nin") else [value]
        self._count(1, len(values))
        parts = [self._equal(key, kind, one, path) for one in values]
        self._count(sum(isinstance(part, Within) for part in parts), 0, sum(isinstance(part, Like) for part in parts))
        found = _joined(key, parts)
        return Not(found) if operator in ("ne", "nin") else found

    def _count(self, conditions: int, values: int, patterns: int = 0) -> None:
        self._conditions += conditions
        self._values += values
        self._patterns += patterns
        for found, most, name in (
            (self._conditions, MOST_CONDITIONS, "conditions"),
            (self._values, MOST_VALUES, "values"),
            (self._patterns, MOST_PATTERNS, "patterns with *"),
        ):
            if found > most:
                raise _wrong(f"holds more than {most} {name}", "filters")

    def _equal(self, key: str, kind: Kind, value: Any, path: str) -> Filter:
        match kind:
            case "number":
                return OneOf(key, (_number(value, path),))
            case "moment":
                return Within(key, *self._span(value, path))
            case "wild" | "prefix":
                return _pattern(key, kind, _text(value, path), path)
            case "language":
                return OneOf(key, (_checked(lambda text: language_tag(text).lower(), value, path),))
            case "folded":
                return OneOf(key, (_text(value, path).casefold(),))
            case "text":
                return OneOf(key, (_text(value, path),))

    def _ordered(self, operator: str, key: str, kind: Kind, value: Any, path: str) -> Filter:
        """A span of time is before or after a bound as a whole: later than a day is from the next day on."""
        if kind == "moment":
            first, behind = self._span(value, path)
        elif kind == "number":
            first = _number(value, path)
            behind = first + 1
        else:
            raise _wrong(
                f"cannot be compared with {operator}; only page, created_at and modified_at have an order", path
            )
        match operator:
            case "gt":
                return Within(key, behind, None)
            case "gte":
                return Within(key, first, None)
            case "lt":
                return Within(key, None, first)
            case _:
                return Within(key, None, behind)

    def _span(self, value: Any, path: str) -> tuple[int, int]:
        """The first second of what is named, and the first one behind it: of a year, a month, a day or a second."""
        if isinstance(value, int) and not isinstance(value, bool):
            second = _number(value, path)
            return second, second + 1
        return _checked(self._named_span, value, path)

    def _named_span(self, text: str) -> tuple[int, int]:
        if relative := _RELATIVE.fullmatch(text):
            ago = timedelta(**{_UNITS[relative[2]]: int(relative[1])}) if relative[1] else timedelta()
            second = int(self._now.timestamp()) - int(ago.total_seconds())
            return second, second + 1
        if part := _PART_OF_DATE.fullmatch(text):
            year, month = int(part[1]), int(part[2] or 1)
            first = moment(f"{year:04}-{month:02}-01")
            last_month = month if part[2] else 12
            following = (year + last_month // 12, last_month % 12 + 1)
            return int(first.timestamp()), _first_second(*following)
        found = int(moment(text).timestamp())
        return found, found + (86_400 if len(text) == _SPAN_OF_DAY else 1)


def _first_second(year: int, month: int) -> int:
    """Of a month; the one behind the last year that there is begins where that year ends."""
    if year > MAXYEAR:
        return int(datetime(year - 1, 12, 31, tzinfo=UTC).timestamp()) + 86_400
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp())


def _joined(key: str, parts: Sequence[Filter]) -> Filter:
    """At least one of them; plain values become one condition, since lists of them may be long."""
    plain = [part for part in parts if isinstance(part, OneOf)]
    others = [part for part in parts if not isinstance(part, OneOf)]
    values = tuple(dict.fromkeys(value for part in plain for value in part.values))
    if others and not values:
        return others[0] if len(others) == 1 else AnyOf(tuple(others))
    one_of = OneOf(key, values)  # type: ignore[arg-type]  # a field has values of one kind
    return AnyOf((one_of, *others)) if others else one_of


def _pattern(key: str, kind: Kind, text: str, path: str) -> Filter:
    """`*` at an end stands for anything, `hr/*`, and `*.pdf` and `*policy*` for what may be looked for by its end."""
    bare = text.strip("*")
    if not bare and text:
        return Like(key, "start", "")
    if "*" in bare and kind == "wild":
        raise _wrong("holds a * that is neither at its beginning nor at its end", path)
    if text.startswith("*") and kind == "wild":
        return Like(key, "anywhere" if text.endswith("*") else "end", bare)
    return Like(key, "start", text.rstrip("*")) if text.endswith("*") else OneOf(key, (text,))


def _kind(key: Any, path: str) -> Kind:
    if isinstance(key, str) and key in FIELDS:
        return FIELDS[key]
    if isinstance(key, str) and _EXTRA.fullmatch(key):
        return "text"
    known = ", ".join(FIELDS)
    raise _wrong(f"is no field to filter on{_hint(key, [*FIELDS])}; there are {known} and metadata.NAME", path, key)


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong("is compared with text", path)
    if len(value) > _LONGEST_VALUE or _SURROGATE.search(value):
        raise _wrong(f"has a value that is longer than {_LONGEST_VALUE} characters, or that is no text", path)
    return value


def _number(value: Any, path: str) -> int:
    """A whole number, also written as text, since a command line has nothing else."""
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value not in _INT64:
        raise _wrong("is compared with a whole number of at most 64 bits", path)
    return value


def _checked(check: Callable[[str], T], value: Any, path: str) -> T:
    try:
        return check(_text(value, path))
    except (ValueError, OverflowError) as error:
        raise _wrong(str(error), path) from error


def _only(wire: Mapping[str, Any], fields: tuple[str, ...], path: str) -> None:
    for name in fields:
        if name not in wire:
            raise _wrong(f"lacks {name!r}", path)
    for name in wire:
        if name not in fields:
            raise _wrong(f"holds {_printable(name)!r}, which is none of {', '.join(fields)}{_hint(name, fields)}", path)


def _hint(name: Any, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(name)[:_LONGEST_NAME], known, n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _wrong(what: str, path: str, name: Any = None) -> InvalidFilter:
    """Names of fields are repeated, as far as they can be names; values that were sent are not."""
    param = _printable(path)
    return InvalidFilter(f"{_printable(name) if isinstance(name, str) else param} {what}.", param=param)


def _printable(name: str) -> str:
    return re.sub(r"[^ -~]", "\N{REPLACEMENT CHARACTER}", name[:_LONGEST_NAME])
