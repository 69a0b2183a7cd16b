"""Answers that are taken up again, through the whole service: every event once, byte for byte, by whoever asked alone."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any
from unittest.mock import patch

import pytest

from app.pipeline import AnswerPipeline, Question
from generation.events import Finished, Progress, Started
from tests.app.keyed import Caller, caller, keyed
from tests.app.serving import Service, assert_refused, served
from tests.patience import PATIENCE_S
from tests.streams.visitor import Leaves, Reply, id_of, payload_of, visit

pytestmark = pytest.mark.usefixtures("silent")
DOCS: dict[str, str | bytes] = {
    "harbour.md": "# Harbour\n\nThe lighthouse was built in 1887 \U0001f600. Its lamp burns oil.\n"
}
ASKED = "When was the lighthouse built?"
RESUMABLE = {"question": ASKED, "stream": True, "resumable": True}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("resume"), DOCS, resume_grace_s=3600) as running:
        yield running


def asked(service: Service, leaves: Leaves = lambda _: False, body: Any = None, **headers: str) -> Reply:
    reply: Reply = service.run(visit(service.app, "POST", "/ask", body or RESUMABLE, leaves, **headers))
    return reply


def taken_up(service: Service, answer_id: str, **headers: str) -> Reply:
    reply: Reply = service.run(visit(service.app, "GET", f"/v1/answers/{answer_id}/events", **headers))
    return reply


def answer_of(reply: Reply) -> str:
    return str(payload_of(reply.frames[0])["answer_id"])


class Slow:
    """In the pipeline's place: answers that begin, wait until they may go on, and tell when they are closed."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.closed = asyncio.Event()

    async def ask(self, _: AnswerPipeline, question: Question) -> AsyncGenerator[Any, None]:
        id_ = f"ans_{token_hex(12)}"
        try:
            yield Started(id_, "t", question.request_id, None, "grounded", "default", "sentence", datetime.now(UTC))
            yield Progress("retrieving", 1.0)
            await self.go_on.wait()
            yield Progress("generating", 2.0)
            yield Finished("stop", id_, "t", "grounded")
        finally:
            self.closed.set()


@pytest.fixture
def slow() -> Iterator[Slow]:
    answers = Slow()

    def ask(pipeline: AnswerPipeline, question: Question) -> AsyncGenerator[Any, None]:
        return answers.ask(pipeline, question)

    with patch.object(AnswerPipeline, "ask", ask):
        yield answers


def met(service: Service, event: asyncio.Event) -> None:
    service.run(asyncio.wait_for(event.wait(), PATIENCE_S))


def after(n: int) -> Leaves:
    return lambda frames: len(frames) >= n


class TestTakenUp:
    def test_cut_behind_every_event_the_rest_is_byte_for_byte_the_same(self, service: Service) -> None:
        whole = asked(service)
        assert whole.whole
        assert [id_of(frame) for frame in whole.frames] == [str(n) for n in range(len(whole.frames))]
        assert len(whole.frames) > 5
        assert "\U0001f600" in whole.content.decode()
        assert taken_up(service, answer_of(whole)).content == whole.content
        for n in range(1, len(whole.frames)):
            cut = asked(service, after(n), RESUMABLE | {"cache": "bypass"})
            assert not cut.whole
            rest = taken_up(service, answer_of(cut), last_event_id=cut.last_id)
            assert rest.whole
            assert cut.content + rest.content == taken_up(service, answer_of(cut)).content
            kinds = [payload_of(frame)["type"] for frame in (*cut.frames, *rest.frames)]
            assert kinds == [payload_of(frame)["type"] for frame in whole.frames]

    def test_behind_the_last_event_there_is_nothing(self, service: Service) -> None:
        whole = asked(service)
        again = taken_up(service, answer_of(whole), last_event_id=whole.last_id)
        assert (again.status, again.content) == (204, b"")

    @pytest.mark.parametrize("sent", ["x", "-1", "1e3", "99", "99999999999999999999", "\u0661"])
    def test_an_id_that_no_event_had_is_refused(self, service: Service, sent: str) -> None:
        whole = asked(service)
        refused = service.get(f"/v1/answers/{answer_of(whole)}/events", headers={"last-event-id": sent.encode()})
        assert_refused(refused, 400, "invalid_request")

    def test_an_answer_that_was_not_asked_for_so_cannot_be(self, service: Service) -> None:
        plain = asked(service, body={"question": ASKED, "stream": True})
        refused = service.get(f"/v1/answers/{answer_of(plain)}/events")
        assert_refused(refused, 404, "answer_not_found")
        assert service.request("POST", f"/v1/answers/{answer_of(plain)}/cancel").status_code == 404

    def test_what_cannot_be_taken_up_is_not_promised(self, service: Service) -> None:
        assert_refused(service.ask(ASKED, resumable=True), 400, "invalid_request")
        batch = {"questions": [{"id": "a", "question": ASKED, "resumable": True}]}
        assert_refused(service.request("POST", "/v1/batch", json=batch), 422, "validation_failed", "questions.0")


