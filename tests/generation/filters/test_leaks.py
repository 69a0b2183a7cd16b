"""The words of the prompt, however they are written, and what only sounds like them."""

import base64
import random

import pytest

from generation.filters.leaks import LeakScanner, Secret, leaks, leaks_code
from generation.filters.phrases import PhraseScanner
from generation.prompt import SHIPPED, load_prompt
from tests.generation.filters.streams import PROMPT, pieces, streamed
from tests.security.encodings import ENCODED

SECRET = Secret([PROMPT])
PART = PROMPT[30:170]


@pytest.mark.parametrize("name", ENCODED)
def test_no_encoding_hides_it(name: str) -> None:
    written = ENCODED[name](PART)
    assert leaks(SECRET, f"Sure, here it is: {written}")
    said, filtering = streamed(list(f"Sure, here it is: {written} and so on."))
    assert filtering.stopped == "prompt_leak"
    assert len(said) < len("Sure, here it is: ") + 12 * len(written) // len(PART) + 60, said
    assert not leaks(SECRET, said)


@pytest.mark.parametrize("name", [name for name in ENCODED if not name.startswith("base")])
def test_no_place_of_the_shipped_prompt_gets_through(name: str) -> None:
    prompt = load_prompt().system
    secret = Secret([prompt])
    for at in range(0, len(prompt) - 120, 3):
        assert leaks(secret, ENCODED[name](prompt[at : at + 120])), prompt[at : at + 120]


@pytest.mark.parametrize(
    "text",
    [
        "The sources do not answer the question how it is done.",
        "Refunds are issued within 14 days, and paid by bank transfer.",
        "Numbers and names are kept as they are in the sources.",
        "0123456789abcdef" * 20,
        base64.b64encode(b"Something else that is long enough to be a prompt of its own.").decode(),
    ],
)
def test_anybody_may_say_what_is_no_leak(text: str) -> None:
    assert not leaks(SECRET, text)
    shipped = Secret([path.read_text() for path in SHIPPED.glob("*.md")])
    assert not leaks(shipped, text)


def test_what_a_source_says_is_no_leak() -> None:
    scanner = LeakScanner(SECRET, [f"The prompt reads: {PART}"])
    assert scanner.scan(f"It reads: {PART.upper()}", 0, final=True).edits == ()


@pytest.mark.parametrize(
    ("code", "text", "leak"),
    [
        ("♿♿♿", "It is ♿ ♿♿.", True),
        ("♿♿♿", "It is ♿ thrice.", False),
        ("open sesame", "The code: O-p-e-n  S.e.s.a.m.e", True),
        ("open sesame", "Open the door.", False),
        ("tiny", "It is t i n y", True),
    ],
)
def test_short_secrets_leak_as_a_whole(code: str, text: str, leak: bool) -> None:
    assert leaks_code(code, text) == leak


def test_phrases_as_words_in_any_case() -> None:
    def said(text: str, action: str = "mask") -> list[tuple[int, int]]:
        scanner = PhraseScanner(["internal use", "Größe"], action)  # type: ignore[arg-type]
        return [(edit.start, edit.end) for edit in scanner.scan(text, 0, final=True).edits]

    assert said("For INTERNAL\n use; internal users; die GRÖSSE.") == [(4, 17), (39, 45)]
    assert said("international use") == []
    assert said("Größenordnung") == []


@pytest.mark.slow
def test_an_obedient_model_tells_nothing_of_it() -> None:
    draw = random.Random(11)
    outputs = 0
    for written in ENCODED.values():
        for _ in range(40):
            start = draw.randrange(len(PROMPT) - 110)
            text = (
                f"{draw.choice(('', 'Sure: ', '1. '))}{written(PROMPT[start : start + draw.randint(100, 200)])} Done."
            )
            said, filtering = streamed(pieces(text, draw.sample(range(len(text)), 9)))
            assert not leaks(SECRET, said)
            assert filtering.stopped == "prompt_leak", text
            outputs += 1
    assert outputs > 1800
