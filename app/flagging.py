"""Documents and questions that hold what hardly anything but an attack on a model holds are treated like any other, and the
log and the explanation of an answer say so."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from app.calibration import SHIPPED_FOR
from generation.filters.injection import Sign, own_vectors, plain_signs
from ingest.model import Parsed, Source
from ingest.ports import Reader
from retrieval.model import Context

FIELD, FLAG = "flags", "injection"


@dataclass(frozen=True, slots=True)
class Flags:
    """By which signs a question is flagged, and which of the passages stand in flagged documents."""

    question: tuple[Sign, ...] = ()
    sources: tuple[str, ...] = ()


class QuestionFlags:
    """Looks at questions. They are likened to our own sentences by the vector that the search made of them, where that is the
    shipped embedder's; else phrases and invisible characters tell alone."""

    def __init__(self, fingerprint: Callable[[], str]) -> None:
        """`fingerprint` tells which embedder is live."""
        self._fingerprint = fingerprint
        self._own = own_vectors()

    def look(self, text: str, context: Context) -> Flags:
        """What there is to say of a question and of what was found for it."""
        signs = plain_signs(text)
        shipped = context.query is not None and self._fingerprint() == SHIPPED_FOR
        if shipped and context.query is not None and self._own.steers(context.query.vector):
            signs = (*signs, "likeness")
        return Flags(signs, flagged(context))


def flagged(context: Context) -> tuple[str, ...]:
    """The passages whose documents carry the flag."""
    return tuple(passage.id for passage in context.passages if passage.metadata.extra.get(FIELD) == FLAG)


class FlaggingReader:
    """A reader that looks at what was read. The flag is metadata: it can be filtered on, and decides nothing."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def read(self, source: Source, data: bytes) -> Parsed:
        """As the reader does, with the field `flags`; what the file says of itself there does not count."""
        parsed = await self._reader.read(source, data)
        metadata = {name: value for name, value in parsed.metadata.items() if name != FIELD}
        if await asyncio.to_thread(plain_signs, parsed.text):
            metadata[FIELD] = FLAG
        return parsed if metadata == parsed.metadata else replace(parsed, metadata=metadata)
