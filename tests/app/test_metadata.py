"""Metadata and filters through the whole product: rules in the settings, what documents say, HTTP and the command line."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.keys.library import Library
from app.state import StateFolder
from app.wiring import Grounded
from generation.events import Finished, SourcesFound
from ingest.model import Parsed, Source
from ingest.run import FileReport
from retrieval.filters import parsed
from retrieval.model import Passage, Query, Scope
from tests.app.serving import Service, answer, assert_refused, fake_embedder, ingest, product, settings_for, write
from tests.app.test_cli import Run, run
from tests.fakes import FakeEmbedder
from tests.ingest.memory import LineReader

pytestmark = pytest.mark.usefixtures("silent")

__all__ = ["run"]  # a fixture

ASKED = "How many days of leave are there?"
FILES: dict[str, str | bytes] = {
    "hr/leave.md": "# Leave\n\nThere are 30 days of leave in a year.\n",
    "hr/old.md": "# Leave of old\n\nThere were 20 days of leave in a year.\n",
    "sales/leave.md": "# Days off\n\nThere are 25 days of leave for sales people.\n",
    "board.md": "# Board\n\nThere are 90 days of leave for the board.\n",
}
RULES: list[dict[str, Any]] = [
    {"glob": "hr/**", "tags": ["Policy"], "author": "Ada; Grace", "language": "en-GB"},
    {"glob": "sales/**", "metadata": {"department": "sales"}},
    {"glob": "board.md", "access": ["board"]},
    {"glob": "**", "url": "https://docs.example.com/{path_without_ext}.html"},
]


def age(path: Path, days: int) -> None:
    when = time.time() - days * 86_400
    os.utime(path, (when, when))


def ruled(rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {"ingest": {"min_free_mb": 0, "metadata": rules}}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("metadata")
    settings = settings_for(folder / "state", **ruled(RULES))
    docs = write(folder / "docs", FILES)
    age(docs / "hr" / "old.md", 100)
    with fake_embedder(), StateFolder(settings.state).owned(), Service(settings) as service:
        reports = service.run(ingest(service.grounded, docs))
        assert {(report.status, report.warnings) for report in reports} == {("added", ())}
        yield service


def sources(service: Service, filters: Any) -> set[str]:
    reply = service.ask(ASKED, filters=filters, top_k=20)
    assert reply.status_code == 200, reply.text
    return {source["filename"] for source in reply.json()["sources"]}


def hits(service: Service, filters: Any) -> set[str]:
    reply = service.request(
        "POST", "/v1/vector_stores/default/search", json={"query": ASKED, "max_num_results": 50, "filters": filters}
    )
    assert reply.status_code == 200, reply.text
    return {hit["filename"] for hit in reply.json()["data"]}


class TestOverHttp:
    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({}, set(FILES)),
            ({"tags": "policy"}, {"hr/leave.md", "hr/old.md"}),
            ({"language": "en"}, {"hr/leave.md", "hr/old.md"}),
            ({"author": "Grace"}, {"hr/leave.md", "hr/old.md"}),
            ({"filename": ["hr/*", "board.md"]}, {"hr/leave.md", "hr/old.md", "board.md"}),
            ({"filename": "*leave.md", "heading": "Leave"}, {"hr/leave.md"}),
            ({"url": "https://docs.example.com/sales/*"}, {"sales/leave.md"}),
            ({"metadata.department": "sales"}, {"sales/leave.md"}),
            ({"type": "gte", "key": "modified_at", "value": "now-90d"}, set(FILES) - {"hr/old.md"}),
            ({"type": "nin", "key": "tags", "value": ["policy"]}, {"sales/leave.md", "board.md"}),
            (
                {
                    "type": "and",
                    "filters": [
                        {"type": "lt", "key": "modified_at", "value": "now-90d"},
                        {"type": "or", "filters": [{"tags": "policy"}, {"title": "Board"}]},
                    ],
                },
                {"hr/old.md"},
            ),
            ({"created_at": "2026"}, set()),
        ],
    )
    def test_filters(self, service: Service, filters: Any, expected: set[str]) -> None:
        assert sources(service, filters) == hits(service, filters) == expected

    def test_no_filters_at_all(self, service: Service) -> None:
        assert hits(service, None) == set(FILES)

    @pytest.mark.parametrize(
        ("filters", "param", "said"),
        [
            ({"tag": "x"}, "filters.tag", "did you mean 'tags'?"),
            ({"access": "board"}, "filters.access", "no field to filter on"),
            ({"type": "gt", "key": "tags", "value": "x"}, "filters", "have an order"),
            ({"modified_at": "soon"}, "filters.modified_at", "no date such as"),
            ({"type": "or", "filters": [{"page": 1}, {"page": "x"}]}, "filters.filters.1.page", "whole number"),
            ([], "filters", "is not an object"),
        ],
    )
    def test_what_cannot_be_understood(self, service: Service, filters: Any, param: str, said: str) -> None:
        error = assert_refused(service.ask(ASKED, filters=filters), 422, "invalid_filter", param)
        assert said in error["message"]
        body = {"query": ASKED, "filters": filters}
        assert_refused(
            service.request("POST", "/v1/vector_stores/default/search", json=body), 422, "invalid_filter", param
        )

    def test_what_is_known_of_a_document_is_shown(self, service: Service) -> None:
        rows = {row["filename"]: row for row in service.get("/v1/documents").json()["data"]}
        assert rows["hr/leave.md"]["metadata"] == {
            "author": "Ada; Grace",
            "language": "en-GB",
            "tags": ["Policy"],
            "url": "https://docs.example.com/hr/leave.html",
        }
        assert rows["sales/leave.md"]["metadata"]["department"] == "sales"
        assert {name: row["access"] for name, row in rows.items() if row["access"]} == {"board.md": ["board"]}
        one = service.get(f"/v1/documents/{rows['board.md']['id']}").json()
        assert one == rows["board.md"]

    def test_sources_carry_it_too(self, service: Service) -> None:
        for source in service.ask(ASKED).json()["sources"]:
            assert source["metadata"]["url"].startswith("https://docs.example.com/")
            assert source["url"].startswith("http://localhost/sources/")  # ours, and not the document's own
            assert source["modified_at"].endswith("Z")
            assert service.get(f"/v1/sources/{source['id']}").json()["metadata"] == source["metadata"]

    def test_attributes_of_a_search_are_flat_and_not_too_many(self, service: Service) -> None:
        found = service.request("POST", "/v1/vector_stores/default/search", json={"query": ASKED}).json()["data"]
        for hit in found:
            assert len(hit["attributes"]) <= 16
            assert all(isinstance(value, str | int | float) for value in hit["attributes"].values())
            assert hit["attributes"]["url"].startswith("https://docs.example.com/")

    def test_the_schema_says_what_a_filter_may_be(self, service: Service) -> None:
        schema = service.get("/openapi.json").json()
        body = schema["paths"]["/v1/ask"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert "anyOf" in body["properties"]["filters"]


class Bench:
    """The product opened again and again over one folder, each time with other rules."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.docs = write(tmp_path / "docs", FILES)
        self.embedder = FakeEmbedder()

    def run(self, rules: list[dict[str, Any]], work: Callable[[Grounded], Coroutine[Any, Any, Any]]) -> Any:
        async def main() -> Any:
            async with product(self.tmp_path, reader=LineReader(), **ruled(rules)) as grounded:
                return await work(grounded)

        with fake_embedder(self.embedder):
            return asyncio.run(main())

    def ingest(self, rules: list[dict[str, Any]]) -> dict[str, FileReport]:
        reports = self.run(rules, lambda grounded: ingest(grounded, self.docs))
        return {report.path: report for report in reports}

    def passages(
        self, rules: list[dict[str, Any]], groups: frozenset[str] | None = None, **filters: Any
    ) -> list[Passage]:
        async def find(grounded: Grounded) -> list[Passage]:
            scope = await grounded.pipeline.scope("default")
            query = Query(ASKED, replace(scope, groups=groups), parsed(filters, datetime.now(UTC)), 50)
            return list((await grounded.search.search(query)).passages)

        found: list[Passage] = self.run(rules, find)
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def names(passages: list[Passage]) -> set[str]:
    return {passage.name for passage in passages}


