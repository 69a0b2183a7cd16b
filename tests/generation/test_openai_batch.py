"""The batch API against a server on a real socket that does what it is told: files, batches, and everything in between."""

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from generation.adapters.openai_batch import OpenAIBatch, read_line
from generation.batch import Order, Written, WrittenFirst, drafted, fingerprint
from generation.errors import GenerationError, UpstreamMisconfigured, UpstreamTruncated, UpstreamUnavailable
from generation.model import Ask, DraftEnd, DraftSentence, DraftText, Repair, Usage
from retrieval.model import Context
from tests.batch_provider import Provider, line, provider
from tests.fakes import ScriptedGenerator
from tests.passages import context

ORDERS = [
    Order("0.aa", [{"role": "user", "content": "Who? 😀"}]),
    Order("1.bb", [{"role": "user", "content": "Why?"}], 9),
]


@pytest.fixture
def served() -> Iterator[Provider]:
    with provider() as found:
        yield found


def run(served: Provider, work: Callable[[OpenAIBatch], Any], **more: Any) -> Any:
    async def main() -> Any:
        api = OpenAIBatch(served.url, "small", "key-1", **more)
        try:
            return await work(api)
        finally:
            await api.aclose()

    return asyncio.run(main())


def submitted(served: Provider) -> str:
    found: str = run(served, lambda api: api.submit(ORDERS, "job_1.0"))
    return found


class TestRoad:
    def test_from_orders_to_what_was_written(self, served: Provider) -> None:
        id_ = submitted(served)
        (upload,) = served.files.values()
        sent = [json.loads(row) for row in upload.splitlines()]
        assert [row["custom_id"] for row in sent] == ["0.aa", "1.bb"]
        assert [row["body"]["max_tokens"] for row in sent] == [512, 9]
        first = sent[0]
        assert (first["method"], first["url"], first["body"]["model"]) == ("POST", "/v1/chat/completions", "small")
        assert first["body"]["messages"] == ORDERS[0].messages
        assert served.purposes == ["batch"]
        assert served.batches[id_]["metadata"] == {"grounded": "job_1.0"}
        assert set(served.keys) == {"Bearer key-1"}
        assert not run(served, lambda api: api.ended(id_))
        served.end(id_, [line("1.bb", "Because [1]."), line("0.aa", "Ada [2].", usage=(7, 3))])
        assert run(served, lambda api: api.ended(id_))
        written = run(served, lambda api: api.written(id_))
        assert [one.id for one in written] == ["1.bb", "0.aa"]
        assert written[1] == Written("0.aa", "Ada [2].", "stop", Usage(7, 3))

    def test_a_batch_is_found_by_its_label(self, served: Provider) -> None:
        id_ = submitted(served)
        assert run(served, lambda api: api.find("job_1.0")) == id_
        assert run(served, lambda api: api.find("job_1.1")) is None

    @pytest.mark.parametrize("status", ["expired", "cancelled", "failed", "completed"])
    def test_of_one_that_ended_early_what_was_written_counts(self, served: Provider, status: str) -> None:
        id_ = submitted(served)
        served.end(id_, [line("0.aa", "Ada [1].")], errors=[line("1.bb", None, status=500)], status=status)
        assert run(served, lambda api: api.ended(id_))
        assert [one.id for one in run(served, lambda api: api.written(id_))] == ["0.aa"]

    @pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling", "something new"])
    def test_one_that_goes_on_has_not_ended(self, served: Provider, status: str) -> None:
        id_ = submitted(served)
        served.batches[id_]["status"] = status
        assert not run(served, lambda api: api.ended(id_))

    def test_one_without_a_file_has_written_nothing(self, served: Provider) -> None:
        id_ = submitted(served)
        served.batches[id_]["status"] = "failed"
        assert run(served, lambda api: api.written(id_)) == []

    def test_it_can_be_cancelled_and_forgotten(self, served: Provider) -> None:
        id_ = submitted(served)
        run(served, lambda api: api.cancel(id_))
        assert served.batches[id_]["status"] == "cancelling"
        served.end(id_, [line("0.aa", "Ada.")], errors=[line("1.bb", None)])
        assert len(served.files) == 3
        run(served, lambda api: api.forget(id_))
        assert served.files == {}


