"""A generator around another one: what it does not do itself, the inner one does."""

from generation.ports import Generator


class Around:
    """The generator port but for `draft`."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    @property
    def name(self) -> str:
        return self._generator.name

    @property
    def prompt_version(self) -> str | None:
        return self._generator.prompt_version

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._generator.aclose()
