"""A Qdrant server on a real socket that can be slow, fail, hang up, go down, and come back without what it held.

What it answers while it is well is the client's own in-memory mode, so requests go through the client's real road: made into
JSON, sent, read, and checked. It is there for its faults; what a server finds is for a real one to show.
"""

import asyncio
import json
import re
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from qdrant_client import AsyncQdrantClient, models

Fault = int | float | None  # an HTTP status, or seconds of silence
Handler = Callable[["FakeQdrant", str, Any], Awaitable[Any]]


class FakeQdrant:
    """The server, on a loop of its own, so that tests may block theirs."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []  # method, path, body
        self.fault: Callable[[str, Any], Fault] = lambda _path, _body: None  # of a path and a body
        self.version = "1.20.0"
        self.port = 0
        self.held = AsyncQdrantClient(":memory:")
        self.indexes: dict[str, dict[str, Any]] = {}
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._run(self._start())

    def stop(self) -> None:
        """Refuse connections; what is held stays."""
        self._run(self._stop())

    def lose_everything(self) -> None:
        """As after a restart on an empty disk."""
        self.held = AsyncQdrantClient(":memory:")
        self.indexes = {}

    def lose(self, ids: list[str]) -> None:
        """As after a restore from an older copy."""
        (name,) = self.indexes
        self._run(self.held.delete(name, models.PointIdsList(points=list(ids))))

    def close(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _end(self) -> None:
        await self._stop()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        with suppress(asyncio.CancelledError):
            await self._converse(reader, writer)
        writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, target, _ = head[0].split(" ", 2)
            sizes = [line.partition(": ")[2] for line in head if line.lower().startswith("content-length")]
            body = json.loads(await reader.readexactly(int(sizes[0]))) if sizes and int(sizes[0]) else None
            status, reply = await self._reply(method, target.partition("?")[0], body)
            text = json.dumps(reply).encode()
            lines = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n"
            writer.write(f"{lines}content-length: {len(text)}\r\n\r\n".encode() + text)
            await writer.drain()

    async def _reply(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        self.requests.append((method, path, body))
        fault = self.fault(path, body)
        if isinstance(fault, int):
            return fault, {"status": {"error": "told to fail"}, "time": 0}
        await asyncio.sleep(fault or 0)
        if path == "/":
            return 200, {"title": "fake", "version": self.version}
        for wanted, pattern, handler in ROUTES:
            if wanted == method and (found := re.fullmatch(pattern, path)):
                try:
                    return 200, {"result": await handler(self, found.groupdict().get("name", ""), body), "status": "ok"}
                except ValueError as error:
                    missing = "not found" in str(error)
                    return 404 if missing else 400, {"status": {"error": str(error)}, "time": 0}
        return 404, {"status": {"error": f"no such address: {method} {path}"}, "time": 0}


async def _create(server: FakeQdrant, name: str, body: Any) -> bool:
    wanted = models.CreateCollection(**body)
    server.indexes[name] = {}
    return await server.held.create_collection(
        name, vectors_config=wanted.vectors, sparse_vectors_config=wanted.sparse_vectors, metadata=wanted.metadata
    )


async def _drop(server: FakeQdrant, name: str, _body: Any) -> bool:
    server.indexes.pop(name, None)
    return await server.held.delete_collection(name)


async def _index(server: FakeQdrant, name: str, body: Any) -> Any:
    server.indexes[name][body["field_name"]] = body["field_schema"]
    return {"operation_id": 0, "status": "completed"}


async def _info(server: FakeQdrant, name: str, _body: Any) -> Any:
    found = (await server.held.get_collection(name)).model_dump(mode="json")
    schema = {field: {"data_type": said["type"], "points": 0} for field, said in server.indexes[name].items()}
    return {**found, "payload_schema": schema}


async def _exists(server: FakeQdrant, name: str, _body: Any) -> Any:
    return {"exists": await server.held.collection_exists(name)}


async def _aliases(server: FakeQdrant, _name: str, _body: Any) -> Any:
    return (await server.held.get_aliases()).model_dump(mode="json")


async def _alias(server: FakeQdrant, _name: str, body: Any) -> bool:
    return await server.held.update_collection_aliases(models.ChangeAliasesOperation(**body).actions)


async def _upsert(server: FakeQdrant, name: str, body: Any) -> Any:
    return _dumped(await server.held.upsert(name, models.PointsList(**body).points))


async def _retrieve(server: FakeQdrant, name: str, body: Any) -> Any:
    wanted = models.PointRequest(**body)
    found = await server.held.retrieve(name, wanted.ids, wanted.with_payload or False)
    return [_dumped(record) for record in found]


async def _query(server: FakeQdrant, name: str, body: Any) -> Any:
    wanted = models.QueryRequest(**body)
    found = await server.held.query_points(
        name,
        query=wanted.query,
        using=wanted.using,
        query_filter=wanted.filter,
        search_params=wanted.params,
        limit=wanted.limit or 10,
        with_payload=wanted.with_payload or False,
    )
    return _dumped(found)


async def _scroll(server: FakeQdrant, name: str, body: Any) -> Any:
    wanted = models.ScrollRequest(**body)
    points, offset = await server.held.scroll(
        name, wanted.filter, limit=wanted.limit or 10, offset=wanted.offset, with_payload=wanted.with_payload or False
    )
    return {"points": [_dumped(point) for point in points], "next_page_offset": offset}


async def _count(server: FakeQdrant, name: str, body: Any) -> Any:
    return _dumped(await server.held.count(name, models.CountRequest(**body).filter))


async def _delete(server: FakeQdrant, name: str, body: Any) -> Any:
    return _dumped(await server.held.delete(name, models.PointIdsList(**body)))


async def _batch(server: FakeQdrant, name: str, body: Any) -> Any:
    done = await server.held.batch_update_points(name, models.UpdateOperations(**body).operations)
    return [_dumped(one) for one in done]


def _dumped(found: Any) -> Any:
    return found.model_dump(mode="json")


_ONE = r"/collections/(?P<name>[^/]+)"
ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/aliases", _aliases),
    ("POST", "/collections/aliases", _alias),
    ("GET", f"{_ONE}/exists", _exists),
    ("GET", _ONE, _info),
    ("PUT", _ONE, _create),
    ("DELETE", _ONE, _drop),
    ("PUT", f"{_ONE}/index", _index),
    ("PUT", f"{_ONE}/points", _upsert),
    ("POST", f"{_ONE}/points", _retrieve),
    ("POST", f"{_ONE}/points/query", _query),
    ("POST", f"{_ONE}/points/scroll", _scroll),
    ("POST", f"{_ONE}/points/count", _count),
    ("POST", f"{_ONE}/points/delete", _delete),
    ("POST", f"{_ONE}/points/batch", _batch),
]


@contextmanager
def fake_qdrant() -> Iterator[FakeQdrant]:
    """A server that listens and is well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = FakeQdrant()
        server.start()
        try:
            yield server
        finally:
            server.close()
