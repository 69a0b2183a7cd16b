"""Whether text says what the model was told to keep to itself: the words of its prompt, straight or encoded. Pure.

Both are reduced to their letters, so case, blanks, punctuation, look-alikes and invisible characters make no difference. A
run of letters that stands in the prompt, or in one of its encodings, is a leak from a length on; until then it is held back.
"""

import base64
import codecs
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from generation.filters.folding import folded, placed
from generation.filters.hold_back import Edit, Scanned

PROMPT_LEAK = "prompt_leak"
RUN = 40  # letters: seven words or so. Phrases like "the sources do not answer the question" anybody may say
_SEED = 12  # letters that must agree before anything is held back
_BITS = 1 << 22


class Secret:
    """Texts that must not be said. Building one takes some ten milliseconds; it is made once."""

    def __init__(self, texts: Iterable[str], run: int = RUN) -> None:
        """Of a text that is shorter than `run` letters the whole is a leak, and no part of it."""
        pieces = [piece for text in texts for piece in _without_fields(text) if folded(piece)]
        shortest = min((len(folded(piece)) for piece in pieces), default=run)
        self.run = min(run, shortest) if len(pieces) == 1 else run
        self.seed = min(_SEED, self.run)
        self.letters = "\0".join(variant for piece in pieces for variant in _variants(piece))
        self._seeds = bytearray(_BITS // 8)
        for variant in self.letters.split("\0"):
            for at in range(len(variant) - self.seed + 1):
                place = hash(variant[at : at + self.seed]) % _BITS
                self._seeds[place >> 3] |= 1 << (place & 7)

    def holds(self, run: str) -> bool:
        """Whether these letters stand in it one after the other."""
        place = hash(run[-self.seed :]) % _BITS
        return bool(self._seeds[place >> 3] & 1 << (place & 7)) and run in self.letters

    def may_share(self, row: str) -> bool:
        """Whether any run of a seed's length may stand in it; where not, none does."""
        seeds, n = self._seeds, self.seed
        for at in range(len(row) - n + 1):
            place = hash(row[at : at + n]) % _BITS
            if seeds[place >> 3] & 1 << (place & 7):
                return True
        return False

    def longest(self, run: str) -> str:
        """The longest end of these letters that stands in it; nothing where that is shorter than a seed."""
        while len(run) >= self.seed:
            if self.holds(run):
                return run
            run = run[1:]
        return ""


def _without_fields(text: str) -> Iterator[str]:
    """What stands between the places of a prompt where something is filled in, as `{{question}}`."""
    for nth, piece in enumerate(text.split("{{")):
        head, closed, tail = piece.partition("}}")
        yield tail if nth and closed and head.isidentifier() else piece


def _variants(text: str) -> Iterator[str]:
    """The letters of a text, and those of the ways to write it that hide it from whoever compares letters."""
    straight = folded(text)
    words = text.split()
    yield straight
    yield straight[::-1]
    yield folded(" ".join(reversed(words)))
    yield folded(" ".join(word[::-1] for word in words))
    yield folded(codecs.encode(text, "rot13"))
    yield folded(codecs.encode(text, "rot13"))[::-1]
    for written in dict.fromkeys((text, text.lower(), text.upper(), " ".join(words), straight, text[::-1])):
        data = written.encode()
        for shift in range(3):
            yield folded(base64.b64encode(data[shift : len(data) - (len(data) - shift) % 3]).decode())
        yield data.hex()
    data = text.encode()
    yield from ("".join(f"{sign}{byte:02x}" for byte in data) for sign in ("x", "0x", "u00"))
    yield folded(quote(text))
    yield "".join(map(str, data))
    yield "".join(f"{byte:08b}" for byte in data)
    for shift in range(5):
        yield folded(base64.b32encode(data[shift : len(data) - (len(data) - shift) % 5]).decode())


NO_SECRET = Secret(())


class LeakScanner:
    """Finds leaks on a stream, and ends it in front of what would make one. One for each stream."""

    def __init__(self, secret: Secret, sources: Iterable[str] = ()) -> None:
        """What stands in the `sources` anybody who gets the answer may read: that is no leak."""
        self._secret = secret
        self._sources = tuple(sources)
        self._letters: str | None = None
        self._before = ""  # the letters in front of what is held, as many as matter

    def scan(self, text: str, start: int, *, final: bool) -> Scanned:
        secret = self._secret
        if not secret.letters:
            return Scanned((), len(text))
        row = self._before + folded(text[start:])
        if not secret.may_share(row):  # nearly always; letter by letter it would take ten times as long
            self._before = row[-(secret.seed - 1) :] if secret.seed > 1 else ""
            return Scanned((), len(text))
        run, ends = self._before, [start] * len(self._before)
        for letter, at in placed(text, start):
            longest = secret.longest(run + letter) if len(run) >= secret.seed - 1 else ""
            kept = longest or (run + letter)[-(secret.seed - 1) or len(run) + 1 :]
            ends = [*ends, at + 1][-len(kept) :]
            run = kept
            if len(longest) >= secret.run * _width(longest):
                if not self._quoted(longest[-secret.run :]):
                    stop = ends[secret.seed - 1]
                    return Scanned((Edit(max(stop, start), len(text), "", PROMPT_LEAK, stop=True),), len(text))
                run, ends = run[1:], ends[1:]
        if final or len(run) < secret.seed:
            self._before = run
            return Scanned((), len(text))
        self._before = run[: secret.seed]
        return Scanned((), ends[secret.seed - 1])

    def _quoted(self, run: str) -> bool:
        if self._letters is None:
            self._letters = "\0".join(map(folded, self._sources))
        return run in self._letters


def _width(run: str) -> int:
    """How many of these letters hide one: forty bits are five letters, which many texts share with the prompt."""
    if not run.isdigit():
        return 1
    return 4 if set(run) <= {"0", "1"} else 2


def leaks(secret: Secret, text: str) -> bool:
    """Whether the whole of a text holds a leak."""
    return any(edit.stop for edit in LeakScanner(secret).scan(text, 0, final=True).edits)


def leaks_code(code: str, text: str) -> bool:
    """Whether a secret of any length stands in the text: as a run of letters, or, where it has none, as it is."""
    if not folded(code):
        bare = "".join(code.split())
        return bool(bare) and bare in "".join(text.split())
    return leaks(Secret((code,)), text)