def test_a_changed_rule_updates_its_files_alone_and_embeds_nothing(bench: Bench) -> None:
    bench.ingest(RULES)
    before = {passage.id: passage for passage in bench.passages(RULES)}
    embedded = len(bench.embedder.embedded)
    rules = [{**RULES[0], "tags": ["handbook"]}, *RULES[1:]]
    assert {name: r.status for name, r in bench.ingest(rules).items()} == {
        "hr/leave.md": "updated",
        "hr/old.md": "updated",
        "sales/leave.md": "unchanged",
        "board.md": "unchanged",
    }
    assert len(bench.embedder.embedded) == embedded
    after = {passage.id: passage for passage in bench.passages(rules)}
    assert after.keys() == before.keys()  # links to passages stay valid
    assert names(bench.passages(rules, tags="handbook")) == {"hr/leave.md", "hr/old.md"}
    assert bench.passages(rules, tags="policy") == []
    assert {p.metadata.tags for p in after.values() if p.name.startswith("hr/")} == {("handbook",)}
    assert {r.status for r in bench.ingest(rules).values()} == {"unchanged"}


def test_a_touch_is_no_update(bench: Bench) -> None:
    age(bench.docs / "hr" / "old.md", 100)
    bench.ingest([])
    then = next(p.modified_at for p in bench.passages([]) if p.name == "hr/old.md")
    assert timedelta(days=99) < datetime.now(UTC) - then < timedelta(days=101)
    os.utime(bench.docs / "hr" / "old.md")
    assert {r.status for r in bench.ingest([]).values()} == {"unchanged"}
    assert {p.modified_at for p in bench.passages([]) if p.name == "hr/old.md"} == {then}
    (bench.docs / "hr" / "old.md").write_text("There were 21 days of leave.\n")
    assert bench.ingest([])["hr/old.md"].status == "updated"
    new = next(p.modified_at for p in bench.passages([]) if p.name == "hr/old.md")
    assert datetime.now(UTC) - new < timedelta(days=1)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (None, set(FILES)),
        (frozenset(), set(FILES) - {"board.md"}),
        (frozenset({"hr"}), set(FILES) - {"board.md"}),
        (frozenset({"hr", "board"}), set(FILES)),
    ],
)
def test_documents_are_found_by_their_groups_alone(
    bench: Bench, groups: frozenset[str] | None, expected: set[str]
) -> None:
    bench.ingest(RULES)
    assert names(bench.passages(RULES, groups)) == expected
    assert names(bench.passages(RULES, groups, filename="board.md")) == expected & {"board.md"}


