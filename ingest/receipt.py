"""A receipt of a deletion: where the document was looked for, what was found there, and what was left afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Place:
    """How much of the document one store held when it was deleted, and how much when it was looked at again. `left` is
    None until then."""

    found: int
    left: int | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Kept when the document is not. Its id is a hash, so nothing of the document can be read from it.

    `deleted_at` is when it stopped being answered from, `signed_at` when all places had been looked at again.
    """

    document_id: str
    collection_id: str
    places: Mapping[str, Place]
    deleted_at: datetime
    signed_at: datetime | None = None
    job_id: str | None = None
