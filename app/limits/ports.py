"""Where rates are counted: in this process, or for all of them in Redis."""

from typing import Protocol

from app.limits.window import Rate


class Rates(Protocol):
    """Counts who comes."""

    async def take(self, rate: Rate, who: str, cost: int = 1) -> float | None:
        """Count it, and None; or, where the rate does not let it in, count nothing and give the seconds until it may."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
