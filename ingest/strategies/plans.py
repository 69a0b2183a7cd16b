"""From planned chunks to chunks: the header that fits, the true count, the place in the document.

What the model reads is a header (title and heading path) and the chunk's text; a word piece too many is invisible to
it. So pieces are counted by its own tokenizer, in batches, and every finished chunk is counted once more as a whole.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from ingest.model import Block, Chunk, Document, chunk_id, embedded_text, header_text
from ingest.ports import TokenCounter
from ingest.readers.registry import stamped
from ingest.sections import covering
from ingest.strategies.atoms import CHARS_PER_PIECE, Atom, Scale, Span, halves

SPECIAL = 2  # [CLS] and [SEP]
HEADER_PIECES = 64  # a quarter of the window at most is spent on saying where the text stands
LEAST_TARGET = 16  # pieces; less is no passage


@dataclass(frozen=True, slots=True)
class Lead:
    """What the later parts of a cut block cannot be understood without: a table's header row, a function's signature.

    It belongs to chunks that begin at `start` or behind it and before `end`.
    """

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A chunk to be: neighbouring atoms, the headings they stand under, and the leads of the blocks they are cut from."""

    path: tuple[str, ...]
    title: str  # the header without a lead
    atoms: tuple[Atom, ...]
    leads: tuple[Lead, ...] = ()

    @property
    def start(self) -> int:
        return self.atoms[0].start

    @property
    def end(self) -> int:
        return self.atoms[-1].end

    @property
    def header(self) -> str:
        """What the models read before the text."""
        number = bisect_right(self.leads, self.start, key=lambda lead: lead.start) - 1
        lead = self.leads[number].text if number >= 0 and self.start < self.leads[number].end else ""
        return "\n".join(filter(None, (self.title, lead)))


def fit_header(title: str, heading_path: tuple[str, ...], counter: TokenCounter) -> str:
    """The header that is embedded with a chunk, of at most HEADER_PIECES.

    Outer headings go first, since the title and the inner ones say most; then the end is cut off.
    """
    header = ""
    for dropped in range(max(1, len(heading_path))):
        header = header_text(title, heading_path[dropped:])[: HEADER_PIECES * CHARS_PER_PIECE]
        if counter.count([header])[0] <= HEADER_PIECES:
            return header
    return fit_end(header, HEADER_PIECES, counter)


@dataclass(frozen=True, slots=True)
class Header:
    """A header that fits, and its word pieces."""

    text: str
    pieces: int


def fit_headers(title: str, paths: Iterable[tuple[str, ...]], counter: TokenCounter) -> dict[tuple[str, ...], Header]:
    """`fit_header` of each path. Nearly all fit whole, so these are counted together."""
    whole = {path: header_text(title, path)[: HEADER_PIECES * CHARS_PER_PIECE] for path in paths}
    counts = Scale(counter).count(whole.values())
    found = {path: Header(text, count) for (path, text), count in zip(whole.items(), counts, strict=True)}
    for path, header in found.items():
        if header.pieces > HEADER_PIECES:
            fitted = fit_header(title, path, counter)
            found[path] = Header(fitted, counter.count([fitted])[0])
    return found


