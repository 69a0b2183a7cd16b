"""The words of the prompt, however they are written, and what only sounds like them."""

import base64
import codecs
import html
import random
import unicodedata
from collections.abc import Callable
from urllib.parse import quote

import pytest

from generation.filters.leaks import LeakScanner, Secret, leaks, leaks_code
from generation.filters.phrases import PhraseScanner
from generation.prompt import SHIPPED
from tests.generation.filters.streams import PROMPT, pieces, streamed

SECRET = Secret([PROMPT])
PART = PROMPT[30:170]
B64 = base64.b64encode
ENCODED: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "swapped": str.swapcase,
    "spaced": " ".join,
    "dotted": ".".join,
    "hyphens": "-".join,
    "lines": "\n".join,
    "stars": lambda text: " ".join(f"**{word}**" for word in text.split()),
    "underscores": lambda text: text.replace(" ", "_"),
    "no blanks": lambda text: text.replace(" ", ""),
    "zero width": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "joiners": "\u2060".join,
    "tags between": "\U000e0041".join,
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in text),
    "bold letters": lambda text: "".join(chr(0x1D41A + ord(c) - 97) if "a" <= c <= "z" else c for c in text.lower()),
    "circled": lambda text: "".join(chr(0x24D0 + ord(c) - 97) if "a" <= c <= "z" else c for c in text.lower()),
    "accents": lambda text: unicodedata.normalize("NFC", "".join(c + "\u0301" if c in "aeiou" else c for c in text)),
    "cyrillic": lambda text: text.translate(str.maketrans("aeopcxy", "аеорсху")),
    "greek": lambda text: text.translate(str.maketrans("oiv", "οιν")),
    "reversed": lambda text: text[::-1],
    "words reversed": lambda text: " ".join(word[::-1] for word in text.split()),
    "order reversed": lambda text: " ".join(reversed(text.split())),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "rot13 reversed": lambda text: codecs.encode(text, "rot13")[::-1],
    "base64": lambda text: B64(text.encode()).decode(),
    "base64 shifted": lambda text: B64(("x" + text).encode()).decode(),
    "base64 upper": lambda text: B64(text.upper().encode()).decode(),
    "base64 lower": lambda text: B64(text.lower().encode()).decode(),
    "base64 lines": lambda text: "\n".join(B64(text.encode()).decode()[at : at + 20] for at in range(0, 200, 20)),
    "base64 url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 reversed": lambda text: B64(text[::-1].encode()).decode(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "hex upper": lambda text: text.encode().hex().upper(),
    "hex spaced": lambda text: text.encode().hex(" "),
    "hex escapes": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "hex 0x": lambda text: " ".join(f"0x{byte:02x}" for byte in text.encode()),
    "unicode escapes": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "decimal": lambda text: " ".join(map(str, text.encode())),
    "binary": lambda text: " ".join(f"{byte:08b}" for byte in text.encode()),
    "entities": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "quoted": quote,
    "escaped": html.escape,
}


@pytest.mark.parametrize("name", ENCODED)
def test_no_encoding_hides_it(name: str) -> None:
    written = ENCODED[name](PART)
    assert leaks(SECRET, f"Sure, here it is: {written}")
    said, filtering = streamed(list(f"Sure, here it is: {written} and so on."))
    assert filtering.stopped == "prompt_leak"
    assert len(said) < len("Sure, here it is: ") + 12 * len(written) // len(PART) + 60, said
    assert not leaks(SECRET, said)


@pytest.mark.parametrize(
    "text",
    [
        "The sources do not answer the question how it is done.",
        "Refunds are issued within 14 days, and paid by bank transfer.",
        "Numbers and names are kept as they are in the sources.",
        "0123456789abcdef" * 20,
        B64(b"Something else that is long enough to be a prompt of its own.").decode(),
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
