"""Where sentences end, and that all text is in one and the time it takes is linear."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sentences import sentence_spans


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["One.", "Two!", "Three?", "Four"],
        ["Mr. Smith met J. R. Tolkien.", "They spoke."],
        ["Vitamin C.", "The dose is 3.5 mg."],
        ["See Fig. 2 and No. 5.", "No.", "That is wrong."],
        ["It ends at 5 p.m.", "The rest, e.g. This, goes on."],
        ["The U.S. Army came.", "It left."],
        ["Apple Inc. Shares rose.", "So it went."],
        ['He said "Stop!" and left.', '"Why?" he asked.'],
        ["Wait...", "What?!", "(Yes.)"],
        ["Use `x.y` here.", "`pip` works."],
        ["- a", "- b", "1. First.", "2. Second"],
        ["Привет мир.", "Это тест."],
        ["مرحبا.", "كيف؟", "نعم"],
        ["यह है।", "वह है।"],
    ],
)
def test_boundaries(expected):
    separator = "\n" if expected[0].startswith("-") else " "
    assert sentences(separator.join(expected)) == expected


def test_scripts_without_spaces():
    assert sentences("中文。第二句！「好。」完") == ["中文。", "第二句！", "「好。」", "完"]


def test_a_blank_line_always_ends_one():
    assert sentences("a heading\n\nand text\n \nmore") == ["a heading", "and text", "more"]


@given(st.text(alphabet="aB1 .!?…\n\t\"'()。*-é漢", max_size=200))
def test_every_visible_character_is_in_exactly_one(text):
    end = 0
    for start, stop in sentence_spans(text):
        assert end <= start < stop
        assert not text[end:start].strip()
        assert text[start:stop] == text[start:stop].strip()
        end = stop
    assert not text[end:].strip()


@pytest.mark.parametrize("unit", [".", ". ", "\n ", "(", "A. ", ".)", "1. ", "\n\n", "\n- ", "。"])
def test_hostile_text_is_linear(unit):
    began = time.process_time()
    sentence_spans("x. " + unit * (400_000 // len(unit)))
    assert time.process_time() - began < 5