def fit_end(text: str, most: int, counter: TokenCounter) -> str:
    """The text, its end cut off as far as it has more than `most` pieces."""
    text = text[: most * CHARS_PER_PIECE]
    while (pieces := counter.count([text])[0]) > most:
        text = text[: min(len(text) - 1, len(text) * most // pieces)].rstrip()
    return text


class PlannedSplitter(ABC):
    """`ports.Splitter` for an embedder that reads `window` word pieces, special tokens included.

    A strategy plans; here plans become chunks. `target` is the most word pieces of a chunk's own text; 0 is as many as
    the window leaves beside the header.
    """

    version: ClassVar[str]

    def __init__(self, counter: TokenCounter, window: int = 256, target: int = 0) -> None:
        """Raises ValueError for a window that a header could fill, or a target that is no passage."""
        if window < 2 * HEADER_PIECES:
            raise ValueError(f"A window of {window} word pieces is too small; the least is {2 * HEADER_PIECES}.")
        if target and target < LEAST_TARGET:
            raise ValueError(f"A target of {target} word pieces is too small; the least is {LEAST_TARGET}.")
        self._counter = counter
        self._scale = Scale(counter)
        self._passages = Scale(counter, passages=True)
        self._window = window
        self._target = target

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same document would be cut differently."""
        return f"{self.version}/{self._window}" + (f"/{self._target}" if self._target else "")

    def fingerprint_for(self, name: str) -> str:
        """It cuts files of every name alike, but their readers may have changed."""
        return stamped(self.fingerprint, name)

    def split(self, document: Document) -> tuple[Chunk, ...]:
        """Chunks in reading order, none empty, together all text but white space, none above the window."""
        blocks = covering(document.parsed)
        plans = self._verified(document.text, list(self._plans(document, blocks)))
        name = document.source.name
        return tuple(_chunks(document, blocks, _outermost(plans), lambda *at: stamped(self._key(*at), name)))

    @abstractmethod
    def _plans(self, document: Document, blocks: Sequence[Block]) -> Iterable[Plan]:
        """The chunks to be, in reading order. A plan within the budget is hardly ever cut again."""

    def _key(self, start: int, end: int) -> str:
        """What a chunk's id says of the cut. The same document is always cut in the same way, so its number tells which
        chunk it is; a strategy of which that is not certain says where."""
        del start, end
        return self.fingerprint

    def _budget(self, header: int, lead: int = 0) -> int:
        """Word pieces for the text of a chunk behind a header and a lead of so many pieces."""
        room = self._window - SPECIAL - header - lead
        return min(self._target, room) if self._target else room

    def _leads_pieces(self, leads: Sequence[Lead]) -> int:
        return max(self._scale.count(f"\n{lead.text}" for lead in leads), default=0)

    def _verified(self, text: str, plans: list[Plan]) -> list[tuple[Plan, int]]:
        """Each plan with its true count, special tokens included; counts of parts need not add up, so the few that
        are above the window are halved and counted again."""
        spans = (_trimmed(text, plan.start, plan.end) for plan in plans)
        counts = self._passages.count(
            embedded_text(plan.header, text[a:b]) for plan, (a, b) in zip(plans, spans, strict=True)
        )
        found: list[tuple[Plan, int]] = []
        for plan, count in zip(plans, counts, strict=True):
            if count + SPECIAL > self._window and plan.end - plan.start > 1:
                found += self._verified(text, _halved(text, plan))
            else:
                found.append((plan, count + SPECIAL))
        return found


def _outermost(plans: Iterable[tuple[Plan, int]]) -> Iterator[tuple[Plan, int]]:
    """In order, without those that lie within another: halving one of two that overlap can leave such."""
    end = -1
    for plan, tokens in sorted(plans, key=lambda entry: (entry[0].start, -entry[0].end)):
        if plan.end > end:
            yield plan, tokens
            end = plan.end


def _halved(text: str, plan: Plan) -> list[Plan]:
    middle = len(plan.atoms) // 2
    if middle:
        return [replace(plan, atoms=part) for part in (plan.atoms[:middle], plan.atoms[middle:])]
    spans = halves(text[plan.start : plan.end])
    return [replace(plan, atoms=(Atom(plan.start + start, plan.start + end, 0),)) for start, end in spans]


def _chunks(
    document: Document, blocks: Sequence[Block], plans: Iterable[tuple[Plan, int]], key: Callable[[int, int], str]
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
        own = chunk_id(document.collection_id, document.id, document.sha256, key(start, end), ordinal)
        text = document.text[start:end]
        yield Chunk(
            own, document.id, ordinal, start, end, text, plan.path, block.page, line, block.cell, tokens, plan.header
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
