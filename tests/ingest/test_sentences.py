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
        ["It takes ca. 2 minutes, approx. 3.5 MB and max. 4 cores.", "Then it ends."],
        ["See Sect. 4, Nr. 7, Abs. 2 and Eq. 9.", "Dr. Who said so, vs. Prof. Why."],
        ["Das gilt z. B. Berlin betreffend, d. h. überall, u. a. Hamburg.", "Es gilt bzw. Ausnahmen bestehen."],
        ["Am 3. Mai kamen ca. 20 Mio. Menschen usw. Danach nichts."],
        ["Sie kamen usw.", "Die anderen blieben."],
        ["Il y a env. 20 pages, cf. Proust, art. 3.", "La suite manque."],
        ["We went to CA.", "Then home, in no time.", "No.", "It was 2019.", "Mai came."],
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


@pytest.mark.parametrize(
    "short", ["ca", "approx", "No", "Fig", "e.g", "vs", "Dr", "Nr", "Abs", "env", "z.B", "p. 3, vgl"]
)
@given(before=st.text("ab ,", max_size=8), after=st.from_regex(r"[0-9][0-9a-z ]{0,8}|[a-z][a-z ]{0,8}", fullmatch=True))
def test_a_number_or_a_small_letter_behind_what_is_abbreviated_goes_on(short, before, after):
    text = f"{before} {short}. {after}"
    assert len(sentence_spans(text)) == 1


_SHORT = st.sampled_from(
    [
        "ca.",
        "No.",
        "e.g.",
        "Dr.",
        "z.",
        "B.",
        "u.",
        "a.",
        "R.",
        "usw.",
        "3.",
        "Mai",
        "\n\n",
        "12.",
        "The",
        "Der",
        "B",
        "5",
    ]
)


@given(st.lists(_SHORT | st.text(alphabet="aB1 .!?\n", max_size=4), max_size=30).map(" ".join))
def test_abbreviations_lose_no_character(text):
    spans = sentence_spans(text)
    covered = {place for a, b in spans for place in range(a, b)}
    assert {place for place, letter in enumerate(text) if not letter.isspace()} <= covered
    assert sum(b - a for a, b in spans) == len(covered)


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
