"""Structure first, tokens second: a document's sections become chunks that fit the embedder's window.

What the model reads is a header (title and heading path) and the chunk's text; a word piece too many is invisible to
it. So pieces are counted by its own tokenizer, in batches, and every finished chunk is counted once more as a whole.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ingest.model import Block, Chunk, Document, chunk_id, embedded_text, header_text
from ingest.ports import TokenCounter
from ingest.sections import Section, covering, merge_small, sections_of
from ingest.sentences import sentence_spans

SPECIAL = 2  # [CLS] and [SEP]
HEADER_PIECES = 64  # a quarter of the window at most is spent on saying where the text stands
SMALL = 48  # pieces; a section this small says little alone
MERGED = 128  # pieces; small siblings share a chunk up to here, more would blur what it is about
RUN = 64  # characters; where there are no sentences, lines or words, text is cut into such runs
CHARS_PER_PIECE = 16  # a "word" of a thousand letters is one piece to the tokenizer, but no passage to a reader

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Atom:
    """A span that is not cut any more. Its weight is its word pieces, or more if its characters are too many."""

    start: int
    end: int
    weight: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """A chunk to be: atoms of one section behind one header."""

    path: tuple[str, ...]
    header: str
    atoms: tuple[Atom, ...]

    @property
    def start(self) -> int:
        return self.atoms[0].start

    @property
    def end(self) -> int:
        return self.atoms[-1].end


def fit_header(title: str, heading_path: tuple[str, ...], counter: TokenCounter) -> str:
    """The header that is embedded with a chunk, of at most HEADER_PIECES.

    Outer headings go first, since the title and the inner ones say most; then the end is cut off.
    """
    header = ""
    for dropped in range(max(1, len(heading_path))):
        header = header_text(title, heading_path[dropped:])[: HEADER_PIECES * CHARS_PER_PIECE]
        if counter.count([header])[0] <= HEADER_PIECES:
            return header
    while (pieces := counter.count([header])[0]) > HEADER_PIECES:
        header = header[: min(len(header) - 1, len(header) * HEADER_PIECES // pieces)].rstrip()
    return header


class StructureSplitter:
    """`ports.Splitter` for an embedder that reads `window` word pieces, special tokens included."""

    def __init__(self, counter: TokenCounter, window: int = 256) -> None:
        """Raises ValueError for a window that a header could fill."""
        if window < 2 * HEADER_PIECES:
            raise ValueError(f"A window of {window} word pieces is too small; the least is {2 * HEADER_PIECES}.")
        self._counter = counter
        self._window = window

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same document would be cut differently."""
        return f"structure-2/{self._window}"

    def fingerprint_for(self, name: str) -> str:
        del name  # it cuts files of every name alike
        return self.fingerprint

    def split(self, document: Document) -> tuple[Chunk, ...]:
        """Chunks in reading order, none empty, together all text but white space, none above the window."""
        text, blocks = document.text, covering(document.parsed)
        atoms = {atom.start: atom for atom in self._weigh(text, [(block.start, block.end) for block in blocks])}
        sections = sections_of(blocks)
        sizes = [sum(atoms[block.start].weight for block in section.blocks) for section in sections]
        plans: list[_Plan] = []
        for section in merge_small(sections, sizes, SMALL, MERGED):
            plans += self._section(document, section, atoms)
        return tuple(_chunks(document, blocks, self._verified(text, plans), self.fingerprint))

    def _section(self, document: Document, section: Section, weighed: dict[int, Atom]) -> Iterator[_Plan]:
        header = fit_header(document.parsed.title, section.path, self._counter)
        budget = self._window - SPECIAL - self._counter.count([header])[0]
        atoms = self._atoms(document.text, section.blocks, weighed, budget)
        for group in balanced(atoms, budget):
            yield _Plan(section.path, header, group)

    def _atoms(self, text: str, blocks: Sequence[Block], weighed: dict[int, Atom], budget: int) -> list[Atom]:
        """The section in pieces that fit. Headings in front are one with what they head, so they leave it less room."""
        lead = 0
        found: list[Atom] = []
        for block in blocks:
            whole = weighed[block.start]
            if whole.end != block.end:  # small siblings made one
                whole = self._weigh(text, [(block.start, block.end)])[0]
            found += self._cut(text, whole, block.kind in ("code", "table"), max(budget // 2, budget - lead))
            lead = lead + whole.weight if block.kind == "heading" and lead + whole.weight < budget // 2 else 0
        return _headed(found, sum(1 for _ in _leading_headings(blocks)), budget)

    def _cut(self, text: str, whole: Atom, by_line: bool, budget: int) -> list[Atom]:
        """By sentence, by line, by word, and where there is none of these, in halves down to a character."""
        atoms = [whole]
        for cutter in (_lines, _runs) if by_line else (sentence_spans, _lines, _runs):
            atoms = self._refined(text, atoms, budget, cutter)
        while any(_too_long(atom, budget) for atom in atoms):
            atoms = self._refined(text, atoms, budget, _halves)
        return atoms

    def _refined(
        self, text: str, atoms: list[Atom], budget: int, cutter: Callable[[str], Iterable[Span]]
    ) -> list[Atom]:
        """The atoms that are too long replaced by what the cutter makes of them, counted in one batch."""
        if not any(_too_long(atom, budget) for atom in atoms):
            return atoms
        spans = [
            [(atom.start + start, atom.start + end) for start, end in cutter(text[atom.start : atom.end])]
            if _too_long(atom, budget)
            else []
            for atom in atoms
        ]
        fresh = iter(self._weigh(text, [span for own in spans for span in own]))
        refined: list[Atom] = []
        for atom, own in zip(atoms, spans, strict=True):
            refined += [next(fresh) for _ in own] or [atom]
        return refined

    def _weigh(self, text: str, spans: Sequence[Span]) -> list[Atom]:
        pieces = self._counter.count([text[start:end] for start, end in spans])
        return [
            Atom(start, end, max(1, count, (end - start) // CHARS_PER_PIECE))
            for (start, end), count in zip(spans, pieces, strict=True)
        ]

    def _verified(self, text: str, plans: list[_Plan]) -> list[tuple[_Plan, int]]:
        """Each plan with its true count, special tokens included; counts of parts need not add up, so the few that
        are above the window are halved and counted again."""
        counts = self._counter.count([embedded_text(plan.header, text[plan.start : plan.end]) for plan in plans])
        found: list[tuple[_Plan, int]] = []
        for plan, count in zip(plans, counts, strict=True):
            if count + SPECIAL > self._window and plan.end - plan.start > 1:
                found += self._verified(text, _halved(text, plan))
            else:
                found.append((plan, count + SPECIAL))
        return found


def balanced(atoms: Sequence[Atom], budget: int) -> Iterator[tuple[Atom, ...]]:
    """Consecutive groups within the budget: as few as possible, and the heaviest of them as light as possible."""
    most = max(budget, *(atom.weight for atom in atoms), 1) if atoms else budget
    fewest = len(_filled(atoms, most))
    low, high = max((atom.weight for atom in atoms), default=1), most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(_filled(atoms, middle)) <= fewest else (middle + 1, high)
    cuts = _filled(atoms, low)
    return (tuple(atoms[first:last]) for first, last in pairwise([*cuts, len(atoms)]))


def _filled(atoms: Sequence[Atom], capacity: int) -> list[int]:
    """Indexes at which groups begin when each is filled up to the capacity; the space between atoms weighs too."""
    cuts: list[int] = []
    load, end = capacity + 1, 0
    for number, atom in enumerate(atoms):
        load += atom.weight + (atom.start - end) // (CHARS_PER_PIECE * 4)
        if load > capacity:
            cuts.append(number)
            load = atom.weight
        end = atom.end
    return cuts


def _headed(atoms: list[Atom], headings: int, budget: int) -> list[Atom]:
    """Headings in front joined to the atom they head, as far as the budget allows."""
    while headings and len(atoms) > 1 and atoms[0].weight + atoms[1].weight <= budget:
        atoms[:2] = [Atom(atoms[0].start, atoms[1].end, atoms[0].weight + atoms[1].weight)]
        headings -= 1
    return atoms


def _leading_headings(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        if block.kind != "heading":
            return
        yield block


def _too_long(atom: Atom, budget: int) -> bool:
    return atom.weight > budget and atom.end - atom.start > 1


def _lines(text: str) -> Iterator[Span]:
    """Lines with something on them; the indentation stays, the space behind goes."""
    start = 0
    for line in text.split("\n"):
        if line.strip():
            yield start, start + len(line.rstrip())
        start += len(line) + 1


def _runs(text: str) -> Iterator[Span]:
    """Runs of words of at most RUN characters; a longer word is cut where the run is full."""
    start, length = 0, len(text)
    while start < length:
        end = min(start + RUN, length)
        if end < length:
            space = max(text.rfind(" ", start, end + 1), text.rfind("\t", start, end + 1))
            end = space if space > start else end
        if not text[start:end].isspace():
            yield start, end
        start = end


def _halves(text: str) -> Iterator[Span]:
    middle = len(text) // 2
    return (span for span in ((0, middle), (middle, len(text))) if text[slice(*span)].strip())


def _halved(text: str, plan: _Plan) -> list[_Plan]:
    middle = len(plan.atoms) // 2
    if middle:
        return [_Plan(plan.path, plan.header, part) for part in (plan.atoms[:middle], plan.atoms[middle:])]
    halves = _halves(text[plan.start : plan.end])
    return [_Plan(plan.path, plan.header, (Atom(plan.start + start, plan.start + end, 0),)) for start, end in halves]


def _chunks(
    document: Document, blocks: Sequence[Block], plans: Sequence[tuple[_Plan, int]], splitter: str
) -> Iterator[Chunk]:
    """Chunks with their place: page and cell of the block they begin in, and the line they begin on."""
    starts = [block.start for block in blocks]
    counted, newlines = 0, 0
    block_newlines = _newlines(document.text, starts)
    for ordinal, (plan, tokens) in enumerate(plans):
        start, end = _trimmed(document.text, plan.start, plan.end)
        number = bisect_right(starts, start) - 1
        block = blocks[number]
        newlines, counted = newlines + document.text.count("\n", counted, start), start
        line = None if block.line is None else block.line + newlines - block_newlines[number]
        key = chunk_id(document.collection_id, document.id, document.sha256, splitter, ordinal)
        text = document.text[start:end]
        yield Chunk(
            key, document.id, ordinal, start, end, text, plan.path, block.page, line, block.cell, tokens, plan.header
        )


def _newlines(text: str, offsets: Sequence[int]) -> list[int]:
    """How many line feeds stand before each offset; offsets ascend."""
    found, total, before = [], 0, 0
    for offset in offsets:
        total, before = total + text.count("\n", before, offset), offset
        found.append(total)
    return found


def _trimmed(text: str, start: int, end: int) -> Span:
    """Without blank lines in front and white space behind; indentation of the first line stays."""
    body = text[start:end]
    lead = len(body) - len(body.lstrip())
    return start + body.rfind("\n", 0, lead) + 1, start + len(body.rstrip())
