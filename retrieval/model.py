"""The nouns of retrieval: Scope, Query, Hit, Passage, Context, Explanation.

A Hit is a chunk's id with its rank and score in each arm and holds no text; a Passage is a hit whose text was read from
the catalog, so it belongs to a live version; a Context is what the generator gets to see, and says what it left out.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ingest.metadata import NO_METADATA, Metadata
from retrieval.filters import EVERYTHING, PUBLIC, AllOf, Filter, OneOf

Floats = NDArray[np.float32]
Bits = NDArray[np.uint8]

Arm = Literal["dense", "bm25", "named_dense", "named_bm25", "fused", "rerank", "cross"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose documents may be searched. There is no Query without one, so no search can forget it.

    `groups` are those that the asker belongs to; None is for a service without keys, whose askers may read everything.
    """

    collection_id: str
    collection: str
    groups: frozenset[str] | None

    @property
    def filter(self) -> Filter:
        """The one place where a search is confined: every filter of every engine begins with this. A point that does not
        say who may read it is read by nobody who has groups."""
        mine = OneOf("collection_id", (self.collection_id,))
        if self.groups is None:
            return AllOf((mine,))
        return AllOf((mine, OneOf("access", (PUBLIC, *sorted(self.groups)))))

    def admits(self, access: Collection[str]) -> bool:
        """Whether a document with these labels may be read."""
        return self.groups is None or not access or not self.groups.isdisjoint(access)


@dataclass(frozen=True, slots=True)
class Query:
    """A standalone question and where to look. `filters` narrow the scope and cannot widen it. At least `wanted` passages
    are read, if there are as many."""

    text: str
    scope: Scope
    filters: Filter = EVERYTHING
    wanted: int = 0

    @property
    def confined(self) -> Filter:
        """What engines search: the scope's filter, and below it the client's."""
        return AllOf((self.scope.filter, self.filters))


@dataclass(frozen=True, slots=True)
class EmbeddedQuery:
    """A question's vectors: `vector` of shape (d,), `tokens` of shape (t, d), rows of unit length, special tokens left out."""

    vector: Floats
    tokens: Floats


@dataclass(frozen=True, slots=True)
class EmbeddedPassage:
    """A passage's vectors: `vector` of shape (d,); `bits` of shape (t, d / 8), the signs of its token vectors, packed
    big-endian: 48 bytes a token at d = 384."""

    vector: Floats
    bits: Bits


@dataclass(frozen=True, slots=True)
class Ranked:
    """An entry of one ranking: higher scores are better, and rankings are sorted."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class Place:
    """Rank (from 1) and score in one arm."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A candidate and its place in each arm that found it."""

    id: str
    places: Mapping[Arm, Place]

    def placed(self, arm: Arm, place: Place) -> "Hit":
        """The same hit with one place more."""
        return Hit(self.id, {**self.places, arm: place})


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk's share `text[start:end]` of a passage that is wider than one, with its own header and token vectors."""

    start: int
    end: int
    header: str
    bits: Bits | None


@dataclass(frozen=True, slots=True)
class Passage:
    """A hit with the text and the whereabouts that a citation needs. `text == document_text[start:end]`.

    A passage that was widened over the neighbours of its hit's chunk says so by its `parts`.
    """

    hit: Hit
    document_id: str
    collection_id: str
    version: int
    ordinal: int
    name: str
    title: str
    media_type: str
    heading_path: tuple[str, ...]
    page: int | None
    line: int | None
    cell: str | None
    start: int
    end: int
    text: str
    modified_at: datetime
    bits: Bits | None = None  # the stored token vectors, where the reranker had read them
    tokens: int = 0  # word pieces together with its header, counted when it was cut
    header: str = ""  # what the models read before the text
    metadata: Metadata = NO_METADATA
    parts: tuple[Part, ...] = ()

    @property
    def id(self) -> str:
        return self.hit.id

    def placed(self, hit: Hit) -> "Passage":
        """The same passage with another place. Field by field: `dataclasses.replace` would take three times as long."""
        return Passage(
            hit,
            self.document_id,
            self.collection_id,
            self.version,
            self.ordinal,
            self.name,
            self.title,
            self.media_type,
            self.heading_path,
            self.page,
            self.line,
            self.cell,
            self.start,
            self.end,
            self.text,
            self.modified_at,
            self.bits,
            self.tokens,
            self.header,
            self.metadata,
            self.parts,
        )


@dataclass(frozen=True, slots=True)
class Fusion:
    """How ranks became an order: weight_arm / (k + rank), summed; `k` for the arms, `close_k` once rerankers joined them."""

    weights: Mapping[Arm, float]
    k: int
    close_k: int

    def shares(self, hit: Hit, *, close: bool) -> dict[Arm, float]:
        """What each arm gave to the sum by which the hit stands where it does."""
        k = self.close_k if close else self.k
        return {arm: self.weights[arm] / (k + place.rank) for arm, place in hit.places.items() if arm != "fused"}


Dropped = Literal["not_live", "not_readable"]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, best first, and how it went. `degraded` names the parts that failed.

    `candidates` are all hits of both arms in their final order; the first of them, those that are live, were read. `dropped`
    says which of the others were not, and `asked` and `fusion` what was searched for, and how it was put in order.
    """

    passages: tuple[Passage, ...]
    candidates: tuple[Hit, ...]
    query: EmbeddedQuery | None
    degraded: tuple[str, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    asked: Query | None = None
    fusion: Fusion | None = None
    dropped: Mapping[str, Dropped] = field(default_factory=dict)


LeftOutReason = Literal["near_duplicate", "superseded", "source_cap", "top_k", "token_budget", "joined"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A passage that is not one of the context's, and why: another passage says the same or a newer version of it, there
    are enough of its document or altogether, it does not fit, or its text has become a part of another passage."""

    passage: Passage
    reason: LeftOutReason


@dataclass(frozen=True, slots=True)
class Context:
    """The passages that the answer may rest on; passage number n (as people see it) is `passages[n - 1]`."""

    passages: tuple[Passage, ...]
    left_out: tuple[LeftOut, ...]
    tokens: int
    query: EmbeddedQuery | None = None


Outcome = Literal["kept", "not_read"] | LeftOutReason | Dropped


@dataclass(frozen=True, slots=True)
class Candidate:
    """A hit and what became of it: kept in the context, left out of it, dropped when its text was to be read, or not read at
    all, since enough others stood before it. `shares` add up to the score by which it stands where it does: of the second
    fusion where it was read closely."""

    hit: Hit
    shares: Mapping[Arm, float]
    outcome: Outcome
    close: bool = False

    @property
    def score(self) -> float:
        return sum(self.shares.values())


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a question got the passages that it got: every candidate in the final order, and how long each stage took."""

    asked: Query
    fusion: Fusion
    candidates: tuple[Candidate, ...]
    timings_ms: Mapping[str, float]
    degraded: tuple[str, ...]