class TestTroubles:
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (401, UpstreamMisconfigured),
            (404, UpstreamMisconfigured),
            (429, UpstreamUnavailable),
            (500, UpstreamUnavailable),
        ],
    )
    @pytest.mark.parametrize("path", ["/files", "/batches"])
    def test_a_refusal_is_told_without_its_words(
        self, served: Provider, status: int, error: type[GenerationError], path: str
    ) -> None:
        served.refuse = {path: status}
        with pytest.raises(error) as caught:
            submitted(served)
        assert "key-1" not in str(caught.value)

    def test_nobody_is_there(self, served: Provider) -> None:
        served.url = "http://127.0.0.1:1/v1"
        with pytest.raises(UpstreamUnavailable):
            submitted(served)

    @pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"null", b'"x"', b"{}"])
    def test_a_reply_of_another_shape_breaks_nothing(self, served: Provider, body: bytes) -> None:
        id_ = submitted(served)
        served.say = {f"/batches/{id_}": body}
        for call in (lambda api: api.ended(id_), lambda api: api.written(id_)):
            with contextlib.suppress(GenerationError):
                assert not run(served, call)

    def test_of_a_batch_that_is_refused_no_file_is_left_there(self, served: Provider) -> None:
        served.refuse = {"/batches": 400}
        with pytest.raises(GenerationError):
            submitted(served)
        assert served.files == {}

    def test_a_line_without_an_end_is_left(self, served: Provider) -> None:
        id_ = submitted(served)
        served.end(id_, [b"x" * 4_000_000])
        with pytest.raises(UpstreamTruncated, match="does not end"):
            run(served, lambda api: api.written(id_))

    def test_a_provider_that_says_nothing_is_left(self, served: Provider) -> None:
        id_ = submitted(served)
        served.wait_s = 3.0
        with pytest.raises(GenerationError):
            run(served, lambda api: api.ended(id_), timeout_s=0.2)

    @pytest.mark.parametrize("cut", [1, 20, 60, 120, 10_000])
    def test_of_a_file_that_breaks_off_the_whole_lines_count(self, served: Provider, cut: int) -> None:
        id_ = submitted(served)
        served.end(id_, [line("0.aa", "Ada."), line("1.bb", "Because.")])
        file = served.batches[id_]["output_file_id"]
        whole = served.files[file]
        served.files[file] = whole[:cut]
        expected = [one.id for row in whole[:cut].split(b"\n") if (one := read_line(row))]
        assert [one.id for one in run(served, lambda api: api.written(id_))] == expected

    def test_lines_that_are_no_answer_are_left_out(self, served: Provider) -> None:
        id_ = submitted(served)
        bad = [
            line("0.aa", None, status=500),
            line("0.aa", "cut", finish="content_filter"),
            line("0.aa", ""),
            line("0.aa", None),
            b"nonsense",
            b"",
            b"[]",
            b'{"custom_id": 7, "response": {"status_code": 200}}',
            line("0.aa", "x" * 300_000),
        ]
        served.end(id_, [*bad, line("1.bb", "Because."), line("1.bb", "A second time.")])
        assert [one.text for one in run(served, lambda api: api.written(id_))] == ["Because."]

    def test_usage_that_is_absurd_is_estimated(self) -> None:
        found = read_line(line("0.aa", "Twelve chars", usage=(-5, 10**12)))
        assert found is not None
        assert found.usage == Usage(0, 3)


CONTEXT = context("Ada built it.", "In 1887.")


class TestDrafts:
    def test_it_is_read_as_its_stream_would_have_been(self) -> None:
        written = Written("x", "Ada built it [1]. It was in 1887 [2][9].", "stop", Usage(5, 6))
        *pieces, end = drafted(written, "answer@1#aa", CONTEXT)
        sentences = [piece for piece in pieces if isinstance(piece, DraftSentence)]
        assert [sentence.cited for sentence in sentences] == [(1,), (2,)]
        text = "".join(piece.text for piece in pieces if isinstance(piece, DraftText))
        assert text == "Ada built it. It was in 1887."
        assert end == DraftEnd("stop", usage=Usage(5, 6), unknown_marks=1, prompt_version="answer@1#aa")

    def test_not_in_the_sources_is_an_abstention(self) -> None:
        (end,) = drafted(Written("x", "**NOT_IN_SOURCES**\nSorry.", "stop", Usage(5, 6)), None, CONTEXT)
        assert end == DraftEnd(abstained="not_in_passages", usage=Usage(5, 6))

    def test_length_is_told(self) -> None:
        *_, end = drafted(Written("x", "Ada built", "length", Usage()), None, CONTEXT)
        assert isinstance(end, DraftEnd)
        assert end.finish_reason == "length"

    def test_nothing_is_no_answer(self) -> None:
        with pytest.raises(UpstreamTruncated):
            list(drafted(Written("x", "[1]", "stop", Usage()), None, CONTEXT))

    def pieces(self, written: WrittenFirst, ask: Ask, context: Context, live: ScriptedGenerator) -> Sequence[Any]:
        async def main() -> Sequence[Any]:
            return [piece async for piece in written.before(live).draft(ask, context)]

        return asyncio.run(main())

    def test_what_was_written_for_the_very_request_comes_first(self) -> None:
        ask, live = Ask("Who?"), ScriptedGenerator(DraftText("Live."), DraftEnd())
        known = WrittenFirst()
        print_ = fingerprint(ask, CONTEXT)
        known.learn(print_, Written("x", "Ada [1].", "stop", Usage()))
        assert self.pieces(known, ask, CONTEXT, live)[0] == DraftText("Ada")
        other = Context(CONTEXT.passages[:1], (), 10)
        repair = replace(ask, repair=Repair("{}", "is not closed"))
        unlike = [(Ask("Why?"), CONTEXT), (ask, other), (Ask("Who?", max_tokens=3), CONTEXT), (repair, CONTEXT)]
        for asked, found in unlike:
            assert self.pieces(known, asked, found, live)[0] == DraftText("Live.")
        known.forget(print_)
        assert self.pieces(known, ask, CONTEXT, live)[0] == DraftText("Live.")

    def test_what_is_no_answer_is_asked_live(self) -> None:
        ask, live = Ask("Who?"), ScriptedGenerator(DraftText("Live."), DraftEnd())
        known = WrittenFirst()
        known.learn(fingerprint(ask, CONTEXT), Written("x", "[1]", "stop", Usage()))
        assert self.pieces(known, ask, CONTEXT, live)[0] == DraftText("Live.")


def test_no_request_names_what_it_should_not(served: Provider) -> None:
    submitted(served)
    assert all(re.fullmatch(r"/v1/(files|batches)(/.*)?(\?.*)?", path) for path in served.paths)
