"""What a sentence is held against: the sentences of the passages that it cites, and the words of their headings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from generation.verification.words import Word, words
from ingest.sentences import sentence_spans
from retrieval.model import Passage

_LONG = 600  # characters; what is longer without a stop is a table or a listing, and is read line by line


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence, or a line of a table: `text[start:end]` of the context's passage number `n`."""

    n: int
    start: int
    end: int
    text: str
    words: tuple[Word, ...]


def statements(numbered: Sequence[tuple[int, Passage]]) -> list[Statement]:
    """Those of all passages, in order."""
    return [
        Statement(n, start, end, passage.text[start:end], tuple(words(passage.text[start:end])))
        for n, passage in numbered
        for start, end in _spans(passage.text)
    ]


def headings(passages: Sequence[Passage]) -> frozenset[str]:
    """The stems of what stands above the passages: a passage need not repeat what its title says it is about."""
    texts = (text for passage in passages for text in (passage.title, *passage.heading_path))
    return frozenset(word.stem for text in texts for word in words(text))


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for start, end in sentence_spans(text):
        rows = "\n|" in text[start:end] or text.startswith("|", start)
        if rows or end - start > _LONG:
            yield from _lines(text, start, end)
        else:
            yield start, end


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    at = start
    for line in text[start:end].splitlines(keepends=True):
        kept = line.strip()
        if kept:
            begin = at + line.index(kept)
            yield begin, begin + len(kept)
        at += len(line)
