"""Answers that are given again: the same to the reader, free of cost, and only where nothing has changed."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
import structlog

from app.adapters.sql_answer_cache import SqlAnswerCache
from app.cache import key
from app.cache.key import address, of_settings
from app.keys.model import LOCAL
from app.pipeline import Question
from app.settings import Settings
from generation.events import Started
from generation.model import ResponseFormat, Usage
from ingest.errors import CatalogUnavailable
from retrieval.filters import OneOf
from retrieval.model import Scope
from tests.app.caching import FALLEN, FILES, QUESTION, Model, cached, content_of, end_of, text_of
from tests.app.serving import Service, answer, assert_refused, events_of, fake_embedder, ingest, product, served, write
from tests.ingest.memory import LineReader
from tests.scripted_upstream import DONE, HEAD, chunk, data, reply

pytestmark = pytest.mark.usefixtures("silent")
SEMANTIC = {"mode": "semantic", "similarity": 0.5}


@pytest.fixture(autouse=True)
def _fake() -> Iterator[None]:
    with fake_embedder():
        yield


class TestAgain:
    def test_the_same_events_under_new_ids_for_nothing(self, tmp_path: Path) -> None:
        async def main() -> None:
            model = Model()
            async with cached(tmp_path, model) as grounded:
                first = await answer(grounded, QUESTION, request_id="req_1")
                again = await answer(grounded, "  How are   refunds paid? ", request_id="req_2")
                assert model.calls == 1
                assert content_of(again) == content_of(first)
                assert text_of(first) == "Refunds are paid by card."
                one, two = end_of(first), end_of(again)
                assert (one.cache, two.cache) == ("miss", "exact")
                assert one.usage.total_tokens
                assert (two.usage, sum(two.cost_nano_usd.values())) == (Usage(), 0)
                same = ("finish_reason", "model", "tier", "prompt_version", "verification", "confidence", "degraded")
                assert [getattr(one, name) for name in same] == [getattr(two, name) for name in same]
                started = [events[0] for events in (first, again)]
                assert all(isinstance(event, Started) for event in started)
                assert started[0].answer_id != started[1].answer_id == two.answer_id  # type: ignore[union-attr]
                assert started[1].request_id == "req_2"  # type: ignore[union-attr]

        asyncio.run(main())

    def test_it_outlives_the_service(self, tmp_path: Path) -> None:
        async def main() -> None:
            for cache in ("miss", "exact"):
                cache_on = {"mode": "exact", "timeout_s": 20}
                async with product(tmp_path, FILES, LineReader(), cache=cache_on) as grounded:
                    assert end_of(await answer(grounded, "How many legs has a cat?")).cache == cache

        asyncio.run(main())

    def test_another_endpoint_is_another_answer(self, tmp_path: Path) -> None:
        async def main() -> None:
            for calls in (1, 2):  # each model listens elsewhere
                model = Model()
                async with cached(tmp_path, model) as grounded:
                    assert end_of(await answer(grounded, QUESTION)).cache == "miss", calls

        asyncio.run(main())

    def test_tokens_and_sentences_share_an_answer(self, tmp_path: Path) -> None:
        async def main() -> None:
            model = Model()
            async with cached(tmp_path, model) as grounded:
                first = await answer(grounded, QUESTION, release="token")
                again = await answer(grounded, QUESTION, release="sentence")
                assert (model.calls, end_of(again).cache) == (1, "exact")
                assert text_of(again) == text_of(first)

        asyncio.run(main())

    def test_why_it_got_its_sources_can_be_asked_and_the_log_tells(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with cached(tmp_path, Model()) as grounded:
                with structlog.testing.capture_logs() as log:
                    await answer(grounded, QUESTION)
                    again = end_of(await answer(grounded, QUESTION))
                assert [line["cache"] for line in log if line["event"] == "ask.completed"] == ["miss", "exact"]
                found = await grounded.explanations.find(again.answer_id)
                assert found is not None
                assert found.cache == "exact"
                assert {candidate.outcome for candidate in found.search.candidates} == {"kept"}

        asyncio.run(main())


class TestNot:
    """What is never given again, and who never gets it."""

    @pytest.mark.parametrize(
        "more",
        [
            {"cache": "bypass"},
            {"history": (("user", "Hello."), ("assistant", "Hello."))},
            {"top_k": 3},
            {"max_tokens": 99},
            {"tier": "default"},
            {"filters": OneOf("filename", ("refunds.txt",))},
            {"response_format": ResponseFormat()},
        ],
        ids=str,
    )
    def test_another_way_to_ask(self, tmp_path: Path, more: dict[str, Any]) -> None:
        async def main() -> None:
            model = Model(said=SAID_OR_DATA[bool(more.get("response_format"))])
            async with cached(tmp_path, model) as grounded:
                model.said = SAID_OR_DATA[False]
                await answer(grounded, QUESTION)
                before = model.calls
                model.said = SAID_OR_DATA["response_format" in more]
                assert end_of(await answer(grounded, QUESTION, **more)).cache == "miss"
                assert model.calls > before

        asyncio.run(main())

    def test_what_was_asked_around_it_is_not_kept_either(self, tmp_path: Path) -> None:
        async def main() -> None:
            model = Model()
            async with cached(tmp_path, model) as grounded:
                await answer(grounded, QUESTION, cache="bypass")
                await answer(grounded, QUESTION)
                assert model.calls == 2

        asyncio.run(main())

    @pytest.mark.parametrize("name", ["cut", "length", "none", "unsupported", "error"])
    def test_an_answer_that_is_not_whole(self, tmp_path: Path, name: str) -> None:
        script = {
            "cut": [HEAD, chunk("Refunds are paid by card [1]. And ")],
            "length": reply("Refunds are paid by card [1].", finish="length"),
            "none": reply("NOT_IN_SOURCES"),
            "unsupported": reply("Refunds are paid in gold bars to pirates on Mars [1]."),
            "error": [HEAD, chunk("Refunds are"), data({"error": {"message": "no"}}), DONE],
        }[name]

        async def main() -> None:
            model = Model(scripts=[script])
            async with cached(tmp_path, model) as grounded:
                first = end_of(await answer(grounded, QUESTION))
                again = end_of(await answer(grounded, QUESTION))
                assert (first.cache, again.cache) == ("miss", "miss")
                assert model.calls == 2
                assert again.finish_reason == "stop"
                assert end_of(await answer(grounded, QUESTION)).cache == "exact"

        asyncio.run(main())

    def test_a_degraded_answer(self, tmp_path: Path) -> None:
        async def main() -> None:
            model = Model(scripts=[FALLEN])
            async with cached(tmp_path, model, generation={"fallback": "extractive"}) as grounded:
                first = end_of(await answer(grounded, QUESTION))
                assert (first.finish_reason, first.degraded) == ("stop", ("generator",))
                assert end_of(await answer(grounded, QUESTION)).cache == "miss"

        asyncio.run(main())

    @pytest.mark.parametrize("how", ["changed", "new", "deleted"])
    def test_an_answer_from_before_a_change(self, tmp_path: Path, how: str) -> None:
        async def main() -> None:
            model = Model()
            async with cached(tmp_path, model) as grounded:
                await answer(grounded, QUESTION)
                docs = tmp_path / "docs"
                if how == "deleted":
                    (docs / "cats.txt").unlink()
                else:
                    name = "refunds.txt" if how == "changed" else "dogs.txt"
                    write(docs, {name: "Refunds are paid by cheque. Refunds take 20 days."})
                await ingest(grounded, docs)
                model.said = "Refunds are paid by cheque [1]."
                assert end_of(await answer(grounded, QUESTION)).cache == "miss"
                assert model.calls == 2

        asyncio.run(main())

    def test_a_question_that_changes_only_in_one_thing(self, tmp_path: Path) -> None:
        async def main() -> None:
            model = Model()
            async with cached(tmp_path, model, cache=SEMANTIC) as grounded:
                await answer(grounded, QUESTION)
                for other in ("How are refunds not paid?", "When are refunds paid?", "How are parcels paid?"):
                    assert end_of(await answer(grounded, other)).cache == "miss", other
                again = end_of(await answer(grounded, "Could you please tell me how refunds are paid?"))
                assert again.cache == "semantic"
                assert model.calls == 4

        asyncio.run(main())


SAID_OR_DATA = {False: "Refunds are paid by card [1].", True: '{"answer": "Refunds are paid by card."}'}


class TestFailing:
    @pytest.mark.parametrize("method", ["look", "keep"])
    @pytest.mark.parametrize("how", ["fails", "hangs"])
    def test_the_answer_goes_on_and_says_so(self, tmp_path: Path, method: str, how: str) -> None:
        async def broken(*_: Any) -> Any:
            if how == "hangs":
                await asyncio.sleep(60)
            raise CatalogUnavailable("It is gone.")

        async def main() -> None:
            model = Model()
            async with cached(tmp_path, model, cache={"timeout_s": 0.3 if how == "hangs" else 20}) as grounded:
                with patch.object(SqlAnswerCache, method, broken):
                    end = end_of(await answer(grounded, QUESTION))
                assert (end.finish_reason, end.cache, end.degraded) == ("stop", "miss", ("cache",))
                end = end_of(await answer(grounded, QUESTION))
                assert end.cache == "miss"  # an answer that lacked something was not kept

        asyncio.run(main())

    def test_off_nothing_is_kept(self, tmp_path: Path) -> None:
        async def main() -> None:
            model = Model()
            async with cached(tmp_path, model, cache={"mode": "off"}) as grounded:
                assert grounded.cache is None
                await answer(grounded, QUESTION)
                assert end_of(await answer(grounded, QUESTION)).cache == "miss"
                assert model.calls == 2

        asyncio.run(main())


class TestKey:
    """Every field of a question and every setting is part of the key, or stands in a list with those that change nothing."""

    SCOPE = Scope("c", "default", None)
    OTHERS: ClassVar[dict[str, Any]] = {
        "collection": "other",
        "filters": OneOf("filename", ("x",)),
        "top_k": 9,
        "history": (("user", "x"),),
        "max_tokens": 5,
        "tier": "x",
        "response_format": ResponseFormat({"type": "object"}),
    }

    def test_every_field_of_a_question_is_told_apart(self) -> None:
        base = Question("Why?")
        named = {f.name for f in fields(Question)}
        assert named == set(self.OTHERS) | key.NOT_OF_QUESTION, "classify the new field: here, or in NOT_OF_QUESTION"
        assert {"text", "release", "request_id", "cache", "principal"} == key.NOT_OF_QUESTION
        for name, value in self.OTHERS.items():
            other = replace(base, **{name: value})
            assert address(other, self.SCOPE, "m").space != address(base, self.SCOPE, "m").space, name

    def test_every_field_of_a_scope_is_told_apart(self) -> None:
        base = address(Question("Why?"), self.SCOPE, "m").space
        others = {"collection_id": "d", "collection": "e", "groups": frozenset(("a",)), "tenant": "t"}
        for f in fields(Scope):
            scope = replace(self.SCOPE, **{f.name: others[f.name]})
            assert address(Question("Why?"), scope, "m").space != base, f.name
        groups = [None, frozenset[str](), frozenset(("a",)), frozenset(("b",)), frozenset(("a", "b"))]
        spaces = {address(Question("Why?"), replace(self.SCOPE, groups=one), "m").space for one in groups}
        assert len(spaces) == len(groups)

    def test_keys_of_the_same_rights_share_and_tenants_do_not(self) -> None:
        def space(**more: Any) -> str:
            who = replace(LOCAL, **more)
            scope = replace(self.SCOPE, groups=who.groups)
            return address(Question("Why?", principal=who), scope, "m").space

        assert space(key_id="key_1") == space(key_id="key_2")
        assert space(tenant="a") != space(tenant="b")
        assert space(groups=frozenset(("a",))) != space(groups=frozenset(("b",))) != space()

    def test_what_answers_and_the_revision_are_told_apart(self) -> None:
        at = address(Question("Why?"), self.SCOPE, "m")
        assert at.space != address(Question("Why?"), self.SCOPE, "n").space
        assert at.key(1) != at.key(2) != at.at(2)
        assert address(Question("Who?"), self.SCOPE, "m").key(1) != at.key(1)

    def test_every_setting_counts_but_those_that_are_listed(self) -> None:
        """A setting that is new is part of the key without anybody's doing; this holds the exceptions to the reviewed ones."""
        settings = Settings()
        listed = key.NOT_OF_SETTINGS
        assert listed <= set(Settings.model_fields), "a listed setting is gone"
        assert listed == {
            *("state", "database_url", "redis_url", "uploads"),
            *("host", "port", "public_url", "allowed_hosts", "release", "citation_style", "ask_get"),
            *("max_question_chars", "max_body_kb", "max_upload_mb", "jobs_keep_days", "explanations"),
            *("explanations_keep_days", "max_running", "max_waiting", "ping_s", "stalled_s", "drain_s", "log_format"),
            *("log_level", "log_content", "cache", "batch", "webhooks", "reindex", "ingest"),
        }
        base = of_settings(settings)
        for name in Settings.model_fields:
            other = settings.model_copy(update={name: "other"})
            with _quiet():
                assert (of_settings(other) == base) == (name in listed), name

    def test_a_field_inside_a_section_counts(self) -> None:
        settings = Settings()
        base = of_settings(settings)
        for section in set(Settings.model_fields) - key.NOT_OF_SETTINGS:
            value = getattr(settings, section)
            for name in getattr(type(value), "model_fields", {}):
                changed = value.model_copy(update={name: "other"})
                with _quiet():
                    if "Secret" not in repr(type(getattr(value, name))):
                        assert of_settings(settings.model_copy(update={section: changed})) != base, (section, name)


