"""The server adapter keeps the contract of engines, ranks as the embedded one does, and says every failure in our words."""

import asyncio
import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from qdrant_client import AsyncQdrantClient

from retrieval.adapters.qdrant_calls import called
from retrieval.adapters.qdrant_edge import QdrantEdgeIndex
from retrieval.adapters.qdrant_layout import Layout, Names
from retrieval.adapters.qdrant_server import Deadlines, QdrantServerIndex, connect
from retrieval.errors import IndexUnavailable
from retrieval.filters import parsed
from retrieval.model import Query, Ranked
from tests.contracts.engine import HERE, NOW, D, DurableEngineContract, EngineContract, id_of, point, vector
from tests.fake_qdrant import FakeQdrant, fake_qdrant
from tests.fake_qdrant_grpc import fake_qdrant_grpc
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect", "ignore:Local mode performs exact")
REAL = os.environ.get("GROUNDED_TEST_QDRANT_URL", "")
REAL_GRPC_PORT = int(os.environ.get("GROUNDED_TEST_QDRANT_GRPC_PORT", "6334"))
NAMES = Names("grounded", "generation", "mine")
PATIENT = Deadlines(60, 60)
QUICK = Deadlines(0.3, 1.5)  # where the server does not answer


class OnOneLoop:
    """Each step of a test makes a loop of its own, and connections live in the one that made them: so all calls of an
    engine run on one that lasts."""

    def __init__(self, engine: QdrantServerIndex) -> None:
        self._engine = engine
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any, **more: Any) -> Any:
            work = getattr(self._engine, name)(*args, **more)
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

        return call

    def end(self) -> None:
        asyncio.run(self.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def served(
    url: str, *, grpc: bool = False, grpc_port: int = REAL_GRPC_PORT, names: Names = NAMES, **layout: Any
) -> Iterator[Any]:
    client = connect(url, "", grpc=grpc, grpc_port=grpc_port, timeout_s=60)
    engine = OnOneLoop(QdrantServerIndex(client, names, Layout(D, **layout), PATIENT))
    try:
        asyncio.run(engine.prepare())
        yield engine
    finally:
        engine.end()


class TestInMemory(DurableEngineContract):
    """Against the client's own in-memory mode. What it has not: payload indexes, quantization, strict mode and shards, so
    that filters are read from payloads and every search is exact. No case of the contract needs more."""

    @pytest.fixture
    def held(self) -> AsyncQdrantClient:
        return AsyncQdrantClient(":memory:")

    @pytest.fixture
    def reopening(self, held: AsyncQdrantClient) -> Callable[[], AbstractContextManager[QdrantServerIndex]]:
        """The server stays up; only what asks it is made anew."""

        @contextmanager
        def reopened() -> Iterator[QdrantServerIndex]:
            engine = QdrantServerIndex(held, NAMES, Layout(D), PATIENT)
            asyncio.run(engine.prepare())
            yield engine

        return reopened

    @pytest.fixture
    def engine(self, reopening: Callable[[], AbstractContextManager[QdrantServerIndex]]) -> Iterator[QdrantServerIndex]:
        with reopening() as engine:
            yield engine


@pytest.mark.slow
class TestOverHttp(EngineContract):
    """Through the client's real road over HTTP, JSON and back; what answers is the in-memory mode."""

    @pytest.fixture
    def engine(self) -> Iterator[Any]:
        with fake_qdrant() as server, served(server.url) as engine:
            yield engine


@pytest.mark.slow
class TestOverGrpc(EngineContract):
    """The same over gRPC, numbers as numbers."""

    @pytest.fixture
    def engine(self) -> Iterator[Any]:
        with fake_qdrant_grpc() as port, served("http://127.0.0.1", grpc=True, grpc_port=port) as engine:
            yield engine


@pytest.mark.skipif(not REAL, reason="no Qdrant server: set GROUNDED_TEST_QDRANT_URL")
@pytest.mark.parametrize("grpc", [False, True], ids=["http", "grpc"])
class TestRealServer(DurableEngineContract):
    """Against the server of GROUNDED_TEST_QDRANT_URL, in collections of its own, which go when the test has passed."""

    @pytest.fixture
    def reopening(self, grpc: bool) -> Iterator[Callable[[], AbstractContextManager[Any]]]:
        names = Names(f"grounded-test-{uuid4().hex[:12]}", "generation", "mine")
        yield lambda: served(REAL, grpc=grpc, names=names)

        async def removed() -> None:
            client = connect(REAL, "", grpc=False, grpc_port=REAL_GRPC_PORT, timeout_s=60)
            await client.delete_collection(names.collection)
            await client.close()

        asyncio.run(removed())

    @pytest.fixture
    def engine(self, reopening: Callable[[], AbstractContextManager[Any]]) -> Iterator[Any]:
        with reopening() as engine:
            yield engine


# ---- the same ranking as the embedded engine

WORDS = ["river", "stone", "harbour", "quokka", "meadow", "copper", "winter", "ERR_CONN_REFUSED_443", "v2.13.0"]


def corpus() -> list[Any]:
    draw = random.Random(7)
    made = []
    for n in range(300):
        text = " ".join(draw.choices(WORDS, k=draw.randint(1, 12)))
        more = {"page": n % 7, "tags": [WORDS[n % 5]], "filename": f"{WORDS[n % 3]}/{n}.md"}
        made.append(point(f"p{n}", text, *(draw.uniform(-1, 1) for _ in range(D)), document=f"d{n % 40}", **more))
    return made


def same_up_to_ties(left: Sequence[Ranked], right: Sequence[Ranked]) -> None:
    """Equal scores may be cut off anywhere among each other, so the last of them are compared by score alone."""
    assert [r.score for r in left] == pytest.approx([r.score for r in right], rel=1e-4)
    *whole, _ = groups(left)
    assert whole == groups(right)[: len(whole)]


def groups(found: Sequence[Ranked]) -> list[set[str]]:
    return [{r.id for r in ties} for _, ties in groupby(found, lambda r: float(f"{r.score:.3g}"))]


@pytest.mark.parametrize(
    "wire", [{}, {"page": [1, 2]}, {"filename": "river/*"}, {"filename": "*9.md"}, {"tags": "stone"}]
)
def test_it_ranks_as_the_embedded_engine(tmp_path: Path, wire: dict[str, Any]) -> None:
    points = corpus()
    asked = [vector(*(random.Random(n).uniform(-1, 1) for _ in range(D))) for n in range(5)]
    questions = ["quokka harbour", "which ERR_CONN_REFUSED_443 of winter", "v2.13.0 river river stone", "copper"]

    async def main() -> None:
        server = QdrantServerIndex(AsyncQdrantClient(":memory:"), NAMES, Layout(D), PATIENT)
        await server.prepare()
        embedded = QdrantEdgeIndex(tmp_path / "shard", D)
        for engine in (server, embedded):
            await engine.upsert(points)
        wanted = parsed(wire, NOW)
        for one in asked:
            query = Query("", HERE, wanted)
            same_up_to_ties(await server.search_dense(one, query, 20), await embedded.search_dense(one, query, 20))
        for text in questions:
            query = Query(text, HERE, wanted)
            found = await embedded.search_lexical(query, 20)
            assert found
            same_up_to_ties(await server.search_lexical(query, 20), found)
        await embedded.close()

    asyncio.run(main())


# ---- what is sent


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*" + "ab" * 60 + "*", ["long"]),
        ("*" + "ab" * 60 + "x*", []),
        ("*" + "ba" * 45 + "/end.md", ["long"]),
        ("*" + "aa" * 45 + "/end.md", []),
        ("*nd.md", ["long", "short"]),
        ("*nd.m", []),
        ("*d.m*", ["long", "short"]),
    ],
)
def test_names_of_any_length_are_found_by_a_part_of_them(pattern: str, found: list[str]) -> None:
    """Longer than the ends of names that are stored."""
    names = {"long": f"start/x{'ab' * 70}a/end.md", "short": "end.md"}

    async def main() -> None:
        engine = QdrantServerIndex(AsyncQdrantClient(":memory:"), NAMES, Layout(D), PATIENT)
        await engine.upsert([point(i, "quokka", 1, filename=name) for i, name in names.items()])
        hits = await engine.search_lexical(Query("quokka", HERE, parsed({"filename": pattern}, NOW)), 9)
        assert {hit.id for hit in hits} == {id_of(i) for i in found}

    asyncio.run(main())


