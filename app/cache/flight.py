"""Equal questions at the same time: one is answered, the others wait for that answer. In this process alone."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from generation.events import AnswerEvent, Finished
from ingest.errors import GroundedError
from retrieval.model import Explanation


@dataclass(frozen=True, slots=True)
class Landed:
    """An answer that came to its end, whatever end: what was sent between its first event and its last, and the last."""

    events: Sequence[AnswerEvent]
    end: Finished
    search: Explanation | None


@dataclass(slots=True, eq=False)
class Flight:
    """One answer under way. `outcome` is what it came to: an error, or None where its asker has left."""

    key: str
    outcome: "asyncio.Future[Landed | GroundedError | None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    followers: int = 0


class Flights:
    """Who boards a flight that is under way waits for it; who finds none leads."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def under_way(self) -> Collection[Flight]:
        """Those that have not ended."""
        return self._flights.values()

    def board(self, key: str) -> tuple[Flight, bool]:
        """The flight, and whether one leads it. Who leads ends it, whatever happens."""
        known = self._flights.get(key)
        if known is not None:
            return known, False
        self._flights[key] = flight = Flight(key)
        return flight, True

    def end(self, flight: Flight, outcome: Landed | GroundedError | None) -> None:
        """All who wait go on: with the answer, or with one of them leading. Only the first outcome counts."""
        if not flight.outcome.done():
            flight.outcome.set_result(outcome)
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    async def outcome(self, flight: Flight, within_s: float) -> Landed | GroundedError | None:
        """What it came to. Raises TimeoutError; the flight goes on for the others."""
        flight.followers += 1
        try:
            done, _ = await asyncio.wait({flight.outcome}, timeout=within_s)
        finally:
            flight.followers -= 1
        if not done:
            raise TimeoutError
        return flight.outcome.result()


def own(error: GroundedError) -> GroundedError:
    """The same error for another asker, who has not paid for its attempts."""
    mine = type(error)(error.message, error.next_step)
    if (details := getattr(error, "details", None)) is not None:
        mine.details = details  # type: ignore[attr-defined]  # those of the service have them
    return mine
