"""Documents that hold what hardly anything but an attack on a model holds are ingested like any other, and say so."""

import asyncio
from dataclasses import replace

from generation.filters.injection import plain_signs
from ingest.model import Parsed, Source
from ingest.ports import Reader

FIELD, FLAG = "flags", "injection"


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
