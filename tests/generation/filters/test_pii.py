"""Personal data by form and checksum: valid items are found at every split, near misses are not."""

import random

import pytest

from generation.filters.hold_back import HoldBack
from generation.filters.pii import Item, Known, PiiScanner, items
from tests.generation.filters.streams import MASKED
from tests.security.made_pii import MADE
from tests.security.pii import recall_and_precision

DRAW = random.Random(7)


def test_valid_ones_are_found_and_near_misses_are_not() -> None:
    counts = recall_and_precision(60 * len(MADE), seed=7)
    assert set(counts) == set(MADE)
    for kind, count in counts.items():
        assert count.recall >= 0.995, (kind, count.missed[:3])
        assert count.precision >= 0.99, (kind, count.alarms[:3])


def test_items_at_every_split_of_the_stream() -> None:
    for kind, (valid, _) in MADE.items():
        for _ in range(12):
            made = valid(DRAW)
            text = f"So it is {made} now, {kind}."
            for cut in range(len(text) + 1):
                stream = HoldBack(PiiScanner(MASKED))
                first = stream.feed(text[:cut])
                said = first + stream.feed(text[cut:], final=True)
                assert made not in said
                assert first.startswith("So it is "[: len(first)])
                assert said.endswith(f" now, {kind}.")
                assert made[: len(made) // 2] not in first or kind == "phone"


def test_what_the_reader_may_read_may_be_said() -> None:
    known = Known(["Write to help@example.org or call (415) 555-2671."])
    text = "Call 415-555-2671 or write to HELP@example.org, not to xhelp@example.org."
    said = HoldBack(PiiScanner(MASKED, known)).feed(text, final=True)
    assert said == "Call 415-555-2671 or write to HELP@example.org, not to ‹e-mail address›."


def test_each_kind_has_its_own_rule() -> None:
    stream = HoldBack(PiiScanner({"email": "allow", "credit_card": "block", "phone": "mask"}))
    assert stream.feed("a@b.co and 4111111111111111 or", final=True) == "a@b.co and "
    assert stream.stopped == "pii.credit_card"


@pytest.mark.parametrize(
    "text",
    [
        "４１１１ １１１１ １１１１ １１１１",
        "4111\u00a01111\u00a01111\u00a01111",
        "4111‑1111‑1111‑1111",
        "٤١١١١١١١١١١١١١١١",
    ],
)
def test_digits_and_dashes_of_every_script(text: str) -> None:
    assert items(text) == [Item("credit_card", 0, len(text))]


def test_a_secret_is_masked_to_its_end() -> None:
    token = "ghp_" + "a1B2" * 200
    stream = HoldBack(PiiScanner(MASKED))
    said = "".join(stream.feed(char) for char in f"{token} end") + stream.feed("", final=True)
    assert said == "‹secret› end"


@pytest.mark.parametrize("said", ["It was built in 1887.", "There are 12.", "Version 3.1 of 1887!"])
def test_a_sentence_that_ends_in_a_number_does_not_wait_for_the_next(said: str) -> None:
    stage = HoldBack(PiiScanner(MASKED))
    assert stage.feed(said) + stage.feed("", pause=True) == said


def test_a_number_waits_for_the_word_behind_it_that_makes_it_a_telephone_number() -> None:
    stage = HoldBack(PiiScanner(MASKED))
    assert stage.feed("555 12 34 ") == ""