def test_no_filter_asks_what_strict_mode_refuses(server: FakeQdrant) -> None:
    """Looking for a part of a text is refused, whatever indexes there are."""
    with served(server.url) as engine:
        query = Query("quokka", HERE, parsed({"filename": ["*a*", "*b", "c*", "d"], "title": "e*"}, NOW))
        asyncio.run(engine.search_lexical(query, 3))
    (asked,) = sent(server, "POST", "/points/query")
    assert "prefix" in str(asked)
    assert "substring" not in str(asked)
    assert "'text'" not in str(asked)


@pytest.fixture
def server() -> Iterator[FakeQdrant]:
    with fake_qdrant() as server:
        yield server


def sent(server: FakeQdrant, method: str, end: str) -> list[Any]:
    return [body for m, path, body in server.requests if m == method and path.endswith(end)]


def test_a_collection_is_made_as_the_settings_say_and_indexed_before_points_come(server: FakeQdrant) -> None:
    with served(server.url, shard_number=3, replication_factor=2, write_consistency_factor=2, quantized=True) as engine:
        asyncio.run(engine.upsert([point("a", "quokka", 1)]))
        asyncio.run(engine.search_dense(vector(1), Query("", HERE), 3))
        asyncio.run(engine.existing([id_of("a")]))
    (made,) = sent(server, "PUT", NAMES.collection)
    assert (made["shard_number"], made["replication_factor"], made["write_consistency_factor"]) == (3, 2, 2)
    assert made["quantization_config"]["scalar"]["type"] == "int8"
    assert made["strict_mode_config"]["enabled"] is True
    assert made["strict_mode_config"]["unindexed_filtering_retrieve"] is False
    assert made["sparse_vectors"] == {"bm25": {"modifier": "idf"}}
    (asked,) = sent(server, "POST", "/points/query")
    assert asked["params"]["quantization"]["rescore"] is True
    indexed = {body["field_name"]: body["field_schema"] for body in sent(server, "PUT", "/index")}
    assert indexed["collection_id"]["is_tenant"] is True
    assert indexed["terms"]["prefix"] is indexed["filename"]["prefix"] is True
    assert indexed["page"]["type"] == "integer"
    paths = [path for _, path, _ in server.requests]
    last = max(n for n, path in enumerate(paths) if path.endswith("/index"))
    assert last < paths.index(f"/collections/{NAMES.collection}/points")


