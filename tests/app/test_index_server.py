"""The whole product on a Qdrant server that goes down, is slow, fails, and comes back without what it held: every answer
that lacks something says so or is refused, and what was lost comes back by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.commands.doctor import doctor
from app.pipeline import Question
from app.settings import ConfigurationError, Settings, load
from app.wiring import Grounded
from generation.events import Failed, Finished, SourcesFound
from retrieval.errors import IndexUnavailable
from tests.app.serving import Service, answer, fake_embedder, ingest, product, settings_for, write
from tests.fake_qdrant import FakeQdrant, fake_qdrant
from tests.patience import PATIENCE_S

FILES = {
    "refunds.md": "# Refunds\n\nRefunds are issued within 14 days of the return.\n",
    "leave.md": "# Leave\n\nEmployees have 30 days of paid leave in a year.\n",
    "ports.md": "# Ports\n\nThe service listens on port 8000 by default.\n",
}
ASKED = "Within how many days are refunds issued?"


@pytest.fixture
def server() -> Iterator[FakeQdrant]:
    with fake_qdrant() as server:
        yield server


def index(server: FakeQdrant, **more: Any) -> dict[str, Any]:
    patient = {"timeout_s": 60, "write_timeout_s": 60, "check_s": 3600}
    return {"engine": "qdrant_server", "url": server.url, "grpc": False, **patient, **more}


def used(tmp_path: Path, server: FakeQdrant, use: Callable[[Grounded], Awaitable[None]], **more: Any) -> None:
    """`use` on a product whose three files are in the index of the server. `more` are settings of the index, but for those
    of retrieval."""
    retrieval = more.pop("retrieval", {})

    async def main() -> None:
        with fake_embedder():
            async with product(tmp_path, FILES, index=index(server, **more), retrieval=retrieval) as grounded:
                await grounded.settled()
                assert grounded.watch.whole
                await use(grounded)

    asyncio.run(main())


async def asked(grounded: Grounded) -> tuple[list[str], tuple[str, ...], str]:
    """Names of the sources, what was flagged, and the code of a failure."""
    events = await answer(grounded, ASKED)
    end = next(e for e in events if isinstance(e, Finished))
    names = [p.name for e in events if isinstance(e, SourcesFound) for p in e.passages]
    return names, end.degraded, next((e.error.code for e in events if isinstance(e, Failed)), "")


async def until(holds: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  what is waited for is a property of foreign things
            await asyncio.sleep(0.02)


def test_a_server_that_is_well_answers_and_flags_nothing(tmp_path: Path, server: FakeQdrant) -> None:
    async def use(grounded: Grounded) -> None:
        names, flagged, failed = await asked(grounded)
        assert (names[0], flagged, failed) == ("refunds.md", (), "")

    used(tmp_path, server, use)


def goes_down(server: FakeQdrant) -> None:
    server.stop()


def becomes_slow(server: FakeQdrant) -> None:
    server.fault = lambda *_: 30.0


def fails(server: FakeQdrant) -> None:
    server.fault = lambda *_: 500


def loses_everything(server: FakeQdrant) -> None:
    server.lose_everything()


TROUBLES = [goes_down, becomes_slow, fails, loses_everything]
HURRIED = {becomes_slow: {"timeout_s": 0.7, "write_timeout_s": 10}}


@pytest.mark.parametrize("happens", TROUBLES)
def test_words_alone_answer_and_say_so(
    tmp_path: Path, server: FakeQdrant, happens: Callable[[FakeQdrant], None]
) -> None:
    async def use(grounded: Grounded) -> None:
        happens(server)
        names, flagged, failed = await asked(grounded)
        assert (names[0], failed) == ("refunds.md", "")
        assert "vector" in flagged
        assert "embedder" not in flagged

    used(tmp_path, server, use, **HURRIED.get(happens, {}))


@pytest.mark.parametrize("happens", TROUBLES)
def test_where_partial_answers_are_unwanted_there_is_none(
    tmp_path: Path, server: FakeQdrant, happens: Callable[[FakeQdrant], None]
) -> None:
    async def use(grounded: Grounded) -> None:
        happens(server)
        for _ in range(2):
            names, _, failed = await asked(grounded)
            assert (names, failed) == ([], "index_unavailable")

    used(tmp_path, server, use, on_failure="refuse", **HURRIED.get(happens, {}))


def test_vectors_alone_answer_and_say_so(tmp_path: Path, server: FakeQdrant) -> None:
    """With a collection that is too large for the BM25 that stands by."""

    async def use(grounded: Grounded) -> None:
        server.fault = lambda _, body: 500 if body and body.get("using") == "bm25" else None
        names, flagged, failed = await asked(grounded)
        assert (names[0], failed) == ("refunds.md", "")
        assert "lexical" in flagged
        assert "vector" not in flagged

    used(tmp_path, server, use, retrieval={"rank_bm25_chunks": 1})


def test_a_failure_that_the_standby_covers_is_flagged_too(tmp_path: Path, server: FakeQdrant) -> None:
    async def use(grounded: Grounded) -> None:
        server.fault = lambda _, body: 500 if body and body.get("using") == "bm25" else None
        names, flagged, failed = await asked(grounded)
        assert (names[0], flagged, failed) == ("refunds.md", ("index",), "")

    used(tmp_path, server, use)


def test_what_a_restart_lost_comes_back_by_itself_and_nothing_is_embedded_again(
    tmp_path: Path, server: FakeQdrant
) -> None:
    async def use(grounded: Grounded) -> None:
        embedded = len(grounded.embedder.embedded)  # type: ignore[attr-defined]
        server.lose_everything()
        _, flagged, _ = await asked(grounded)
        assert flagged
        await until(lambda: grounded.watch.whole)
        names, flagged, _ = await asked(grounded)
        assert (names[0], flagged) == ("refunds.md", ())
        assert await grounded.points.count() == 3
        assert len(grounded.embedder.embedded) == embedded  # type: ignore[attr-defined]
        found = (await server.held.get_aliases()).aliases
        assert [entry.alias_name for entry in found] == ["grounded"]
        assert set(server.indexes[found[0].collection_name]) > {"collection_id", "terms"}

    used(tmp_path, server, use)


def test_points_that_went_silently_are_noticed_by_counting(tmp_path: Path, server: FakeQdrant) -> None:
    """Between two counts nobody can know; from the first count on every answer says it."""

    async def use(grounded: Grounded) -> None:
        names, _, _ = await asked(grounded)
        assert "refunds.md" in names
        lost = (await server.held.scroll(next(iter(server.indexes)), limit=2))[0]
        await asyncio.to_thread(server.lose, [str(record.id) for record in lost])
        server.fault = lambda path, _: 500 if path.endswith("/points") else None  # nothing can be put back
        seen = await grounded.watch.look()
        assert (seen.state, seen.points, seen.chunks) == ("short", 1, 3)
        _, flagged, _ = await asked(grounded)
        assert flagged == ("index",)
        server.fault = lambda *_: None
        await until(lambda: grounded.watch.whole)
        assert (await asked(grounded))[1] == ()

    used(tmp_path, server, use)


def test_counting_happens_from_time_to_time(tmp_path: Path, server: FakeQdrant) -> None:
    async def use(grounded: Grounded) -> None:
        server.lose_everything()
        await until(lambda: not grounded.watch.whole)  # though nobody asks
        await until(lambda: grounded.watch.whole)
        assert await grounded.points.count() == 3

    used(tmp_path, server, use, check_s=1)


def test_an_incomplete_index_is_refused_where_that_is_wanted(tmp_path: Path, server: FakeQdrant) -> None:
    async def use(grounded: Grounded) -> None:
        lost = (await server.held.scroll(next(iter(server.indexes)), limit=1))[0]
        await asyncio.to_thread(server.lose, [str(lost[0].id)])
        server.fault = lambda path, _: 500 if path.endswith("/points") else None
        await grounded.watch.look()
        with pytest.raises(IndexUnavailable, match="2 of 3 passages"):
            await grounded.pipeline.retrieve(Question(ASKED), await grounded.pipeline.scope("default"))

    used(tmp_path, server, use, on_failure="refuse")


def test_deleted_and_changed_documents_leave_the_server_too(tmp_path: Path, server: FakeQdrant) -> None:
    async def use(grounded: Grounded) -> None:
        (tmp_path / "docs" / "leave.md").unlink()
        write(tmp_path / "docs", {"refunds.md": "# Refunds\n\nRefunds are issued within 99 days.\n"})
        await ingest(grounded, tmp_path / "docs")
        assert await grounded.points.count() == 2
        assert grounded.watch.whole
        names, flagged, _ = await asked(grounded)
        assert (names[0], flagged) == ("refunds.md", ())
        assert "leave.md" not in names

    used(tmp_path, server, use)


def test_a_service_starts_without_its_server_and_heals_when_it_comes(tmp_path: Path, server: FakeQdrant) -> None:
    with fake_embedder():
        settings = settings_for(tmp_path / "state", index=index(server))

        async def fill() -> None:
            async with product(tmp_path, FILES, index=index(server)):
                pass

        asyncio.run(fill())
        server.stop()
        server.lose_everything()
        with Service(settings) as service:
            service.run(service.grounded.settled())
            reply = service.get("/health/ready")
            assert (reply.status_code, reply.json()["checks"]["index"]) == (503, "failed")
            assert "cannot be reached" in reply.json()["details"]["index"]
            answered = service.ask(ASKED).json()
            assert "vector" in answered["degraded"]
            assert "index" in answered["degraded"]
            server.start()
            service.run(until(lambda: service.grounded.watch.whole))
            reply = service.get("/health/ready")
            assert reply.status_code == 200
            assert set(reply.json()["details"]) <= {
                "abstention"
            }  # its bars were fitted for another embedder than that of the test
            assert service.ask(ASKED).json()["degraded"] == []


def test_doctor_tells_the_state_and_the_fix(
    tmp_path: Path, server: FakeQdrant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GROUNDED_STATE", str(tmp_path / "state"))
    for name, value in index(server).items():
        monkeypatch.setenv(f"GROUNDED_INDEX__{name.upper()}", str(value))
    monkeypatch.setattr("app.api.health._STARTING_S", PATIENCE_S)  # until the first look has ended, however busy it is
    server.stop()
    with fake_embedder():
        assert asyncio.run(doctor(offline=False, as_json=False)) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "  index  " in line]
    assert line.startswith("FAIL")
    assert "cannot be reached" in line
    assert "GROUNDED_INDEX__URL" in line


def test_settings_that_no_write_could_meet_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDED_INDEX__WRITE_CONSISTENCY_FACTOR", "2")
    with pytest.raises(ConfigurationError, match="write_consistency_factor is larger"):
        load()


def test_the_key_is_never_shown() -> None:
    settings = Settings(index={"api_key": "hidden"})  # type: ignore[arg-type]
    assert "hidden" not in repr(settings)
    assert settings.index.api_key.get_secret_value() == "hidden"
