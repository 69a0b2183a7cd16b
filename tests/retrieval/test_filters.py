"""Filters as they come off the wire: what they are read as, and what is refused and how it is told. What they mean is a
contract of the engines."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.errors import InvalidFilter
from retrieval.filters import (
    EVERYTHING,
    FIELDS,
    MOST_CONDITIONS,
    MOST_DEPTH,
    MOST_PATTERNS,
    MOST_VALUES,
    AllOf,
    AnyOf,
    Filter,
    Like,
    Not,
    OneOf,
    Within,
    language_ranges,
    parsed,
)
from retrieval.model import Query, Scope
from tests.contracts.filtering import FILTERS, NOW

DAY = 86_400


def refused(wire: Any) -> InvalidFilter:
    with pytest.raises(InvalidFilter) as found:
        parsed(wire, NOW)
    return found.value


def outcome(wire: Any) -> Filter | InvalidFilter:
    try:
        return parsed(wire, NOW)
    except InvalidFilter as error:
        return error


def leaf(kind: str, key: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value}


def nested(depth: int) -> dict[str, Any]:
    wire: dict[str, Any] = {"page": 1}
    for _ in range(depth):
        wire = {"type": "and", "filters": [wire]}
    return wire


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (None, EVERYTHING),
        ({}, EVERYTHING),
        ({"filename": "a.md"}, OneOf("filename", ("a.md",))),
        ({"page": [3, 4, 3]}, OneOf("page", (3, 4))),
        ({"page": "3"}, OneOf("page", (3,))),
        ({"tags": []}, OneOf("tags", ())),
        ({"tags": "Policy", "page": 1}, AllOf((OneOf("tags", ("policy",)), OneOf("page", (1,))))),
        ({"language": "en_GB"}, OneOf("language", ("en-gb",))),
        ({"filename": "hr/*"}, Like("filename", "start", "hr/")),
        ({"filename": "*.pdf"}, Like("filename", "end", ".pdf")),
        ({"filename": "**leave**"}, Like("filename", "anywhere", "leave")),
        ({"filename": "*"}, Like("filename", "start", "")),
        ({"filename": ["a.md", "hr/*", "b.md"]}, AnyOf((OneOf("filename", ("a.md", "b.md")), Like("filename", "start", "hr/")))),
        ({"title": "*args and **kwargs"}, OneOf("title", ("*args and **kwargs",))),
        ({"url": "https://a.b/*"}, Like("url", "start", "https://a.b/")),
        ({"metadata.department": "people"}, OneOf("metadata.department", ("people",))),
        (leaf("ne", "page", 3), Not(OneOf("page", (3,)))),
        (leaf("nin", "tags", ["a", "B"]), Not(OneOf("tags", ("a", "b")))),
        (leaf("in", "tags", ["a"]), OneOf("tags", ("a",))),
        (leaf("gt", "page", 3), Within("page", 4, None)),
        (leaf("gte", "page", 3), Within("page", 3, None)),
        (leaf("lt", "page", 3), Within("page", None, 3)),
        (leaf("lte", "page", 3), Within("page", None, 4)),
        ({"type": "or", "filters": [{"page": 1}, {"page": 2}]}, AnyOf((OneOf("page", (1,)), OneOf("page", (2,))))),
    ],
)  # fmt: skip
def test_what_a_filter_is_read_as(wire: Any, expected: Filter) -> None:
    assert parsed(wire, NOW) == expected


def at(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("2026", (at(2026, 1, 1), at(2027, 1, 1))),
        ("2024-02", (at(2024, 2, 1), at(2024, 3, 1))),
        ("2025-12", (at(2025, 12, 1), at(2026, 1, 1))),
        ("2026-03-31", (at(2026, 3, 31), at(2026, 4, 1))),
        ("2026-03-31T10:00", (at(2026, 3, 31, 10), at(2026, 3, 31, 10) + 1)),
        ("2026-03-31 10:00:00.75+02:00", (at(2026, 3, 31, 8), at(2026, 3, 31, 8) + 1)),
        ("9999", (at(9999, 1, 1), at(9999, 12, 31) + DAY)),
        ("0001-01-01", (at(1, 1, 1), at(1, 1, 2))),
        ("now", (at(2026, 3, 31, 12), at(2026, 3, 31, 12) + 1)),
        ("now-90d", (at(2026, 3, 31, 12) - 90 * DAY, at(2026, 3, 31, 12) - 90 * DAY + 1)),
        ("now-2w", (at(2026, 3, 17, 12), at(2026, 3, 17, 12) + 1)),
        ("now-36h", (at(2026, 3, 30), at(2026, 3, 30) + 1)),
        (0, (0, 1)),
    ],
)
def test_a_date_is_the_span_that_it_names(text: str | int, span: tuple[int, int]) -> None:
    assert parsed({"modified_at": text}, NOW) == Within("modified_at", *span)
    assert parsed(leaf("gte", "modified_at", text), NOW) == Within("modified_at", span[0], None)
    assert parsed(leaf("gt", "modified_at", text), NOW) == Within("modified_at", span[1], None)
    assert parsed(leaf("lt", "modified_at", text), NOW) == Within("modified_at", None, span[0])
    assert parsed(leaf("lte", "modified_at", text), NOW) == Within("modified_at", None, span[1])


def test_now_is_the_same_moment_in_every_zone() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=-7)))
    assert parsed({"created_at": "now-1h"}, elsewhere) == parsed({"created_at": "now-1h"}, NOW)


@pytest.mark.parametrize(
    ("wire", "param", "said"),
    [
        ({"filname": "a"}, "filters.filname", "did you mean 'filename'?"),
        (leaf("eq", "tag", "a"), "filters", "did you mean 'tags'?"),
        ({"collection_id": "x"}, "filters.collection_id", "no field to filter on"),
        ({"access": "hr"}, "filters.access", "no field to filter on"),
        ({"metadata.": "x"}, "filters.metadata.", "no field to filter on"),
        (leaf("eq", 7, "x"), "filters", "no field to filter on"),
        (leaf("equals", "page", 1), "filters", "has no type of"),
        (leaf("gtee", "page", 1), "filters", "did you mean 'gte'?"),
        ({"type": ["eq"], "key": "page", "value": 1}, "filters", "has no type of"),
        ({"type": "eq", "key": "page"}, "filters", "lacks 'value'"),
        ({**leaf("eq", "page", 1), "values": 1}, "filters", "holds 'values'"),
        ({"type": "and"}, "filters", "lacks 'filters'"),
        ({"type": "and", "filters": []}, "filters", "no list of filters"),
        ({"type": "or", "filters": {"page": 1}}, "filters", "no list of filters"),
        ({"type": "or", "filters": [{"page": 1}, 7]}, "filters.filters.1", "is not an object"),
        ({"type": "or", "filters": [{"page": 1}, {"pag": 2}]}, "filters.filters.1.pag", "did you mean 'page'?"),
        ([], "filters", "is not an object"),
        ("page", "filters", "is not an object"),
        (leaf("gt", "filename", "a"), "filters", "have an order"),
        (leaf("in", "page", 3), "filters", "needs a list"),
        (leaf("eq", "page", [3]), "filters", "whole number"),
        (leaf("eq", "filename", ["a"]), "filters", "compared with text"),
        (leaf("gte", "modified_at", ["now"]), "filters", "compared with text"),
        ({"filename": 3}, "filters.filename", "compared with text"),
        ({"filename": None}, "filters.filename", "compared with text"),
        ({"filename": "a*b"}, "filters.filename", "neither at its beginning nor at its end"),
        ({"filename": "\ud800"}, "filters.filename", "no text"),
        ({"filename": "x" * 5000}, "filters.filename", "longer than"),
        ({"language": "English!"}, "filters.language", "no language"),
        ({"page": True}, "filters.page", "whole number"),
        ({"page": 1.5}, "filters.page", "whole number"),
        ({"page": "one"}, "filters.page", "whole number"),
        ({"page": 2**63}, "filters.page", "whole number"),
        ({"page": [1, -(2**63) - 1]}, "filters.page", "whole number"),
        ({"modified_at": 1.5}, "filters.modified_at", "compared with text"),
        ({"modified_at": True}, "filters.modified_at", "compared with text"),
        ({"modified_at": "yesterday"}, "filters.modified_at", "no date such as"),
        ({"modified_at": "2026-02-30"}, "filters.modified_at", "no day of the calendar"),
        ({"modified_at": "2026-13"}, "filters.modified_at", "no day of the calendar"),
        ({"modified_at": "0000"}, "filters.modified_at", "no day of the calendar"),
        ({"modified_at": "0001-01-01T00:00:00+14:00"}, "filters.modified_at", "no day of the calendar"),
        ({"modified_at": "now-90"}, "filters.modified_at", "no date such as"),
        ({"modified_at": "now+1d"}, "filters.modified_at", "no date such as"),
        ({"modified_at": "now-9999999d"}, "filters.modified_at", "no date such as"),
        (nested(MOST_DEPTH + 1), f"filters{'.filters.0' * MOST_DEPTH}", "nested deeper"),
        ({"tags": ["a"] * (MOST_VALUES + 1)}, "filters", "values"),
        ({"modified_at": ["now"] * MOST_CONDITIONS}, "filters", "conditions"),
        ({"type": "or", "filters": [{"page": 1}] * (MOST_CONDITIONS + 1)}, "filters", "conditions"),
        ({"filename": ["a*"] * (MOST_PATTERNS + 1)}, "filters", "patterns"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_and_the_place_is_told(wire: Any, param: str, said: str) -> None:
    error = refused(wire)
    assert error.param == param
    assert said in error.message


def test_as_much_as_may_be_is_read() -> None:
    parsed(nested(MOST_DEPTH), NOW)
    parsed({"tags": [str(n) for n in range(MOST_VALUES)]}, NOW)
    parsed({"type": "or", "filters": [{"page": 1}] * MOST_CONDITIONS}, NOW)
    parsed({"filename": ["a*"] * MOST_PATTERNS}, NOW)


def test_no_value_that_was_sent_is_repeated() -> None:
    told = 0
    for key in FIELDS:
        for value in ("s3cret\x00*s3cret", {"s3cret": 1}, ["s3cret*s3cret", None]):
            for wire in ({key: value}, leaf("gte", key, value), leaf("in", key, value)):
                found = outcome(wire)
                if isinstance(found, InvalidFilter):
                    assert "s3cret" not in f"{found.message}{found.param}"
                    told += 1
    assert told > len(FIELDS)


def test_names_are_repeated_only_as_far_as_they_can_be_names() -> None:
    for wire in ({"\x1b[31m" * 100: 1}, leaf("eq", "\n" * 500, 1), {**leaf("eq", "page", 1), "\x1b" * 500: 1}):
        error = refused(wire)
        assert error.param is not None
        assert len(error.param) <= 120
        assert len(error.message) < 500
        assert "\x1b" not in error.message + error.param
        assert "\n" not in error.message + error.param


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["and", "or", "eq", "gte", "in"]),
    lambda inner: st.lists(inner)
    | st.dictionaries(st.sampled_from(["type", "key", "value", "filters", "page", "filename", "modified_at"]) | st.text(), inner),
)  # fmt: skip


@given(_JSON)
@settings(max_examples=500, deadline=None)
def test_whatever_comes_is_a_filter_or_is_refused(wire: Any) -> None:
    found = outcome(wire)
    assert found.param if isinstance(found, InvalidFilter) else isinstance(found, Filter)


@given(st.none() | FILTERS)
def test_every_search_begins_with_its_scope(wire: Any) -> None:
    wanted = parsed(wire, NOW)
    mine = OneOf("collection_id", ("col",))
    assert Query("q", Scope("col", "name", None), wanted).confined == AllOf((AllOf((mine,)), wanted))
    confined = Query("q", Scope("col", "name", frozenset({"b", "a"})), wanted).confined
    assert confined == AllOf((AllOf((mine, OneOf("access", ("*", "a", "b")))), wanted))


def test_who_may_read_what() -> None:
    assert Scope("c", "n", None).admits(("hr",))
    assert Scope("c", "n", frozenset()).admits(())
    assert not Scope("c", "n", frozenset()).admits(("hr",))
    assert Scope("c", "n", frozenset({"board"})).admits(("hr", "board"))
    assert not Scope("c", "n", frozenset({"board"})).admits(("hr",))


def test_a_language_is_found_by_what_it_is_a_case_of() -> None:
    assert language_ranges("zh-Hant-TW") == ["zh-hant-tw", "zh-hant", "zh"]
    assert language_ranges("") == []
