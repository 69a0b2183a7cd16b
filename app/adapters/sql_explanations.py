"""Explanations in the catalog's own database. The table is handed in by the wiring, as those of jobs are.

A row's body holds one short list per candidate: its id, what became of it, and rank and score by arm. Shares are not kept,
since they follow from ranks and weights. Neither the question nor its filters are: they may say what documents say.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Table, delete, func, insert, or_, select

from app.adapters.sql_owners import owner_of, owner_values
from app.explanations import AnswerExplanation
from retrieval.model import Candidate, Explanation, Fusion, Hit, Place, Query, Scope

T = TypeVar("T")
_DIGITS = 6
_TOLD = (
    "finish_reason",
    "model",
    "prompt_version",
    "cost_nano_usd",
    "rewritten",
    "narrowed",
    "tier",
    "routing",
    "dossier",
    "cache",
)


class Transactions(Protocol):
    """Whoever owns the database."""

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run the work in one transaction. Raises CatalogUnavailable, StorageFull."""
        ...


class SqlExplanations:
    """ExplanationStore on the catalog's tables."""

    def __init__(self, catalog: Transactions, table: Table) -> None:
        self._catalog = catalog
        self._table = table

    async def keep(self, explanations: Sequence[AnswerExplanation], most: int, since: datetime) -> None:
        await self._catalog.transaction(lambda db: self._keep(db, explanations, most, _stored(since)))

    def _keep(self, db: Connection, explanations: Sequence[AnswerExplanation], most: int, since: datetime) -> None:
        c = self._table.c
        if explanations:
            db.execute(insert(self._table), list(map(_row, explanations)))
        last = db.execute(select(func.max(c.number))).scalar() or 0
        db.execute(delete(self._table).where(or_(c.number <= last - most, c.created_at < since)))

    async def find(self, answer_id: str) -> AnswerExplanation | None:
        asked = select(self._table).where(self._table.c.answer_id == answer_id)

        def read(db: Connection) -> AnswerExplanation | None:
            row = db.execute(asked).one_or_none()
            return _explanation(row) if row is not None else None

        return await self._catalog.transaction(read)


def _row(explanation: AnswerExplanation) -> dict[str, Any]:
    search = explanation.search
    body = {
        **{name: getattr(explanation, name) for name in _TOLD},
        "fusion": [dict(search.fusion.weights), search.fusion.k, search.fusion.close_k],
        "timings_ms": {stage: round(ms, 3) for stage, ms in search.timings_ms.items()},
        "degraded": list(search.degraded),
        "candidates": [_told(candidate) for candidate in search.candidates],
    }
    return {
        "answer_id": explanation.answer_id,
        "collection_id": explanation.collection_id,
        "created_at": _stored(explanation.created_at),
        "body": body,
        **owner_values(explanation.owner),
    }


def _told(candidate: Candidate) -> list[Any]:
    places = {arm: [place.rank, round(place.score, _DIGITS)] for arm, place in candidate.hit.places.items()}
    return [candidate.hit.id, candidate.outcome, int(candidate.close), places]


def _explanation(row: Any) -> AnswerExplanation:
    body = row.body
    fusion = Fusion(*body["fusion"])
    asked = Query("", Scope(row.collection_id, "", None))
    candidates = tuple(_candidate(told, fusion) for told in body["candidates"])
    search = Explanation(asked, fusion, candidates, body["timings_ms"], tuple(body["degraded"]))
    told = {name: body.get(name) for name in _TOLD}  # those that an earlier release did not know are not there
    made = row.created_at.replace(tzinfo=UTC)
    return AnswerExplanation(row.answer_id, row.collection_id, made, search, **told, owner=owner_of(row))


def _candidate(told: Sequence[Any], fusion: Fusion) -> Candidate:
    id_, outcome, close, places = told
    hit = Hit(id_, {arm: Place(*place) for arm, place in places.items()})
    return Candidate(hit, fusion.shares(hit, close=bool(close)), outcome, bool(close))


def _stored(at: datetime) -> datetime:
    """UTC without a zone: what the columns hold."""
    return at.astimezone(UTC).replace(tzinfo=None)