def test_every_field_that_a_filter_names_has_an_index(server: FakeQdrant) -> None:
    """In strict mode the server refuses a filter on a field without one."""
    everything = {
        "type": "and",
        "filters": [{"filename": "*x*"}, {"title": "a*"}, {"page": 3}, {"modified_at": "2025"}],
    }
    with served(server.url) as engine:
        query = Query("quokka", HERE, parsed(everything, NOW))
        asyncio.run(engine.search_lexical(query, 3))
        asyncio.run(engine.search_dense(vector(1), query, 3))
        asyncio.run(engine.delete_document("d", []))
        asyncio.run(engine.count(HERE.collection_id))
    named = {key for _, _, body in server.requests for key in keys_of(body)}
    assert named == {"collection_id", "terms", "filename", "page", "modified_at"}
    assert named <= server.indexes[NAMES.collection].keys()


def keys_of(body: Any) -> Iterator[str]:
    """Fields that conditions are about, wherever they stand."""
    if isinstance(body, dict):
        if "key" in body:
            yield body["key"]
        yield from (key for inner in body.values() for key in keys_of(inner))
    elif isinstance(body, list):
        yield from (key for inner in body for key in keys_of(inner))


def test_words_are_weighed_by_the_scope_and_not_by_the_filters(server: FakeQdrant) -> None:
    with served(server.url) as engine:
        asyncio.run(engine.search_lexical(Query("quokka", HERE, parsed({"page": 3}, NOW)), 3))
    (asked,) = sent(server, "POST", "/points/query")
    corpus = asked["params"]["idf"]["corpus"]
    assert set(keys_of(corpus)) == {"collection_id"}
    assert set(keys_of(asked["filter"])) == {"collection_id", "page"}


def test_the_alias_goes_from_one_generation_to_the_next_in_one_request(server: FakeQdrant) -> None:
    async def named() -> dict[str, str]:
        found = (await server.held.get_aliases()).aliases
        return {entry.alias_name: entry.collection_name for entry in found}

    new = Names("grounded", "another", "mine")
    with served(server.url) as old_engine, served(server.url, names=new) as new_engine:
        assert asyncio.run(named()) == {"grounded": NAMES.collection}, (
            "a new generation is made beside the one that answers"
        )
        asyncio.run(new_engine.activate())
        assert asyncio.run(named()) == {"grounded": new.collection}
        assert len(sent(server, "POST", "/aliases")) == 2
        asyncio.run(new_engine.activate())
        assert len(sent(server, "POST", "/aliases")) == 2
        asyncio.run(old_engine.activate())
        assert asyncio.run(named()) == {"grounded": NAMES.collection}


