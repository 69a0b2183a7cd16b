"""Answers that are data: what a reply becomes, and where its sentences stand."""

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.adapters.chat_stream import LONGEST_ANSWER
from generation.structured import Form, UnusableError, format_of

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "summary": {"type": "string"},
        "days": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}},
    },
    "required": ["summary"],
    "additionalProperties": False,
}
SAID = 'Refunds are issued within 14 days [1]. Ask "them" by mail, though [2].'


def form(schema: dict[str, Any] | None = SCHEMA) -> Form:
    return Form(format_of(schema), 2)


def reply(**more: Any) -> str:
    return orjson.dumps({"not_in_sources": False, "summary": "Yes."} | more).decode()


def test_the_models_schema_has_a_way_to_say_that_the_sources_do_not_answer() -> None:
    made = format_of(SCHEMA, "refund", strict=True)
    assert made.sent is not None
    assert made.sent["required"] == ["not_in_sources", "summary"]
    assert next(iter(made.sent["properties"])) == "not_in_sources"
    assert json.loads(made.shown) == made.sent
    assert made.schema == SCHEMA
    assert form().read('{"not_in_sources": true, "summary": "made up"}') is None
    assert form(None).read('{"not_in_sources": true}') is None
    read = form().read(reply())
    assert read is not None
    assert read.text == '{"summary":"Yes."}'


def test_a_property_of_the_callers_own_is_a_part_of_the_answer() -> None:
    mine = {"type": "object", "properties": {"not_in_sources": {"type": "boolean"}}, "required": ["not_in_sources"]}
    assert format_of(mine).sent == mine
    read = form(mine).read('{"not_in_sources": true}')
    assert read is not None
    assert read.text == '{"not_in_sources":true}'


def test_a_root_that_is_no_object_is_left_as_it_is() -> None:
    listed = {"type": "array", "items": {"type": "integer"}}
    assert format_of(listed).sent == listed
    read = form(listed).read("[1, 2]")
    assert read is not None
    assert read.text == "[1,2]"


def test_marks_go_and_sentences_know_where_they_stand() -> None:
    read = form().read(reply(summary=SAID, days=14, tags=["refund", "by mail"]))
    assert read is not None
    assert orjson.loads(read.text) == {
        "summary": 'Refunds are issued within 14 days. Ask "them" by mail, though.',
        "days": 14,
        "tags": ["refund", "by mail"],
    }
    assert [read.text[said.start : said.end] for said in read.said] == [
        "Refunds are issued within 14 days.",
        'Ask \\"them\\" by mail, though.',
    ]
    assert [said.sentence.cited for said in read.said] == [(1,), (2,)]
    assert read.said[1].sentence.text == 'Ask "them" by mail, though.'


def test_what_is_no_sentence_is_not_judged() -> None:
    words = ["Ada Lovelace", "2026-01-01", "14 days", "OPEN", "a[1]", "[1]", "Is it so, really?", ""]
    read = form(None).read(orjson.dumps({"words": words}).decode())
    assert read is not None
    assert read.said == ()
    assert orjson.loads(read.text)["words"] == words


def test_numbers_in_data_are_no_marks() -> None:
    read = form(None).read('{"pages": [1, 2], "box": [[1], [2]], "note": "Pages one and two say so [1]."}')
    assert read is not None
    assert read.text == '{"pages":[1,2],"box":[[1],[2]],"note":"Pages one and two say so."}'


@pytest.mark.parametrize(
    "around", ["```json\n%s\n```", "```\n%s\n```", "\n ```JSON \n%s\n ```\n", "%s", "  %s\n", "```json\n%s```"]
)
def test_code_fences_are_stripped(around: str) -> None:
    read = form().read(around % reply())
    assert read is not None
    assert read.text == '{"summary":"Yes."}'


@pytest.mark.parametrize("blank", [" ", "\n", "\t", "` ", "```\n"])
def test_a_fence_that_never_ends_is_refused_at_once(blank: str) -> None:
    """The longest reply that is read; a search for its end from every place in it would take minutes."""
    said = "```json\n" + blank * (LONGEST_ANSWER // len(blank))
    begun = time.process_time()
    with pytest.raises(UnusableError):
        form().read(said)
    assert time.process_time() - begun < 10


@pytest.mark.parametrize(
    ("said", "keyword"),
    [
        ("Here you are: {}", "json"),
        ('{"summary": "Yes."', "json"),
        ('{"summary": NaN}', "json"),
        ("", "json"),
        ("```json\n```", "json"),
        ('{"not_in_sources": false}', "required"),
        (reply(days="14"), "properties/days/type"),
        (reply(more=1), "additionalProperties"),
        (reply(tags=["x" * 21]), "properties/tags/items/maxLength"),
        ("[" * 500 + "]" * 500, "depth"),
    ],
)
def test_what_cannot_be_used(said: str, keyword: str) -> None:
    with pytest.raises(UnusableError) as told:
        form().read(said)
    assert told.value.keyword == keyword
    assert len(str(told.value)) <= 300


def test_any_object_is_an_object() -> None:
    with pytest.raises(UnusableError, match="no JSON object"):
        form(None).read("[1]")


def test_the_limits_are_for_what_is_answered_not_for_what_the_model_wrote() -> None:
    short = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 31}}}
    read = form(short).read('{"not_in_sources": false, "a": "Refunds are issued in 14 days. [1]"}')
    assert read is not None
    assert orjson.loads(read.text)["a"] == "Refunds are issued in 14 days."


def test_numbers_that_the_schema_asks_for_stay() -> None:
    cited = {"type": "array", "items": {"type": "string", "pattern": r"\[[0-9]\]\.$"}}
    read = form(cited).read('["Refunds are issued in \\"14\\" days [2].", "By mail [9]. Not on Sundays, though [1]."]')
    assert read is not None
    assert read.text == '["Refunds are issued in \\"14\\" days [2].","By mail [9]. Not on Sundays, though [1]."]'
    assert [read.text[said.start : said.end] for said in read.said] == [
        'Refunds are issued in \\"14\\" days [2].',
        "By mail [9]. Not on Sundays, though [1].",
    ]
    assert [(said.sentence.text, said.sentence.cited) for said in read.said] == [
        ('Refunds are issued in "14" days.', (2,)),
        ("By mail. Not on Sundays, though.", (1,)),
    ]


texts = st.text(st.sampled_from('ab .!?"\\\n[1]9{}é漢\U0001f600\u2028`*-'), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(texts, values, max_size=4))
def test_whatever_is_in_it_the_answer_is_json_and_places_are_right(value: dict[str, Any]) -> None:
    value.pop("not_in_sources", None)
    read = form(None).read(orjson.dumps(value).decode())
    assert read is not None
    assert list(orjson.loads(read.text)) == list(value)
    end = 0
    for said in read.said:
        assert end <= said.start < said.end <= len(read.text)
        assert orjson.loads(f'"{read.text[said.start : said.end]}"') == said.sentence.text
        end = said.end
    again = form(None).read(read.text)
    assert again is not None
    assert orjson.loads(again.text).keys() == value.keys()
