"""Why an answer got its passages: told for every candidate, kept without a word of text, and never more than the asker may
see at the moment of looking."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import structlog

from app import cli
from app.commands.explain import OUTCOMES
from app.explanations import AnswerExplanation, Explanations
from app.keys.library import Library
from app.state import StateFolder
from generation.events import Finished, Started
from ingest.errors import CatalogUnavailable
from retrieval.model import Outcome, Scope
from tests.app.serving import Service, answer, fake_embedder, ingest, product, settings_for, write

FILES = {
    "otters.md": "# Otters\n\nOtters swim in the cold river all day.\n",
    "owls.md": "# Owls\n\nOwls fly over the quiet fields at night.\n",
    "board.md": "# Secrets\n\nThe river belongs to the board alone.\n",
}
QUESTION = "Where do otters swim quixotically?"
RULES = [{"glob": "board.md", "access": ["board"]}]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    settings = settings_for(tmp_path / "state", ingest={"min_free_mb": 0, "metadata": RULES})
    with (
        structlog.testing.capture_logs(),
        fake_embedder(),
        StateFolder(settings.state).owned(),
        Service(settings) as service,
    ):
        service.run(ingest(service.grounded, write(tmp_path / "docs", FILES)))
        yield service


def asked(service: Service, question: str = QUESTION, **more: Any) -> dict[str, Any]:
    reply: dict[str, Any] = service.ask(question, **more).json()
    return reply


def explained(service: Service, answer_id: str) -> dict[str, Any]:
    reply: dict[str, Any] = service.get(f"/v1/answers/{answer_id}/explain").json()
    return reply


def names(explanation: dict[str, Any]) -> set[str]:
    return {one["source"]["filename"] for one in explanation["candidates"] if one["source"]}


def test_every_source_is_a_kept_candidate_and_every_candidate_is_accounted_for(service: Service) -> None:
    given = asked(service)
    found = explained(service, given["id"])
    kept = [one for one in found["candidates"] if one["outcome"] == "kept"]
    assert [one["id"] for one in kept] == [source["id"] for source in given["sources"]]
    assert len({one["id"] for one in found["candidates"]}) == len(found["candidates"]) == 3
    assert [one["rank"] for one in found["candidates"]] == [1, 2, 3]
    for one in found["candidates"]:
        shares = [place["share"] for arm, place in one["arms"].items() if arm != "fused"]
        assert one["score"] == pytest.approx(sum(shares), abs=1e-5)
        assert one["arms"]["dense"]["rank"] >= 1
    best = found["candidates"][0]
    assert best["source"]["filename"] == "otters.md"
    assert best["arms"]["bm25"]["rank"] == 1
    assert {"embed", "dense", "bm25", "fuse", "read", "total"} <= set(found["timings_ms"])


def test_it_tells_how_the_answer_ended(service: Service) -> None:
    given = asked(service, filters={"filename": "otters.md"})
    found = explained(service, given["id"])
    same = ("finish_reason", "model", "prompt_version", "cost_usd", "degraded", "collection")
    assert {name: found[name] for name in same} == {name: given[name] for name in same}
    assert found["fallback_reason"] is None
    assert (found["narrowed"], found["rewritten"]) == (True, False)
    assert names(found) == {"otters.md"}
    history = [{"role": "user", "content": "Tell me of otters."}]
    followed = explained(service, asked(service, "And owls?", history=history)["id"])
    assert (followed["narrowed"], followed["rewritten"]) == (False, True)


def test_what_is_kept_holds_no_text(service: Service, tmp_path: Path) -> None:
    """Neither of the question nor of documents, not even their names."""
    given = asked(service, filters={"filename": ["otters.md", "owls.md"]})
    assert explained(service, given["id"])["candidates"]
    service.run(service.grounded.explanations.close())
    with sqlite3.connect(tmp_path / "state" / "catalog.sqlite") as db:
        (row,) = db.execute("SELECT * FROM explanations").fetchall()
    told = " ".join(map(str, row)).casefold()
    assert given["id"] in told
    for word in ("quixotic", "otter", "owl", "river", ".md", "secret"):
        assert word not in told


def test_a_deleted_document_is_an_id_and_nothing_else(service: Service) -> None:
    given = asked(service)
    before = explained(service, given["id"])
    gone = next(one for one in before["candidates"] if one["source"]["filename"] == "owls.md")
    service.run(service.grounded.ingest.remove(gone["source"]["document_id"]))
    after = explained(service, given["id"])
    assert [one["id"] for one in after["candidates"]] == [one["id"] for one in before["candidates"]]
    assert [one["source"] for one in after["candidates"] if one["id"] == gone["id"]] == [None]
    assert "owl" not in json.dumps(after).casefold()
    assert gone["source"]["document_id"] not in json.dumps(after)


def test_what_the_asker_may_not_read_now_is_an_id_and_nothing_else(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = asked(service)
    assert names(explained(service, given["id"])) == set(FILES)
    whole = Library.scope

    async def narrow(self: Library, collection: str) -> Scope:
        return replace(await whole(self, collection), groups=frozenset({"hr"}))

    monkeypatch.setattr(Library, "scope", narrow)
    after = explained(service, given["id"])
    assert names(after) == {"otters.md", "owls.md"}
    assert "board" not in json.dumps(after)
    assert "secret" not in json.dumps(after).casefold()


def test_an_answer_that_nobody_knows(service: Service) -> None:
    for unknown in ("ans_0", "x" * 500, "%00", "..%2f"):
        reply = service.get(f"/v1/answers/{unknown}/explain")
        assert reply.status_code == 404
        assert reply.json()["error"]["code"] in ("answer_not_found", "not_found")
    assert service.get("/v1/answers/ans_0/explain").json()["error"]["code"] == "answer_not_found"


def test_a_search_is_explained_where_it_is_asked_for(service: Service) -> None:
    path, body = "/v1/vector_stores/default/search", {"query": QUESTION, "max_num_results": 1}
    assert "explanation" not in service.request("POST", path, json=body).json()
    filters = {"filename": ["otters.md", "owls.md"]}
    page = service.request("POST", path, json={**body, "filters": filters, "explain": True}).json()
    told = page["explanation"]
    assert (told["query"], told["filters"]) == (QUESTION, filters)
    assert [one["outcome"] for one in told["candidates"]] == ["kept", "top_k"]
    assert told["candidates"][0]["id"] == page["data"][0]["attributes"]["source_id"]


def test_openapi_names_it(service: Service) -> None:
    assert "/v1/answers/{answer_id}/explain" in service.get("/openapi.json").json()["paths"]


def test_every_outcome_is_explained() -> None:
    outcomes = {name for kind in get_args(Outcome) for name in get_args(kind)}
    assert {"kept", "not_read", "near_duplicate", "not_live"} <= outcomes
    assert set(OUTCOMES) == outcomes
    page = (Path(__file__).parents[2] / "data" / "handbook" / "explain.md").read_text()
    assert [name for name in outcomes if f"`{name}`" not in page] == []


class TestKeeping:
    def answers(self, tmp_path: Path, count: int, **settings: Any) -> list[str]:
        """Ask in a product that is closed afterwards; the ids."""

        async def main() -> list[str]:
            async with product(tmp_path, FILES, **settings) as grounded:
                events = [await answer(grounded, QUESTION) for _ in range(count)]
            return [event.answer_id for some in events for event in some if isinstance(event, Started)]

        with fake_embedder(), structlog.testing.capture_logs():
            return asyncio.run(main())

    def known(self, tmp_path: Path, ids: list[str], **settings: Any) -> list[bool]:
        async def main() -> list[bool]:
            async with product(tmp_path, **settings) as grounded:
                return [await grounded.explanations.find(i) is not None for i in ids]

        with fake_embedder(), structlog.testing.capture_logs():
            return asyncio.run(main())

    def test_they_outlive_the_process_and_the_oldest_go_first(self, tmp_path: Path) -> None:
        ids = self.answers(tmp_path, 3, explanations=2)
        assert self.known(tmp_path, ids, explanations=2) == [False, True, True]
        assert self.known(tmp_path, ids, explanations=1) == [False, False, True]

    def test_none_is_kept_where_none_is_wanted(self, tmp_path: Path) -> None:
        assert self.known(tmp_path, self.answers(tmp_path, 1, explanations=0), explanations=0) == [False]

    def test_those_that_are_too_old_go(self, tmp_path: Path) -> None:
        ids = self.answers(tmp_path, 2)
        long_ago = (datetime.now(UTC) - timedelta(days=31)).strftime("%Y-%m-%d %H:%M:%S.%f")
        with sqlite3.connect(tmp_path / "state" / "catalog.sqlite") as db:
            db.execute("UPDATE explanations SET created_at = ? WHERE answer_id = ?", (long_ago, ids[0]))
        assert self.known(tmp_path, ids) == [False, True]

    def test_what_is_read_back_is_what_was_kept(self, tmp_path: Path) -> None:
        async def main() -> tuple[AnswerExplanation | None, AnswerExplanation | None]:
            async with product(tmp_path, FILES) as grounded:
                events = await answer(grounded, QUESTION)
                id_ = next(event.answer_id for event in events if isinstance(event, Started))
                waiting = await grounded.explanations.find(id_)
                await grounded.explanations.close()
                return waiting, await grounded.explanations.find(id_)

        with fake_embedder(), structlog.testing.capture_logs():
            told, kept = asyncio.run(main())
        assert told is not None
        assert kept is not None
        assert [(c.hit.id, c.outcome, c.close) for c in kept.search.candidates] == [
            (c.hit.id, c.outcome, c.close) for c in told.search.candidates
        ]
        for one, other in zip(kept.search.candidates, told.search.candidates, strict=True):
            assert one.score == pytest.approx(other.score)
            assert {a: p.rank for a, p in one.hit.places.items()} == {a: p.rank for a, p in other.hit.places.items()}
        assert kept.search.asked.text == ""
        assert told.search.asked.text == QUESTION

    def test_a_store_that_fails_costs_no_answer(self, tmp_path: Path) -> None:
        class Broken:
            async def keep(self, *_: Any) -> None:
                raise CatalogUnavailable("It is broken.")

            async def find(self, answer_id: str) -> None:
                return None

        async def main() -> list[Any]:
            async with product(tmp_path, FILES) as grounded:
                broken = Explanations(Broken(), 10, 30)
                grounded.pipeline._recount._explanations = broken
                events = await answer(grounded, QUESTION)
                await broken.close()
                assert await broken.find(events[0].answer_id) is None  # type: ignore[union-attr]
                return events

        with fake_embedder(), structlog.testing.capture_logs() as logs:
            events = asyncio.run(main())
        assert isinstance(events[-1], Finished)
        assert [entry["code"] for entry in logs if entry["event"] == "explanations.not_kept"] == ["catalog_unavailable"]


class TestCommands:
    @pytest.fixture
    def run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Any]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("GROUNDED_STATE", str(tmp_path / "state"))
        monkeypatch.setenv("GROUNDED_INGEST__MIN_FREE_MB", "0")
        monkeypatch.setenv("COLUMNS", "160")

        def grounded(*words: str) -> tuple[int, str, str]:
            capfd.readouterr()
            with pytest.raises(SystemExit) as end:
                cli.app(words, prog_name="grounded", standalone_mode=True)
            return int(end.value.code or 0), *capfd.readouterr()

        with fake_embedder():
            assert grounded("ingest", str(write(tmp_path / "docs", FILES)))[0] == 0
            yield grounded
        structlog.reset_defaults()

    def test_a_search_as_a_table_and_whole(self, run: Any) -> None:
        code, table, _ = run("search", QUESTION, "--explain", "--limit", "1")
        assert code == 0
        head, first, *rest = table.splitlines()
        assert head.split() == ["#", "passage", "dense", "bm25", "fused", "rerank", "score", "outcome"]
        assert first.split()[:2] == ["1", "otters.md"]
        assert first.rstrip().endswith("kept")
        assert "enough were kept" in rest[0]
        assert " ms" in rest[-1]
        whole = json.loads(run("search", QUESTION, "--explain", "--json")[1])
        assert {one["outcome"] for one in whole["explanation"]["candidates"]} == {"kept"}

    def test_an_answer_that_was_given_by_another_process(self, run: Any) -> None:
        given = json.loads(run("ask", QUESTION, "--json")[1])
        code, table, _ = run("explain", given["id"])
        assert code == 0
        assert "otters.md" in table
        assert "kept" in table
        whole = json.loads(run("explain", given["id"], "--json")[1])
        assert whole["answer_id"] == given["id"]

    def test_an_answer_that_nobody_knows(self, run: Any) -> None:
        code, out, err = run("explain", "ans_0")
        assert (code, out) == (2, "")
        assert "error[answer_not_found]" in err