class TestLeft:
    def test_an_answer_goes_on_without_its_reader_and_two_more_read_the_same(
        self, service: Service, slow: Slow
    ) -> None:
        cut = asked(service, after(2))

        async def main() -> tuple[Reply, Reply]:
            path = f"/v1/answers/{answer_of(cut)}/events"
            readers = [asyncio.create_task(visit(service.app, "GET", path)) for _ in range(2)]
            await asyncio.sleep(0.1)
            assert not slow.closed.is_set()
            slow.go_on.set()
            one, other = await asyncio.wait_for(asyncio.gather(*readers), PATIENCE_S)
            return one, other

        one, other = service.run(main())
        assert one.content == other.content
        assert one.content.startswith(cut.content)
        assert [payload_of(frame)["type"] for frame in one.frames] == ["start", "status", "status", "done"]

    def test_others_are_closed_at_once(self, service: Service, slow: Slow) -> None:
        cut = asked(service, after(2), {"question": ASKED, "stream": True})
        assert slow.closed.is_set()
        assert len(cut.frames) == 2

    def test_one_that_is_not_wanted_any_more_is_canceled(self, service: Service, slow: Slow) -> None:
        cut = asked(service, after(2))
        path = f"/v1/answers/{answer_of(cut)}"
        assert service.request("POST", f"{path}/cancel").status_code == 202
        met(service, slow.closed)
        rest = taken_up(service, answer_of(cut), last_event_id="1")
        assert [payload_of(frame).get("finish_reason") for frame in rest.frames] == ["cancelled"]
        assert service.request("POST", f"{path}/cancel").status_code == 202  # at its end it stays as it is
        assert taken_up(service, answer_of(cut), last_event_id="1").content == rest.content


def test_nobody_comes_back(tmp_path: Path, slow: Slow) -> None:
    with served(tmp_path, resume_grace_s=0.05) as service:
        asked(service, after(2))
        met(service, slow.closed)


class TestWho:
    def test_nobody_else_may(self, tmp_path: Path) -> None:
        """Not another key of the tenant, not its chief, and nobody of another: the reply to what never was."""
        with keyed(tmp_path, resume_grace_s=3600) as service:
            owner = caller(service, "owner", "acme", groups=("hr",))
            owner.upload("harbour.md", str(DOCS["harbour.md"]))
            whole = asked(service, authorization=f"Bearer {owner.secret}")
            path = f"/v1/answers/{answer_of(whole)}"
            assert owner.get(f"{path}/events").content == whole.content
            others = [
                caller(service, "colleague", "acme", groups=("hr",)),
                caller(service, "chief", "acme", groups=None),
                caller(service, "stranger", "globex", groups=None),
                caller(service, "operator", "default", groups=None),
            ]
            for other in others:
                for method, end in (("GET", "events"), ("POST", "cancel")):
                    never = other.request(method, f"/v1/answers/ans_000000000000000000000000/{end}")
                    reply = other.request(method, f"{path}/{end}")
                    assert_refused(reply, 404, "answer_not_found")
                    assert _without_id(reply.json()) == _without_id(never.json())
            assert_refused(Caller("anonymous", service).get(f"{path}/events"), 401, "missing_api_key")

    def test_the_end_of_the_key_ends_it_for_all_who_read(self, tmp_path: Path, slow: Slow) -> None:
        with keyed(tmp_path, resume_grace_s=3600) as service:
            owner = caller(service, "owner", "acme", groups=None)
            bearer = {"authorization": f"Bearer {owner.secret}"}
            cut = asked(service, after(2), **bearer)

            async def main() -> Reply:
                path = f"/v1/answers/{answer_of(cut)}/events"
                reading = asyncio.create_task(visit(service.app, "GET", path, **bearer))
                await asyncio.sleep(0.1)
                assert owner.key is not None
                await service.grounded.authenticator.ring.store.revoke(owner.key.id, owner.key.created_at)
                return await asyncio.wait_for(reading, PATIENCE_S)

            told = [payload_of(frame) for frame in service.run(main()).frames]
            assert [one["type"] for one in told] == ["start", "status", "error", "done"]
            assert told[-2]["error"]["code"] == "key_revoked"
            met(service, slow.closed)
            assert_refused(owner.get(f"/v1/answers/{answer_of(cut)}/events"), 401, "key_revoked")


def _without_id(content: Any) -> Any:
    content["error"].pop("request_id")
    return content