def test_what_the_index_lets_through_the_catalog_still_keeps_back(bench: Bench) -> None:
    bench.ingest(RULES)

    async def open_the_index(grounded: Grounded) -> int:
        collection = (await grounded.catalog.collections())["default"]
        rows = await grounded.catalog.documents(collection, 9)
        board = next(row for row in rows if row.name == "board.md")
        ids = await grounded.catalog.live_ids(board.id)
        payload = {"collection_id": collection, "document_id": board.id, "access": ["*"], "filename": board.name}
        return await grounded.points.describe(dict.fromkeys(ids, payload))

    assert bench.run(RULES, open_the_index) > 0
    assert "board.md" in names(bench.passages(RULES))
    assert "board.md" not in names(bench.passages(RULES, frozenset({"hr"})))


def test_one_who_may_read_nothing_is_told_that_nothing_was_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [{"glob": "**", "access": ["board"]}]
    bench.ingest(rules)
    whole = Library.scope

    async def as_stranger(self: Library, collection: str) -> Scope:
        return replace(await whole(self, collection), groups=frozenset())

    monkeypatch.setattr(Library, "scope", as_stranger)
    events = bench.run(rules, lambda grounded: answer(grounded, ASKED))
    assert [e.passages for e in events if isinstance(e, SourcesFound)] == [()]
    end = events[-1]
    assert isinstance(end, Finished)
    assert end.abstention is not None
    assert end.abstention.reason == "collection_empty"  # not that there is something for others


class Talkative(LineReader):
    """Documents that say of themselves what their first line names."""

    async def read(self, source: Source, data: bytes) -> Parsed:
        parsed = await super().read(source, data)
        return replace(
            parsed, metadata={"created": "yesterday", "modified": "2020-05-06", "access": "all", "note": "x"}
        )


def test_a_bad_date_does_not_lose_the_document_and_is_told(bench: Bench) -> None:
    async def main() -> None:
        async with product(bench.tmp_path, reader=Talkative(), **ruled(RULES)) as grounded:
            reports = {report.path: report for report in await ingest(grounded, bench.docs)}
            assert {report.status for report in reports.values()} == {"added"}
            assert len(reports["hr/leave.md"].warnings) == 2
            assert "created" in reports["hr/leave.md"].warnings[1]
            rows = await grounded.catalog.documents((await grounded.catalog.collections())["default"], 9)
            assert {row.modified_at for row in rows} == {datetime(2020, 5, 6, tzinfo=UTC)}
            assert {row.metadata.created_at for row in rows} == {None}
            assert {row.metadata.extra["note"] for row in rows} == {"x"}
            assert {row.name: row.metadata.access for row in rows}["hr/leave.md"] == ()

    with fake_embedder(bench.embedder):
        asyncio.run(main())


TOML = """
[ingest]
min_free_mb = 0

[[ingest.metadata]]
glob = "hr/**"
tags = ["policy"]

[[ingest.metadata]]
glob = "*.md"
url = "https://docs.example.com/{path}"
"""


