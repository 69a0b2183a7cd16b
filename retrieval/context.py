"""From found passages to what the generator gets to see: no near duplicates, no older version beside a newer one, no source
that crowds out the rest, within a token budget. Pure; what is left out is named with its reason."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from retrieval.includes import with_included
from retrieval.model import Arm, Context, Found, LeftOut, LeftOutReason, Passage
from retrieval.shingles import Shingles, overlap, shingles
from retrieval.topics import is_headed
from retrieval.versions import latest
from retrieval.widen import Widen

_NAMED: frozenset[Arm] = frozenset(("named_dense", "named_bm25"))  # arms that search named documents alone


@dataclass(frozen=True, slots=True)
class Limits:
    """`token_budget` counts tokens of the model that reads the passages; `near_duplicate` is a share from 0 to 1."""

    top_k: int
    token_budget: int
    per_source: int
    near_duplicate: float
    prefer_latest: bool = True
    widen: Widen = "blocks"


def pack(found: Found, limits: Limits, asked: str = "") -> Context:
    """The best passages that fit, best first, neighbours in their document's order; `Passage.tokens` are what one costs.

    A passage that does not fit is left out and smaller ones behind it may still come in. The first passage always comes
    in, so that a budget below one passage does not turn every question away. Behind it a section comes in whose heading
    names what is `asked` and nothing else: it is written to answer that, while others may mention it more often. Behind
    each page the code comes in that it includes.
    """
    passages: Sequence[Passage] = found.passages
    left_out: list[LeftOut] = []
    if limits.prefer_latest:
        passages, left_out = latest(passages, limits.near_duplicate, asked)
    packing = _Packing(
        limits, {passage.document_id for passage in passages if not _NAMED.isdisjoint(passage.hit.places)}
    )
    order = with_included(_headed_first(passages, asked), limits.top_k)
    reasons = {passage.id: packing.take(passage) for passage in order}
    left_out += (LeftOut(passage, reason) for passage in passages if (reason := reasons[passage.id]))
    kept = [passage for passage in passages if reasons[passage.id] is None]
    return Context(in_reading_order(kept), tuple(left_out), packing.spent, found.query)


def _headed_first(passages: Sequence[Passage], asked: str) -> list[Passage]:
    """The best passage, those whose heading is the question's topic, and the others."""
    return [*passages[:1], *sorted(passages[1:], key=lambda passage: not is_headed(asked, passage.heading_path))]


class _Packing:
    """What has come in so far."""

    def __init__(self, limits: Limits, named: Collection[str]) -> None:
        self._limits = limits
        self._named = named
        self._said: list[Shingles] = []
        self._sources: Counter[str] = Counter()
        self.kept: list[Passage] = []
        self.spent = 0

    def take(self, passage: Passage) -> LeftOutReason | None:
        """None when it came in, else why not."""
        limits = self._limits
        if len(self.kept) == limits.top_k:
            return "top_k"
        own = shingles(passage.text)
        if any(overlap(own, other) >= limits.near_duplicate for other in self._said):
            return "near_duplicate"
        if self._sources[passage.document_id] == self._most_of(passage.document_id):
            return "source_cap"
        if self.kept and self.spent + passage.tokens > limits.token_budget:
            return "token_budget"
        self.kept.append(passage)
        self._said.append(own)
        self._sources[passage.document_id] += 1
        self.spent += passage.tokens
        return None

    def _most_of(self, document_id: str) -> int:
        """No document crowds out the rest, unless the question names it."""
        shared = self._limits.top_k // len(self._named) if document_id in self._named else 0
        return max(self._limits.per_source, shared)


def in_reading_order(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """In the order given, but passages of one document that follow each other stand together, as in the document, where the
    first of them stood."""
    there = {(passage.document_id, passage.ordinal) for passage in passages}
    runs = [_first(passage, there) for passage in passages]
    place: dict[tuple[str, int], int] = {}
    for i, run in enumerate(runs):
        place.setdefault(run, i)
    order = sorted(range(len(passages)), key=lambda i: (place[runs[i]], passages[i].ordinal))
    return tuple(passages[i] for i in order)


def _first(passage: Passage, there: set[tuple[str, int]]) -> tuple[str, int]:
    """Where the run of neighbours begins that the passage belongs to."""
    ordinal = passage.ordinal
    while (passage.document_id, ordinal - 1) in there:
        ordinal -= 1
    return passage.document_id, ordinal