def test_what_belongs_to_another_installation_is_not_touched(server: FakeQdrant) -> None:
    async def refused(names: Names) -> None:
        client = connect(server.url, "", grpc=False, grpc_port=1, timeout_s=60)
        engine = QdrantServerIndex(client, names, Layout(D), PATIENT)
        for call in (engine.prepare, engine.count, lambda: engine.upsert([point("b", "x", 1)])):
            with pytest.raises(IndexUnavailable, match="not of this installation"):
                await call()
        with pytest.raises(IndexUnavailable):
            await engine.search_dense(vector(1), Query("", HERE), 3)
        await engine.close()

    async def moved() -> None:
        client = connect(server.url, "", grpc=False, grpc_port=1, timeout_s=60)
        engine = QdrantServerIndex(client, Names("grounded", "another", "theirs"), Layout(D), PATIENT)
        with pytest.raises(IndexUnavailable, match="not of this installation"):
            await engine.activate()
        await engine.close()

    with served(server.url) as engine:
        asyncio.run(engine.upsert([point("a", "quokka", 1)]))
        asyncio.run(refused(Names("grounded", "generation", "theirs")))
        asyncio.run(moved())
        assert asyncio.run(engine.count()) == 1


def test_a_generation_that_is_discarded_is_gone_and_nobody_elses_is(server: FakeQdrant) -> None:
    async def discarded(whose: str) -> None:
        client = connect(server.url, "", grpc=False, grpc_port=1, timeout_s=60)
        engine = QdrantServerIndex(client, Names("grounded", "generation", whose), Layout(D), PATIENT)
        try:
            await engine.discard()
        finally:
            await engine.close()

    with served(server.url) as engine:
        asyncio.run(engine.upsert([point("a", "quokka", 1)]))
        with pytest.raises(IndexUnavailable, match="not of this installation"):
            asyncio.run(discarded("theirs"))
        assert asyncio.run(engine.count()) == 1
        asyncio.run(engine.discard())
        asyncio.run(discarded("mine"))  # twice does no harm
        assert asyncio.run(server.held.get_collections()).collections == []
        with pytest.raises(IndexUnavailable):
            asyncio.run(engine.search_dense(vector(1), Query("", HERE), 3))


def test_whoever_writes_first_makes_the_collection(server: FakeQdrant) -> None:
    async def main() -> None:
        engine = QdrantServerIndex(
            connect(server.url, "", grpc=False, grpc_port=1, timeout_s=60), NAMES, Layout(D), PATIENT
        )
        await asyncio.gather(engine.upsert([point("a", "quokka", 1)]), engine.count(), engine.existing([id_of("a")]))
        assert await engine.count() == 1
        await engine.close()

    asyncio.run(main())
    assert len(sent(server, "PUT", NAMES.collection)) == 1


def test_preparing_again_changes_nothing(server: FakeQdrant) -> None:
    with served(server.url) as engine:
        asyncio.run(engine.upsert([point("a", "quokka", 1)]))
        before = len([r for r in server.requests if r[0] == "PUT"])
        asyncio.run(engine.prepare())
        assert len([r for r in server.requests if r[0] == "PUT"]) == before
        assert asyncio.run(engine.count()) == 1


# ---- what fails

SLOW_S = 10.0
CALLS = [
    *("prepare", "activate", "search_dense", "search_lexical", "upsert"),
    *("describe", "existing", "delete_document", "count", "count_document", "discard"),
]


def opened(url: str) -> QdrantServerIndex:
    return QdrantServerIndex(connect(url, "", grpc=False, grpc_port=1, timeout_s=60), NAMES, Layout(D), PATIENT)


def every_call(engine: QdrantServerIndex) -> dict[str, Callable[[], Any]]:
    query = Query("quokka", HERE)
    return {
        "prepare": engine.prepare,
        "activate": engine.activate,
        "search_dense": lambda: engine.search_dense(vector(1), query, 3),
        "search_lexical": lambda: engine.search_lexical(query, 3),
        "upsert": lambda: engine.upsert([point("a", "quokka", 1)]),
        "describe": lambda: engine.describe({id_of("a"): {"collection_id": "c", "document_id": "d"}}),
        "existing": lambda: engine.existing([id_of("a")]),
        "delete_document": lambda: engine.delete_document("d", []),
        "count": engine.count,
        "discard": engine.discard,
        "count_document": lambda: engine.count_document("d"),
    }