class TestOnTheCommandLine:
    @pytest.fixture
    def ingested(self, run: Run, tmp_path: Path) -> Path:
        (tmp_path / "grounded.toml").write_text(TOML)
        docs = write(tmp_path / "docs", FILES)
        age(docs / "hr" / "old.md", 100)
        assert run("ingest", str(docs)).code == 0
        return docs

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (["tags=policy"], {"hr/leave.md", "hr/old.md"}),
            (["tags!=policy"], {"sales/leave.md", "board.md"}),
            (["tags=policy", "modified_at>=now-90d"], {"hr/leave.md"}),
            (["modified_at<now-90d"], {"hr/old.md"}),
            (["filename=board.md", "filename=sales/*"], {"board.md", "sales/leave.md"}),
            (["filename=hr/*", "title = Leave"], set()),
            (["title=Leave"], {"hr/leave.md"}),
            (["page>1"], set()),
            (['{"type": "or", "filters": [{"title": "Board"}, {"filename": "*old.md"}]}'], {"board.md", "hr/old.md"}),
            (['{"filename": "hr/*"}', "modified_at<=now-1d"], {"hr/old.md"}),
        ],
    )
    def test_search_and_ask(self, run: Run, ingested: Path, options: list[str], expected: set[str]) -> None:
        flags = [word for option in options for word in ("--filter", option)]
        found = run("search", ASKED, "--json", *flags)
        assert found.code == 0, found.err
        assert {hit["filename"] for hit in found.json["data"]} == expected
        told = run("ask", ASKED, "--json", *flags)
        assert told.code == 0, told.err
        assert {source["filename"] for source in told.json["sources"]} == expected

    @pytest.mark.parametrize("option", ["policy", "=x", "tag=x", "modified_at=soon", "{", '{"type": "eq"}', "[]"])
    def test_a_filter_that_is_none(self, run: Run, ingested: Path, option: str) -> None:
        for command in ("ask", "search"):
            ran = run(command, ASKED, "--filter", option)
            ran.says("invalid_filter")
            assert (ran.code, ran.out) == (2, "")

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ('access = ["every one"]', "label"),
            ('acess = ["hr"]', "acess"),
            ('language = "English"', "language"),
            ('url = "https://a.b/{pth}"', "{pth}"),
            ('url = "ftp://a.b/"', "http"),
        ],
    )
    def test_a_rule_that_is_wrong_stops_everything(self, run: Run, tmp_path: Path, line: str, said: str) -> None:
        (tmp_path / "grounded.toml").write_text(f'[[ingest.metadata]]\nglob = "hr/**"\n{line}\n')
        ran = run("ingest", str(write(tmp_path / "docs", FILES)))
        ran.says("configuration_error")
        assert said in ran.err
        assert ran.code == 2

    def test_what_was_left_out_is_told(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "grounded.toml").write_text(TOML)
        deep = "/".join(["ä" * 80] * 5)  # six characters for each in an address
        docs = write(tmp_path / "docs", {**FILES, f"{deep}/a.md": "# A\n\nThere are no days of leave.\n"})
        rows = [json.loads(line) for line in run("ingest", str(docs), "--jsonl").out.splitlines()]
        warnings = {row["path"]: row["warnings"] for row in rows[:-1]}
        assert [len(warnings.pop(path)) for path in list(warnings) if path.startswith("ä")] == [1]
        assert set(map(tuple, warnings.values())) == {()}
        said = run("ingest", str(docs), "--force").err
        assert said.count("warning: ") == 1
        assert f"{deep}/a.md: url is no address" in said
        assert "warning: " not in run("ingest", str(docs), "--force", "--quiet").err

    def test_front_matter_is_metadata_and_what_is_wrong_in_it_is_told(self, run: Run, tmp_path: Path) -> None:
        matter = (
            "title: Days\nauthor: [Ada, Grace]\ndate: 2026-01-31\nupdated: last week\nlang: en_GB\ntags: [Policy]\n"
        )
        docs = write(tmp_path / "docs", {**FILES, "off.md": f"---\n{matter}---\nThere are 7 days of leave.\n"})
        ran = run("ingest", str(docs))
        assert ran.err.count("warning: ") == 1
        assert "warning: off.md: modified is no date" in ran.err
        options = (
            "author=Grace",
            "created_at=2026-01",
            "language=en",
            "tags=policy",
            "title=Days",
            "modified_at>=now-1d",
        )
        found = run("search", ASKED, "--json", *(word for option in options for word in ("--filter", option)))
        assert {hit["filename"] for hit in found.json["data"]} == {"off.md"}

    def test_config_shows_the_rules(self, run: Run, ingested: Path) -> None:
        rows = {row["name"]: row for row in run("config", "show", "--json").json["settings"]}
        assert "policy" in rows["ingest.metadata"]["value"]
        assert rows["ingest.metadata"]["source"] == "grounded.toml"
