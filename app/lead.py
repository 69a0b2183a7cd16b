"""Who, of several processes on one database, does what one alone may do: jobs, webhooks, mending the index."""

from typing import Protocol


class Lead(Protocol):
    """The lead over all processes on one database."""

    @property
    def held(self) -> bool:
        """Whether this process had it when it was last asked for."""
        ...

    @property
    def every_s(self) -> float:
        """How often it is to be asked for."""
        ...

    async def hold(self) -> bool:
        """Take it if it is free; whether this process has it."""
        ...

    async def close(self) -> None:
        """Let it go."""
        ...


class Alone:
    """The lead of a process that shares its database with nobody: it always has it."""

    held = True
    every_s = 5.0

    async def hold(self) -> bool:
        return True

    async def close(self) -> None:
        """There is nothing to let go."""


ALONE = Alone()
