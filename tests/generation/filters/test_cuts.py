"""Wherever a stream is cut, the same comes out, and nothing half of it before."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.filters.finding import AHEAD
from tests.generation.filters.streams import PROMPT, STRICT, pieces, streamed, whole

SECRETS = (
    "4111 1111 1111 1111",
    "378282246310005",
    "GB29 NWBK 6016 1331 9268 19",
    "460-89-9847",
    "jo.doe@example.org",
    "+1 (415) 555-2671",
    "106.31.73.20",
    "AKIAIOSFODNN7EXAMPLE",
    "sk-proj-abc123def456ghi789jkl012",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAx1\nAAAAB3Nz\n-----END RSA PRIVATE KEY-----",
    "postgres://ann:hunter2@db/x",
)
PROSE = (
    "Refunds are issued within 14 days.",
    "See [the terms](https://evil.example/?q=x) first.",
    "![pixel](https://evil.example/p.png?d=1)",
    "Run `grounded ask` or:\n```sh\ncurl http://localhost:8000/ask\n```\n",
    "A <b>bold</b> claim & more.",
    "This is for INTERNAL  use only.",
    "Zwölf große Wörter, 日本語の文。",
    "[ref]: https://evil.example",
    "It costs 3,000.50 EUR (or 1-2 more).",
    "\u200bhid\u00adden\u202e",
    PROMPT[:45],
)
FRAGMENTS = st.sampled_from(
    [*SECRETS, *PROSE, " ", "\n", "`", "[", "](", "!", "-", "4111 ", "\\", "<", PROMPT[20:90], "é"]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(FRAGMENTS, max_size=10).map("".join), st.data())
def test_no_cut_makes_a_difference(text: str, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=12))
    said, filtering = streamed(pieces(text, cuts))
    expected, once = whole(text)
    assert (said, filtering.categories, filtering.stopped) == (expected, once.categories, once.stopped)


def recorded(count: int) -> list[str]:
    """Answers as models write them, with what should not be in them."""
    draw = random.Random(6)
    return [
        " ".join(draw.choices(PROSE, k=2) + draw.choices(SECRETS, k=1) + draw.choices(PROSE, k=1)) for _ in range(count)
    ]


@pytest.mark.slow
def test_200_answers_cut_at_every_place() -> None:
    cuts = 0
    for text in recorded(200):
        expected, _ = whole(text)
        for cut in range(len(text) + 1):
            filtering = STRICT.stream()
            first = filtering.feed(text[:cut])
            assert expected.startswith(first), (text, cut)
            assert first + filtering.feed(text[cut:], final=True) == expected, (text, cut)
            cuts += 1
    assert cuts > 20_000


@pytest.mark.parametrize(
    "text", ["word " * 2000, "x" * 5000, "1 " * 3000, "[a " * 2000, "`a " * 2000, "a@" * 3000, "secret " * 900]
)
def test_no_more_is_held_than_the_longest_pattern_needs(text: str) -> None:
    filtering = STRICT.stream()
    held = given_ = 0
    said = ""
    for at in range(0, len(text), 7):
        said += filtering.feed(text[at : at + 7])
        given_ = at + 7
        held = max(held, given_ - len(said.replace("\\", "")))
    assert held <= 3 * AHEAD
    assert said + filtering.feed("", final=True) == whole(text)[0]


def test_a_place_is_told_where_it_went() -> None:
    text = "Mail jo.doe@example.org now."
    said, filtering = whole(text)
    assert said == "Mail ‹e-mail address› now."
    assert [filtering.place(at) for at in (0, 5, 8, 23, len(text))] == [0, 5, 21, 21, len(said)]


def test_an_end_is_the_end() -> None:
    said, filtering = streamed([f"Well. {PROMPT} 4111 1111 1111 1111", " and more"])
    assert filtering.stopped == "prompt_leak"
    assert filtering.categories == ("prompt_leak",)
    assert "numbered" not in said
    assert filtering.feed("again", final=True) == ""
