"""Readers, splitters and the index in memory keep the contracts of their ports."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from app.evals.corpus import RowReader
from ingest.ports import Reader, Splitter
from ingest.readers.pool import ReaderPool
from ingest.strategies.structure import StructureSplitter
from tests.contracts.chunk_index import ChunkIndexContract
from tests.contracts.reader import ReaderContract
from tests.contracts.splitter import SplitterContract
from tests.ingest.memory import LineReader, LineSplitter, MemoryIndex
from tests.ingest.test_split import counter


class TestReaderPool(ReaderContract):
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Reader]:
        pool = ReaderPool(children=2)
        try:
            yield pool
        finally:
            await pool.close()


class TestRowReader(ReaderContract):
    BAD = (*ReaderContract.BAD, b"{", b"[]", b'"row"', b"{}", b'{"text": 3}', b'{"text": null}')

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Reader]:
        yield RowReader()

    def spelled(self, text: str) -> bytes:
        return orjson.dumps({"_id": "1", "title": "", "text": text})


class TestLineReader(ReaderContract):
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Reader]:
        yield LineReader()


class TestStructureSplitter(SplitterContract):
    @pytest.fixture
    def splitter(self) -> Splitter:
        return StructureSplitter(counter())


class TestLineSplitter(SplitterContract):
    @pytest.fixture
    def splitter(self) -> Splitter:
        return LineSplitter()


class TestMemoryIndex(ChunkIndexContract):
    @pytest.fixture
    def index(self) -> MemoryIndex:
        return MemoryIndex()
