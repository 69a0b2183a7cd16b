"""Cuts where the topic shifts: where the sentences before are least like the sentences behind.

Headings are shifts that the author has marked, so sections stay apart as in `structure`. Within a section those cuts are
taken across which the least is alike, as far as the chunks fit and are not too small.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from math import inf, sqrt
from operator import add, mul
from statistics import fmean, pstdev

from ingest.model import Block, Document
from ingest.ports import SentenceEmbedder, TokenCounter
from ingest.sentences import sentence_spans
from ingest.strategies.atoms import Atom, space
from ingest.strategies.plans import Plan
from ingest.strategies.structure import SMALL, WHOLE, Part, StructureSplitter

THIN = 0.5  # likeness that a cut must lack more, to leave a chunk which says little alone
BREAK = 0.2  # likeness that a gap between two paragraphs lacks: the author has marked it too
_TOGETHER = 1024  # sentences per call of the embedder: a book's vectors are never all in memory

Vector = Sequence[float]


class SemanticSplitter(StructureSplitter):
    """By topic, as the embedder sees it. Every sentence is embedded, so an ingest takes about twice as long."""

    version = "semantic-3"

    def __init__(self, counter: TokenCounter, sentences: SentenceEmbedder, window: int = 256, target: int = 0) -> None:
        super().__init__(counter, window, target)
        self._sentences = sentences
        self._least = round(SMALL * (target or WHOLE))

    @property
    def fingerprint(self) -> str:
        return f"{super().fingerprint}/{self._sentences.fingerprint[:16]}"

    def _key(self, start: int, end: int) -> str:
        """Vectors may differ in their last digits from machine to machine, and with them a cut: an id says which."""
        return f"{self.fingerprint}/{start}-{end}"

    def _plans(self, document: Document, blocks: Sequence[Block]) -> Iterator[Plan]:
        parts = list(self._parts(document, blocks))
        numbers = [number for number, part in enumerate(parts) if self._may_be_cut(part)]
        begins = {block.start for block in blocks}
        gaps = dict(zip(numbers, self._gaps(document.text, [parts[number] for number in numbers], begins), strict=True))
        inner = [likeness for own in gaps.values() for likeness in own]
        bar = fmean(inner) - pstdev(inner) / 2 if inner else 0.0
        for number, part in enumerate(parts):
            own = gaps.get(number)
            groups = [part.atoms] if own is None else topical(part.atoms, own, bar, part.budget, self._least)
            yield from map(part.plan, groups)

    def _may_be_cut(self, part: Part) -> bool:
        weight = sum(atom.weight for atom in part.atoms)
        return len(part.atoms) > 1 and (weight >= 2 * self._least or weight > part.budget)

    def _pieces(self, text: str, block: Block, whole: Atom, budget: int, *, merged: bool) -> list[Atom]:
        """Sentences of prose; small siblings, code and tables stay whole where they fit."""
        if not merged and block.kind in ("paragraph", "list", "quote", "cell"):
            spans = sentence_spans(text[block.start : block.end])
            sentences = self._scale.weigh(text, [(block.start + start, block.start + end) for start, end in spans])
            return self._scale.cut(text, sentences, budget, self._cutters(block))
        return super()._pieces(text, block, whole, budget, merged=merged)

    def _gaps(self, text: str, parts: Sequence[Part], begins: Collection[int]) -> list[list[float]]:
        """Of each part, how alike its atoms are across each gap between two of them; where a block begins, less."""
        atoms = [atom for part in parts for atom in part.atoms]
        alike = likenesses(self._vectors([text[atom.start : atom.end] for atom in atoms]))
        found = [
            likeness - (BREAK if atom.start in begins else 0.0) for likeness, atom in zip(alike, atoms[1:], strict=True)
        ]
        bounds = [0, *accumulate(len(part.atoms) for part in parts)]
        return [found[first : last - 1] for first, last in pairwise(bounds)]

    def _vectors(self, texts: Sequence[str]) -> Iterator[Vector]:
        for start in range(0, len(texts), _TOGETHER):
            yield from self._sentences.embed_sentences(texts[start : start + _TOGETHER])


def likenesses(vectors: Iterable[Vector]) -> Iterator[float]:
    """For each gap, the cosine of the two vectors before it together and the two behind: one odd sentence is no shift."""
    left = iter(vectors)
    if (first := next(left, None)) is None:
        return
    near: deque[Vector] = deque((first, first), maxlen=4)
    for vector in chain(left, (None,)):
        near.append(near[-1] if vector is None else vector)
        if len(near) == 4:
            yield _cosine(list(map(add, near[0], near[1])), list(map(add, near[2], near[3])))


def _cosine(a: Vector, b: Vector) -> float:
    lengths = sqrt(sum(map(mul, a, a)) * sum(map(mul, b, b)))
    return sum(map(mul, a, b)) / lengths if lengths else 0.0


def topical(
    atoms: Sequence[Atom], gaps: Sequence[float], bar: float, budget: int, least: int
) -> list[tuple[Atom, ...]]:
    """The groups within the budget whose cuts are, together, furthest below the bar; ones below `least` count against it.

    `gaps` holds the likeness across each gap between neighbours. Of equal ways to cut, the one with longer chunks first.
    """
    best, cuts = [0.0, *[inf] * len(atoms)], [0] * (len(atoms) + 1)
    for end in range(1, len(atoms) + 1):
        load = 0
        for first in range(end - 1, -1, -1):
            load += atoms[first].weight + (space(atoms[first].end, atoms[first + 1].start) if first + 1 < end else 0)
            if load > budget and first + 1 < end:
                break
            cost = best[first] + (gaps[first - 1] - bar if first else 0.0) + (THIN if load < least else 0.0)
            if cost <= best[end]:
                best[end], cuts[end] = cost, first
    return _walked(atoms, cuts)


def _walked(atoms: Sequence[Atom], cuts: Sequence[int]) -> list[tuple[Atom, ...]]:
    found: list[tuple[Atom, ...]] = []
    end = len(atoms)
    while end:
        found.append(tuple(atoms[cuts[end] : end]))
        end = cuts[end]
    return found[::-1]