@contextmanager
def _quiet() -> Iterator[None]:
    """A setting of another type is no setting; only the digest is looked at."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class TestWire:
    @pytest.fixture
    def service(self, tmp_path: Path) -> Iterator[Service]:
        with served(tmp_path, FILES, cache={"mode": "exact", "timeout_s": 20}) as service:
            yield service

    def test_it_says_where_it_came_from_and_is_asked_around(self, service: Service) -> None:
        question = "How many legs has a cat?"
        first = service.ask(question).json()
        assert (first["cache"], first["finish_reason"]) == ("miss", "stop")
        again = service.ask(question).json()
        assert again["cache"] == "exact"
        assert {name: again[name] for name in ("answer", "sources", "claims")} == {
            name: first[name] for name in ("answer", "sources", "claims")
        }
        assert service.ask(question, cache="bypass").json()["cache"] == "miss"
        for header in ("no-cache", "max-age=0, No-Store"):
            fresh = service.request("GET", "/ask", params={"question": question}, headers={"cache-control": header})
            assert fresh.json()["cache"] == "miss", header
        assert service.get("/ask", params={"question": question}).json()["cache"] == "exact"
        assert_refused(service.ask(question, cache="never"), 422, "validation_failed", "cache")
        done = events_of(service.ask(question, stream=True).content)[-1]
        assert (done["type"], done["cache"], done["cost_usd"]) == ("done", "exact", 0.0)
