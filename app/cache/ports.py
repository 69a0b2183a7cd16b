"""Where answers are kept. Every adapter passes `tests/contracts/answer_cache.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.cache.key import Address


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept: entries, bytes of what they hold, and the moment from which on they count."""

    entries: int
    bytes: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer as it is kept. `rests_on` names every document it was made from, with the version; `vector` is the
    question's, as little-endian float32, empty where there is none."""

    text: str
    body: bytes
    rests_on: tuple[tuple[str, int], ...]
    vector: bytes = b""


@dataclass(frozen=True, slots=True)
class Looked:
    """The revision of the collection, the answer to this very question if there is one, and the number of the newest entry
    of its space, 0 for none."""

    revision: int
    entry: Entry | None
    newest: int


class AnswerCache(Protocol):
    """Keeps answers as long as every document of their collection stays as it was.

    What is damaged, too old, of another revision, or rests on a document that is not live in that version or not the
    asker's to read, is not there. Every call is one transaction. Raises CatalogUnavailable.
    """

    async def look(self, at: Address, since: datetime) -> Looked:
        """What there is for this question."""
        ...

    async def vectors(self, at: Address, revision: int, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
        """Numbers and vectors of the space's entries behind that number, the newest `limit` of them, in order."""
        ...

    async def read(self, at: Address, revision: int, number: int, since: datetime) -> Entry | None:
        """The entry of that number, if it is of this space."""
        ...

    async def keep(self, at: Address, revision: int, entry: Entry, bounds: Bounds) -> bool:
        """Keep it in place of what was kept for this question; the oldest go until all are within bounds. False, and
        nothing is kept, if the collection has another revision by now or a document it rests on is not as it was."""
        ...

    async def clear(self) -> int:
        """Forget all; how many there were."""
        ...