@pytest.mark.parametrize("fault", [500, 401, 404, 429, SLOW_S, "down"])
@pytest.mark.parametrize("call", CALLS)
def test_every_failure_of_every_call_is_told_as_one_error(server: FakeQdrant, call: str, fault: Any) -> None:
    async def main() -> None:
        engine = opened(server.url)
        await engine.prepare()
        if fault == "down":
            server.stop()
        else:
            server.fault = lambda _path, _body: fault
        engine._deadlines = QUICK if fault == SLOW_S else PATIENT
        with pytest.raises(IndexUnavailable) as raised:
            await every_call(engine)[call]()
        assert "told to fail" not in raised.value.message, "what a server answers may hold what it was asked"
        assert raised.value.__cause__ is not None
        assert {500: "error (500)", 401: "API key", 404: "lacks", SLOW_S: "within", "down": "reached"}.get(
            fault, "429"
        ) in raised.value.message
        await engine.close()

    asyncio.run(main())


def test_a_broken_connection_is_tried_again_and_a_slow_server_is_not(server: FakeQdrant) -> None:
    async def asked(fault: Callable[[str, Any], Any], deadlines: Deadlines = PATIENT) -> tuple[int, bool]:
        engine = opened(server.url)
        server.fault = lambda *_: None
        await engine.prepare()
        server.requests.clear()
        server.fault = fault
        engine._deadlines = deadlines
        try:
            await engine.search_dense(vector(1), Query("", HERE), 3)
            answered = True
        except IndexUnavailable:
            answered = False
        await engine.close()
        return len(sent(server, "POST", "/points/query")), answered

    def mends_at(last: int) -> Callable[[str, Any], Any]:
        return lambda *_: 503 if len(server.requests) < last else None

    assert asyncio.run(asked(mends_at(3))) == (3, True)
    assert asyncio.run(asked(lambda *_: 503)) == (3, False)
    assert asyncio.run(asked(lambda *_: SLOW_S, QUICK)) == (1, False)
    assert asyncio.run(asked(lambda *_: 500)) == (1, False)


def test_what_cannot_be_done_twice_is_not_tried_again(server: FakeQdrant) -> None:
    server.fault = lambda path, body: 503 if body and "vectors" in body else None

    async def main() -> None:
        engine = opened(server.url)
        with pytest.raises(IndexUnavailable):
            await engine.prepare()
        await engine.close()

    asyncio.run(main())
    assert len(sent(server, "PUT", NAMES.collection)) == 1


def test_an_old_server_is_refused_with_its_version(server: FakeQdrant) -> None:
    server.version = "1.18.3"

    async def main() -> None:
        engine = opened(server.url)
        with pytest.raises(IndexUnavailable, match=r"1\.18\.3.*1\.19"):
            await engine.prepare()
        await engine.close()

    asyncio.run(main())


def test_over_grpc_an_outage_is_told_and_its_end_is_seen_soon() -> None:
    """A channel that lost its server would look again after up to two minutes."""

    async def main() -> None:
        with fake_qdrant_grpc() as port:
            client = connect("http://127.0.0.1", "", grpc=True, grpc_port=port, timeout_s=60)
            engine = QdrantServerIndex(client, NAMES, Layout(D), PATIENT)
            await engine.prepare()
            assert await engine.search_dense(vector(1), Query("", HERE), 3) == []
        for _ in range(5):
            with pytest.raises(IndexUnavailable, match="reached"):
                await engine.search_dense(vector(1), Query("", HERE), 3)
        with fake_qdrant_grpc(port):
            async with asyncio.timeout(PATIENCE_S):
                while await said(engine) != "The Qdrant server lacks the collection of this index.":  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            await engine.prepare()
            await engine.upsert([point("a", "quokka", 1)])
            assert len(await engine.search_lexical(Query("quokka", HERE), 3)) == 1
            await engine.close()

    async def said(engine: QdrantServerIndex) -> str:
        with pytest.raises(IndexUnavailable) as raised:
            await engine.search_dense(vector(1), Query("", HERE), 3)
        return raised.value.message

    asyncio.run(main())


def test_a_cancelled_call_stays_cancelled() -> None:
    async def main() -> None:
        call = asyncio.create_task(called(lambda: asyncio.sleep(9), 9))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(main())
