"""A question's way through real catalog, engine, fusion and generator; only the embedder is a fake."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.admission import Admission
from app.errors import CollectionNotFound, Overloaded, ShuttingDown
from app.followups import FollowUps
from app.pipeline import AnswerPipeline, Packing, Question
from app.recount import Recount
from app.routing import Helpers, Router
from app.wiring import Grounded
from generation.errors import UpstreamTimeout, UpstreamTruncated, UpstreamUnavailable
from generation.events import (
    AnswerEvent,
    ClaimJudged,
    Failed,
    Finished,
    Progress,
    Release,
    SourcesFound,
    Started,
    TextAdded,
)
from generation.model import Ask, Draft, DraftEnd, DraftSentence, DraftText, Usage
from ingest.errors import CatalogUnavailable
from retrieval.errors import EmbedderUnavailable, IndexUnavailable, RerankerUnavailable
from retrieval.filters import EVERYTHING, Not, OneOf
from retrieval.search import SearchLimits
from tests.app.serving import answer, fake_embedder, ingest, product, write
from tests.fakes import FakeEmbedder, ScriptedGenerator
from tests.ingest.memory import LineReader
from tests.patience import PATIENCE_S

FILES = {
    "refunds.txt": "We are fair 👩‍💻. Refunds are issued within 14 days. Late refunds take 30 days.",
    "cats.txt": "Cats sleep most of the day. A cat has four legs.",
}
ASKED = "When are refunds issued?"
OTHER = "Which enzyme unwinds DNA during replication?"


class Bench:
    """One product for the whole module, since opening one waits for the disk. A test puts back what it changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.embedder = FakeEmbedder()
        self._runner = asyncio.Runner()
        self._product = product(folder, FILES, LineReader())
        with fake_embedder(self.embedder):
            self._grounded = self._runner.run(self._product.__aenter__())

    def run(self, use: Callable[[Grounded], Coroutine[Any, Any, None]]) -> None:
        self._runner.run(use(self._grounded))

    def close(self) -> None:
        self._runner.run(self._product.__aexit__(None, None, None))
        self._runner.close()


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("product"))
    yield bench
    bench.close()


@pytest.fixture
def bench(shared_bench: Bench) -> Iterator[Bench]:
    with structlog.testing.capture_logs():
        yield shared_bench


def piped(
    grounded: Grounded,
    generator: Any,
    admission: Admission | None = None,
    follow_ups: FollowUps | None = None,
    **more: Any,
) -> AnswerPipeline:
    """The product's pipeline with another generator."""
    helpers = Helpers(by_rule=follow_ups or FollowUps())
    return AnswerPipeline(
        grounded.catalog,
        grounded.search,
        Router(generator, helpers=helpers),
        admission or Admission(8, 64),
        Packing(2048, 4, 0.9),
        **more,
    )


async def events_of(pipeline: AnswerPipeline, question: Question) -> list[AnswerEvent]:
    async with aclosing(pipeline.ask(question)) as events:
        return [event async for event in events]


def assert_in_order(events: Sequence[AnswerEvent]) -> Finished:
    """Check the order that every wire relies on; the end."""
    kinds = [type(event) for event in events]
    assert kinds[0] is Started
    assert kinds.count(Started) == kinds.count(Finished) == 1
    end = events[-1]
    assert isinstance(end, Finished)
    assert kinds.count(Failed) <= 1
    assert Failed not in kinds or kinds[-2] is Failed
    assert kinds.count(SourcesFound) <= 1
    spoken = [i for i, kind in enumerate(kinds) if kind in (TextAdded, ClaimJudged)]
    if spoken:
        assert kinds.index(SourcesFound) < spoken[0]
    claims = [event.claim for event in events if isinstance(event, ClaimJudged)]
    assert [claim.index for claim in claims] == list(range(len(claims)))
    text = "".join(event.text for event in events if isinstance(event, TextAdded))
    assert all(text[claim.start : claim.end] == claim.text for claim in claims)
    assert events[0].answer_id == end.answer_id  # type: ignore[union-attr]
    assert {"queue", "total"} <= set(end.timings_ms)
    assert all(ms >= 0 for ms in end.timings_ms.values())
    return end


