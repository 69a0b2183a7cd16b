"""Index generations: one index per embedder. One of them is live; the others are built beside it, or kept behind it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

# building: being filled. ready: holds every chunk, not swapped in yet. live: answers. retired: was live, is kept.
# dropped: its files are on their way out, and a crash on that way changes nothing.
State = Literal["building", "ready", "live", "retired", "dropped"]
Scores = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Generation:
    """An index and the embedder that it was built with. `recipe` are the settings that make that embedder again, without
    secrets; empty where they are not known. `dimension` is that of its vectors, 0 where it is not known.

    `scores` is what it reached on the golden set when it was last measured. From `in_step_at` on its points may lag behind
    the catalog; None before it was ever whole, and of the live one, which always is. All times are UTC.
    """

    fingerprint: str
    state: State
    recipe: Mapping[str, Any] = field(default_factory=dict)
    dimension: int = 0
    scores: Scores = field(default_factory=dict)
    created_at: datetime | None = None
    swapped_at: datetime | None = None  # when it last became the live one
    retired_at: datetime | None = None
    in_step_at: datetime | None = None


class Generations(Protocol):
    """Where generations are kept: in the catalog. Every call is one transaction, and at most one generation is live."""

    async def all(self) -> list[Generation]:
        """Every generation, the newest first."""
        ...

    async def live(self) -> Generation | None:
        """The one that answers; None while nothing was ingested."""
        ...

    async def begin(self, fingerprint: str, recipe: Mapping[str, Any], dimension: int) -> Generation:
        """One that is to be filled. What is known of an earlier attempt, or of one that was retired, is kept."""
        ...

    async def found(self, fingerprint: str, recipe: Mapping[str, Any], dimension: int) -> Generation:
        """The live one of an empty catalog, in place of any other that was live; those are dropped."""
        ...

    async def remember(self, fingerprint: str, recipe: Mapping[str, Any], dimension: int) -> None:
        """The same embedder is made in another way by now, or this was not known yet."""
        ...

    async def in_step(self, fingerprint: str, since: datetime) -> None:
        """It held at that moment all that the catalog did: from building it becomes ready."""
        ...

    async def score(self, fingerprint: str, scores: Scores) -> None:
        """What it reached on the golden set."""
        ...

    async def swap(self, fingerprint: str) -> None:
        """In one commit this one is live and the one before it retired. Raises KeyError when there is none like it."""
        ...

    async def drop(self, fingerprint: str) -> None:
        """It will not be used again; not the live one, which stays."""
        ...

    async def forget(self, fingerprint: str) -> None:
        """The files of a dropped one are gone: remove the last row about it."""
        ...
