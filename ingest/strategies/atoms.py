"""Spans with their weight in word pieces: how text is cut until it fits, and how what fits is put together again."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from ingest.ports import PassageCounter, TokenCounter
from ingest.sentences import sentence_spans

RUN = 64  # characters; where there are no sentences, lines or words, text is cut into such runs
CHARS_PER_PIECE = 16  # a "word" of a thousand letters is one piece to the tokenizer, but no passage to a reader
_SPACE_PER_PIECE = CHARS_PER_PIECE * 4
BEYOND = 100_000  # pieces; no window is larger
TOGETHER = 4096  # texts counted in one call

Span = tuple[int, int]
Cutter = Callable[[str], Iterable[Span]]


@dataclass(frozen=True, slots=True)
class Atom:
    """A span that is not cut any more. Its weight is its word pieces, or more if its characters are too many."""

    start: int
    end: int
    weight: int


def together(atoms: Sequence[Atom]) -> Atom:
    """Neighbours as one."""
    return Atom(atoms[0].start, atoms[-1].end, sum(atom.weight for atom in atoms))


class Scale:
    """Weighs spans by the embedder's own tokenizer, in batches. With `passages` what it counts is embedded next."""

    def __init__(self, counter: TokenCounter, *, passages: bool = False) -> None:
        self._count = counter.count
        if passages and isinstance(counter, PassageCounter):
            self._count = counter.count_passages

    def weigh(self, text: str, spans: Sequence[Span]) -> list[Atom]:
        """An atom per span, in order. What no window could hold is not counted: its length says enough."""
        lengths = [(end - start) // CHARS_PER_PIECE for start, end in spans]
        texts = (
            "" if length > BEYOND else text[start:end] for (start, end), length in zip(spans, lengths, strict=True)
        )
        pieces = self.count(texts)
        return [
            Atom(start, end, max(1, count, length))
            for (start, end), count, length in zip(spans, pieces, lengths, strict=True)
        ]

    def count(self, texts: Iterable[str]) -> list[int]:
        """Word pieces of each, counted some at a time: what a tokenizer says of a text is far larger than the text."""
        left, found = iter(texts), list[int]()
        while some := list(islice(left, TOGETHER)):
            found += self._count(some)
        return found

    def cut(self, text: str, atoms: list[Atom], budget: int, cutters: Iterable[Cutter]) -> list[Atom]:
        """By each cutter in turn where an atom is above the budget, and at last in halves down to a character."""
        for cutter in cutters:
            atoms = self.refined(text, atoms, budget, cutter)
        while any(too_long(atom, budget) for atom in atoms):
            atoms = self.refined(text, atoms, budget, halves)
        return atoms

    def refined(self, text: str, atoms: list[Atom], budget: int, cutter: Cutter) -> list[Atom]:
        """The atoms that are too long replaced by what the cutter makes of them, counted in one batch."""
        if not any(too_long(atom, budget) for atom in atoms):
            return atoms
        spans = [
            [(atom.start + start, atom.start + end) for start, end in cutter(text[atom.start : atom.end])]
            if too_long(atom, budget)
            else []
            for atom in atoms
        ]
        fresh = iter(self.weigh(text, [span for own in spans for span in own]))
        found: list[Atom] = []
        for atom, own in zip(atoms, spans, strict=True):
            found += [next(fresh) for _ in own] or [atom]
        return found


def too_long(atom: Atom, budget: int) -> bool:
    """Whether it is above the budget and can still be cut."""
    return atom.weight > budget and atom.end - atom.start > 1


def balanced(atoms: Sequence[Atom], budget: int) -> Iterator[tuple[Atom, ...]]:
    """Consecutive groups within the budget: as few as possible, and the heaviest of them as light as possible."""
    heaviest = max((atom.weight for atom in atoms), default=1)
    most = max(budget, heaviest, 1)
    fewest = len(filled(atoms, most))
    if fewest == 1:
        return iter((tuple(atoms),))
    low, high = heaviest, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(filled(atoms, middle)) <= fewest else (middle + 1, high)
    cuts = filled(atoms, low)
    return (tuple(atoms[first:last]) for first, last in pairwise([*cuts, len(atoms)]))


def filled(atoms: Sequence[Atom], capacity: int) -> list[int]:
    """Indexes at which groups begin when each is filled up to the capacity; the space between atoms weighs too."""
    cuts: list[int] = []
    load, end = capacity + 1, 0
    for number, atom in enumerate(atoms):
        load += atom.weight + (atom.start - end) // _SPACE_PER_PIECE  # `space`, which would cost more than all the rest
        if load > capacity:
            cuts.append(number)
            load = atom.weight
        end = atom.end
    return cuts


def space(end: int, start: int) -> int:
    """What white space between two atoms weighs: nothing, unless there is very much of it."""
    return (start - end) // _SPACE_PER_PIECE


def lines(text: str) -> Iterator[Span]:
    """Lines with something on them; the indentation stays, the space behind goes."""
    start = 0
    for line in text.split("\n"):
        if line.strip():
            yield start, start + len(line.rstrip())
        start += len(line) + 1


def runs(text: str) -> Iterator[Span]:
    """Runs of words of at most RUN characters; a longer word is cut where the run is full."""
    start, length = 0, len(text)
    while start < length:
        end = min(start + RUN, length)
        if end < length:
            blank = max(text.rfind(" ", start, end + 1), text.rfind("\t", start, end + 1))
            end = blank if blank > start else end
        if not text[start:end].isspace():
            yield start, end
        start = end


def halves(text: str) -> Iterator[Span]:
    """Two halves, those of them that are not blank, without white space around them."""
    middle = len(text) // 2
    for start, end in ((0, middle), (middle, len(text))):
        half = text[start:end]
        if body := half.strip():
            first = start + len(half) - len(half.lstrip())
            yield first, first + len(body)


PROSE: tuple[Cutter, ...] = (sentence_spans, lines, runs)
BY_LINE: tuple[Cutter, ...] = (lines, runs)