def test_an_answer_quotes_its_document_byte_for_byte(bench: Bench) -> None:
    async def use(grounded: Grounded) -> None:
        events = await answer(grounded, ASKED, request_id="req_1")
        end = assert_in_order(events)
        assert [type(e) for e in events[:4]] == [Started, Progress, SourcesFound, Progress]
        assert end.finish_reason == "stop"
        assert end.degraded == ()
        assert end.abstention is None
        assert end.confidence is not None
        assert end.confidence > 0.5
        assert {"embed", "retrieve", "rerank", "pack", "ttft", "generate"} <= set(end.timings_ms)
        assert isinstance(events[0], Started)
        assert (events[0].request_id, events[0].collection) == ("req_1", "default")
        claims = [e.claim for e in events if isinstance(e, ClaimJudged)]
        assert claims[0].text == "Refunds are issued within 14 days."
        found = next(e for e in events if isinstance(e, SourcesFound))
        sources = {passage.id: passage for passage in found.passages}
        assert len(sources) == len(found.passages)
        for claim in claims:
            assert claim.status == "supported"
            assert claim.citations
            for citation in claim.citations:
                text = await grounded.catalog.text(sources[citation.source].document_id)
                assert text is not None
                assert text[citation.start : citation.end] == citation.cited_text
                assert claim.text == citation.cited_text

    bench.run(use)


def test_the_same_question_gets_the_same_answer(bench: Bench) -> None:
    async def use(grounded: Grounded) -> None:
        first, second = await answer(grounded, ASKED), await answer(grounded, ASKED)
        assert [e for e in first if isinstance(e, ClaimJudged)] == [e for e in second if isinstance(e, ClaimJudged)]

    bench.run(use)


def test_what_nobody_wrote_is_declined_with_the_nearest(bench: Bench) -> None:
    async def use(grounded: Grounded) -> None:
        events = await answer(grounded, OTHER)
        end = assert_in_order(events)
        assert end.finish_reason == "abstained"
        assert end.abstention is not None
        assert end.abstention.reason == "no_supported_sentence"
        assert 1 <= len(end.abstention.nearest) <= 3
        assert not any(isinstance(event, ClaimJudged) for event in events)
        assert "".join(e.text for e in events if isinstance(e, TextAdded)) == end.abstention.message

    bench.run(use)


def test_an_empty_collection_says_that_it_is_empty(bench: Bench) -> None:
    async def use(grounded: Grounded) -> None:
        await grounded.catalog.collection("empty", create=True)
        events = await answer(grounded, ASKED, collection="empty")
        end = assert_in_order(events)
        assert end.finish_reason == "no_context"
        assert end.abstention is not None
        assert end.abstention.reason == "collection_empty"
        assert end.abstention.nearest == ()
        assert next(e for e in events if isinstance(e, SourcesFound)).passages == ()

    bench.run(use)


def test_filters_that_leave_nothing_are_told_apart_from_an_empty_collection(bench: Bench) -> None:
    async def use(grounded: Grounded) -> None:
        end = assert_in_order(await answer(grounded, ASKED, filters=OneOf("filename", ("nowhere.txt",))))
        assert end.abstention is not None
        assert (end.finish_reason, end.abstention.reason) == ("no_context", "nothing_retrieved")

    bench.run(use)


def test_a_generator_that_declines_names_its_reason_and_its_nearest(bench: Bench) -> None:
    async def use(grounded: Grounded) -> None:
        generator = ScriptedGenerator(DraftEnd(abstained="not_in_passages", usage=Usage(7, 3)))
        end = assert_in_order(await events_of(piped(grounded, generator), Question(ASKED)))
        assert end.abstention is not None
        assert (end.finish_reason, end.abstention.reason) == ("abstained", "not_in_passages")
        assert end.abstention.nearest
        assert end.usage.total_tokens == 10
        assert (end.model, end.prompt_version) == ("scripted", "test-1")

    bench.run(use)


SENTENCE: list[Draft] = [
    DraftText("Refunds are issued within 14 days."),
    DraftSentence("Refunds are issued within 14 days.", (1,)),
]
BROKEN: dict[str, tuple[list[Draft | Exception], str]] = {
    "before a word": ([UpstreamUnavailable("Refused.")], "upstream_unavailable"),
    "within a sentence": ([DraftText("Refunds are"), UpstreamTimeout("Silence.")], "upstream_timeout"),
    "after a sentence": ([*SENTENCE, UpstreamTruncated("Cut.")], "upstream_truncated"),
    "without an end": ([*SENTENCE], "upstream_truncated"),
    "of a bug": ([*SENTENCE, KeyError("secret")], "internal_error"),
}


@pytest.mark.parametrize("release", ["sentence", "token"])
@pytest.mark.parametrize("how", BROKEN)
def test_a_generator_that_breaks_ends_in_an_error_and_an_end(bench: Bench, how: str, release: Release) -> None:
    async def use(grounded: Grounded) -> None:
        script, code = BROKEN[how]
        generator = ScriptedGenerator(*script)
        events = await events_of(piped(grounded, generator), Question(ASKED, release=release))
        end = assert_in_order(events)
        assert end.finish_reason == "error"
        failed = events[-2]
        assert isinstance(failed, Failed)
        assert failed.error.code == code
        assert "secret" not in failed.error.message
        assert failed.error.next_step
        assert generator.open == 0

    bench.run(use)


def test_an_unknown_collection_is_refused_before_the_start(bench: Bench) -> None:
    async def use(grounded: Grounded) -> None:
        pipeline = piped(grounded, ScriptedGenerator(DraftEnd()), Admission(1, 0))
        with pytest.raises(CollectionNotFound, match="nowhere"):
            await events_of(pipeline, Question(ASKED, "nowhere"))
        assert_in_order(await events_of(pipeline, Question(ASKED)))  # the place was given back

    bench.run(use)


def test_a_catalog_that_is_gone_is_told_before_or_after_the_start(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(grounded: Grounded) -> None:
        fails = _fails(CatalogUnavailable("It is gone."))
        monkeypatch.setattr(grounded.catalog, "live_chunks", fails)
        events = await answer(grounded, ASKED)
        assert assert_in_order(events).finish_reason == "error"
        assert isinstance(events[-2], Failed)
        assert events[-2].error.code == "catalog_unavailable"
        monkeypatch.setattr(grounded.catalog, "collection", fails)
        with pytest.raises(CatalogUnavailable):
            await answer(grounded, ASKED)

    bench.run(use)


class TestDegraded:
    def test_without_the_embedder_words_alone_find_the_answer(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def use(grounded: Grounded) -> None:
            monkeypatch.setattr(bench.embedder, "broken", True)
            events = await answer(grounded, ASKED)
            end = assert_in_order(events)
            assert (end.finish_reason, end.degraded) == ("stop", ("embedder",))
            claims = [e.claim for e in events if isinstance(e, ClaimJudged)]
            assert claims[0].text == "Refunds are issued within 14 days."
            passages = next(e for e in events if isinstance(e, SourcesFound)).passages
            assert all(set(passage.hit.places) == {"bm25", "fused"} for passage in passages)

        bench.run(use)

    @pytest.mark.parametrize(("arm", "part"), [("search_dense", "vector"), ("search_lexical", "lexical")])
    def test_one_arm_is_enough(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, arm: str, part: str) -> None:
        async def use(grounded: Grounded) -> None:
            monkeypatch.setattr(grounded.points, arm, _fails(IndexUnavailable("Broken.")))
            events = await answer(grounded, ASKED)
            end = assert_in_order(events)
            assert (end.finish_reason, end.degraded) == ("stop", (part,))

        bench.run(use)

    def test_without_the_reranker_the_fused_order_stands(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        async def use(grounded: Grounded) -> None:
            reranker = grounded.generations.live.search._reranker
            monkeypatch.setattr(reranker, "rerank", _fails(RerankerUnavailable("Broken.")))
            end = assert_in_order(await answer(grounded, ASKED))
            assert (end.finish_reason, end.degraded) == ("stop", ("reranker",))

        bench.run(use)

    def test_without_token_vectors_the_fused_order_stands(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        async def use(grounded: Grounded) -> None:
            tokens = grounded.generations.live.search._vectors
            broken = sqlite3.connect(bench.folder / "no-table.sqlite", check_same_thread=False)
            monkeypatch.setattr(tokens, "_db", broken)
            end = assert_in_order(await answer(grounded, ASKED))
            assert (end.finish_reason, end.degraded) == ("stop", ("reranker",))
            broken.close()

        bench.run(use)

    @pytest.mark.parametrize("dense", [IndexUnavailable("Broken."), EmbedderUnavailable("Broken.")])
    def test_with_neither_there_is_an_error(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, dense: Exception
    ) -> None:
        async def use(grounded: Grounded) -> None:
            monkeypatch.setattr(grounded.points, "search_dense", _fails(dense))
            monkeypatch.setattr(grounded.points, "search_lexical", _fails(IndexUnavailable("Broken.")))
            events = await answer(grounded, ASKED)
            assert assert_in_order(events).finish_reason == "error"
            assert isinstance(events[-2], Failed)
            assert events[-2].error.code == "index_unavailable"
            assert not any(isinstance(event, SourcesFound) for event in events)

        bench.run(use)

    def test_a_search_that_hangs_ends_in_time(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        async def use(grounded: Grounded) -> None:
            async def hangs(*_: Any) -> Any:
                await asyncio.Event().wait()

            monkeypatch.setattr(grounded.points, "search_dense", hangs)
            monkeypatch.setattr(grounded.generations.live.search, "_limits", SearchLimits(timeout_s=0.2, deadlines={}))
            events = await answer(grounded, ASKED)
            assert assert_in_order(events).finish_reason == "error"
            assert isinstance(events[-2], Failed)
            assert events[-2].error.code == "deadline_exceeded"

        bench.run(use)


def _fails(error: Exception) -> Any:
    async def fails(*_: Any, **__: Any) -> Any:
        raise error

    return fails


def test_no_question_sees_another_collection(bench: Bench) -> None:
    async def use(grounded: Grounded) -> None:
        there = write(bench.folder / "there", {"secret.txt": "Refunds are issued within 99 days over there."})
        await ingest(grounded, there, "there")
        theirs = (await grounded.catalog.documents(await _id(grounded, "there"), 9))[0]
        mine = await _id(grounded, "default")
        for filters in (EVERYTHING, OneOf("document_id", (theirs.id,)), Not(OneOf("filename", ("refunds.txt",)))):
            events = await answer(grounded, ASKED, filters=filters)
            passages = next(e for e in events if isinstance(e, SourcesFound)).passages
            assert {passage.collection_id for passage in passages} <= {mine}
            assert not any("99 days" in str(event) for event in events)
        end = assert_in_order(await answer(grounded, ASKED, filters=OneOf("document_id", (theirs.id,))))
        assert end.abstention is not None
        assert end.abstention.reason == "nothing_retrieved"
        assert "99 days" in str(await answer(grounded, ASKED, collection="there"))

    bench.run(use)


async def _id(grounded: Grounded, name: str) -> str:
    found = await grounded.catalog.collection(name)
    assert found is not None
    return found


def test_top_k_history_and_max_tokens_reach_the_generator(bench: Bench) -> None:
    async def use(grounded: Grounded) -> None:
        generator = ScriptedGenerator(DraftEnd())
        history = (("user", "Tell me of refunds."), ("assistant", "Gladly."))
        question = Question("When are they issued?", top_k=1, history=history, max_tokens=9)  # type: ignore[arg-type]
        await events_of(piped(grounded, generator), question)
        assert generator.asked == [Ask("When are they issued?", history, 9, "refunds: When are they issued?")]  # type: ignore[arg-type]
        assert [passage.name for passage in generator.contexts[0].passages] == ["refunds.txt"]

    bench.run(use)


def test_a_documents_new_version_is_answered_from_at_once(bench: Bench) -> None:
    async def use(grounded: Grounded) -> None:
        for days in (5, 7):
            text = f"Refunds are issued within {days} days now."
            await ingest(grounded, write(bench.folder / "changing", {"refunds.txt": text}), "changing")
            said = await answer(grounded, ASKED, collection="changing")
            assert [event.claim.text for event in said if isinstance(event, ClaimJudged)] == [text]

    bench.run(use)


class TestLeaving:
    def test_closing_the_events_closes_the_draft_and_frees_the_place(self, bench: Bench) -> None:
        async def use(grounded: Grounded) -> None:
            generator = ScriptedGenerator(*SENTENCE, asyncio.Event())
            admission = Admission(1, 0)
            events = piped(grounded, generator, admission).ask(Question(ASKED))
            async for event in events:
                if isinstance(event, ClaimJudged):
                    break
            assert generator.open == 1
            await events.aclose()
            assert generator.open == 0
            async with admission.admit():
                pass

        bench.run(use)

    def test_cancelling_the_task_that_pulls_does_the_same(self, bench: Bench) -> None:
        async def use(grounded: Grounded) -> None:
            generator = ScriptedGenerator(*SENTENCE, asyncio.Event())
            admission = Admission(1, 0)
            task = asyncio.create_task(events_of(piped(grounded, generator, admission), Question(ASKED)))
            await generator.begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert generator.open == 0
            async with admission.admit():
                pass

        bench.run(use)

    def test_the_first_event_and_the_rest_may_be_pulled_by_two_tasks(self, bench: Bench) -> None:
        async def use(grounded: Grounded) -> None:
            events = grounded.pipeline.ask(Question(ASKED))
            first = await asyncio.create_task(anext(events))

            async def rest() -> list[AnswerEvent]:
                return [event async for event in events]

            assert_in_order([first, *await asyncio.create_task(rest())])

        bench.run(use)


class TestAdmission:
    def test_so_many_run_so_many_wait_and_one_more_is_refused(self, bench: Bench) -> None:
        async def use(grounded: Grounded) -> None:
            gate = asyncio.Event()
            admission = Admission(2, 1)
            pipeline = piped(grounded, ScriptedGenerator(gate, DraftEnd()), admission)
            tasks = [asyncio.create_task(events_of(pipeline, Question(ASKED))) for _ in range(3)]
            async with asyncio.timeout(PATIENCE_S):
                while not admission._waiting:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            with pytest.raises(Overloaded):
                await events_of(pipeline, Question(ASKED))
            gate.set()
            ends = [assert_in_order(events) for events in await asyncio.gather(*tasks)]
            assert sum(end.timings_ms["queue"] > 50 for end in ends) == 1

        bench.run(use)

    def test_a_waiting_client_that_leaves_frees_its_place_in_line(self) -> None:
        async def main() -> None:
            admission = Admission(1, 1)
            gate = asyncio.Event()
            inside: list[int] = []

            async def work(n: int) -> None:
                async with admission.admit():
                    inside.append(n)
                    await gate.wait()

            first, second = asyncio.create_task(work(1)), asyncio.create_task(work(2))
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await work(3)
            second.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await second
            fourth = asyncio.create_task(work(4))
            await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(first, fourth)
            assert inside == [1, 4]

        asyncio.run(main())

    def test_an_exception_inside_gives_the_place_back(self) -> None:
        async def main() -> None:
            admission = Admission(1, 0)
            with pytest.raises(KeyError):
                async with admission.admit():
                    raise KeyError
            async with admission.admit():
                pass

        asyncio.run(main())

    def test_after_closing_nobody_is_admitted_and_those_inside_end(self, bench: Bench) -> None:
        async def use(grounded: Grounded) -> None:
            gate, admission = asyncio.Event(), Admission(1, 1)
            generator = ScriptedGenerator(gate, DraftEnd())
            pipeline = piped(grounded, generator, admission)
            task = asyncio.create_task(events_of(pipeline, Question(ASKED)))
            await generator.begun.wait()
            admission.close()
            with pytest.raises(ShuttingDown):
                await events_of(pipeline, Question(ASKED))
            gate.set()
            assert_in_order(await task)

        bench.run(use)


class TestLog:
    def test_one_line_an_answer_without_its_texts(self, bench: Bench) -> None:
        async def use(grounded: Grounded) -> None:
            with structlog.testing.capture_logs() as lines:
                await answer(grounded, ASKED, request_id="req_9")
            assert len(lines) == 1
            line = lines[0]
            assert line["event"] == "ask.completed"
            assert (line["request_id"], line["finish_reason"], line["claims"]["supported"]) == ("req_9", "stop", 1)
            assert "efunds" not in str(line)

        bench.run(use)

    def test_the_question_stands_in_it_where_the_operator_wants_it(self, bench: Bench) -> None:
        async def use(grounded: Grounded) -> None:
            with structlog.testing.capture_logs() as lines:
                await events_of(
                    piped(grounded, ScriptedGenerator(*SENTENCE, DraftEnd()), recount=Recount(log_content=True)),
                    Question(ASKED),
                )
            assert lines[0]["question"] == ASKED
            assert "issued within" not in str(lines[0])

        bench.run(use)

    def test_a_failure_has_a_line_too(self, bench: Bench) -> None:
        async def use(grounded: Grounded) -> None:
            with structlog.testing.capture_logs() as lines:
                await events_of(piped(grounded, ScriptedGenerator(UpstreamTimeout("Silence."))), Question(ASKED))
            assert [(line["event"], line["error"]) for line in lines] == [("ask.completed", "upstream_timeout")]

        bench.run(use)
