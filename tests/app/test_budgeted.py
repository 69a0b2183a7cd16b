"""Budgets on a running service with a real endpoint: every call of an answer is paid for, and what happens without money."""

import asyncio
import contextlib
import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.budgets.model import Standing
from app.cost import Prices, cost_of
from app.pipeline import Question
from generation.model import Usage
from tests.app.keyed import Caller, caller
from tests.app.serving import Service, assert_refused, events_of, served
from tests.chat_endpoint import streamed
from tests.model_endpoint import Reply, Seen, endpoint

pytestmark = pytest.mark.usefixtures("silent")
FILES = {"refunds.txt": "Refunds are paid by card. Refunds take 14 days at most.", "cats.txt": "A cat has four legs."}
ASKED = "How many days do refunds take?"
EACH = cost_of(Usage(120, 9, 100), Prices(Decimal(1), Decimal(2)))  # as the endpoint tells it
USD = 10**9


@contextmanager
def priced(folder: Path, seen: Seen, **more: Any) -> Iterator[Service]:
    tier = {"name": "small", "base_url": seen.url, "model": "m", "price_input": 1, "price_output": 2}
    with served(folder, FILES, tiers=[tier], context={"tokenizer": "estimate"}, **more) as service:
        yield service


@contextmanager
def model() -> Iterator[Seen]:
    """Answers each kind of prompt."""

    def said(body: Any) -> Reply:
        told = body["messages"][0]["content"]
        if "standalone" in told.lower():
            return streamed("How many days do refunds take at most?")
        return streamed("medium" if body["max_tokens"] == 16 else "Refunds take 14 days at most [1].")

    with endpoint(said) as seen:
        yield seen


def limited(service: Service, subject: str, **limits: int | None) -> None:
    given = {(name.partition("_")[0], name.partition("_")[2]): most for name, most in limits.items()}
    service.run(service.grounded.budgets.store.put(subject, given))
    service.grounded.budgets._polled.forget()  # as half a second does


def standing(service: Service, subject: str) -> Standing:
    found: Standing = service.run(service.grounded.budgets.store.standings((subject,), datetime.now(UTC)))[0]
    return found


def asked(who: Caller, **more: Any) -> httpx2.Response:
    return who.ask(ASKED, cache="bypass", **more)


class TestPaying:
    def test_an_answer_takes_of_the_budget_what_it_costs(self, tmp_path: Path) -> None:
        with model() as seen, priced(tmp_path, seen) as service:
            who = caller(service, "a", "default")
            mine = f"key:{who.key.id}"  # type: ignore[union-attr]
            limited(service, mine, usd_day=USD, tokens_month=10**6)
            reply = asked(who).json()
            assert (reply["tier"], reply["degraded"]) == ("small", [])
            found = standing(service, mine)
            assert Decimal(str(reply["cost_usd"])) * USD == EACH
            assert {one.spent for one in (found,)} <= {EACH, 129}
            all_ = service.run(service.grounded.budgets.store.standings((mine,), datetime.now(UTC)))
            assert {(one.unit, one.spent, one.reserved) for one in all_} == {("usd", EACH, 0), ("tokens", 129, 0)}

    @pytest.mark.parametrize("stream", [False, True])
    def test_every_call_on_the_way_counts(self, tmp_path: Path, stream: bool) -> None:
        routing = {"classifier": "small", "verify_tier": "small"}
        with model() as seen, priced(tmp_path, seen, routing=routing, generation={"verifier": "judge"}) as service:
            who = caller(service, "a", "default")
            limited(service, "tenant:default", usd_day=USD)
            history = [
                {"role": "user", "content": "How are refunds paid?"},
                {"role": "assistant", "content": "Refunds are paid by card."},
            ]
            asked(who, history=history, stream=stream)
            calls = len(seen.bodies)
            assert calls >= 3  # the follow-up, its complexity, the answer
            assert (standing(service, "tenant:default").spent, standing(service, "tenant:default").reserved) == (
                calls * EACH,
                0,
            )

    def test_whoever_pulls_the_next_event_it_is_paid_for_by_whoever_asked(self, tmp_path: Path) -> None:
        with model() as seen, priced(tmp_path, seen) as service:
            limited(service, "tenant:default", usd_day=USD)

            async def pulled() -> None:
                events = service.grounded.pipeline.ask(Question(ASKED))
                with contextlib.suppress(StopAsyncIteration):
                    while True:  # each by a task that knows nothing of the one before
                        await asyncio.create_task(anext(events), context=contextvars.Context())  # type: ignore[arg-type]

            service.run(pulled())
            assert standing(service, "tenant:default").spent == len(seen.bodies) * EACH > 0

    def test_each_question_of_a_batch_is_paid_for_by_whoever_sent_it(self, tmp_path: Path) -> None:
        with model() as seen, priced(tmp_path, seen) as service:
            who = caller(service, "a", "default")
            mine = f"key:{who.key.id}"  # type: ignore[union-attr]
            limited(service, mine, usd_day=USD)
            body = {"questions": [{"id": str(n), "question": f"{ASKED} {n}"} for n in range(3)]}
            job = who.ended(who.post("/v1/batch", body).json()["id"])
            assert job["details"]["answered"] == 3
            assert standing(service, mine).spent == len(seen.bodies) * EACH > 0


class TestUsedUp:
    def test_the_answer_is_quoted_and_says_so(self, tmp_path: Path) -> None:
        with model() as seen, priced(tmp_path, seen) as service:
            who = caller(service, "a", "default")
            limited(service, f"key:{who.key.id}", usd_day=1)  # type: ignore[union-attr]
            reply = asked(who)
            assert reply.status_code == 200
            told = reply.json()
            assert told["model"] == "extractive"
            assert {"budget", "generator"} <= set(told["degraded"])
            assert "14 days" in told["answer"]
            assert seen.bodies == []
            kept = who.get(f"/v1/answers/{told['answer_id']}/explain").json()
            assert "budget_exceeded" in str(kept)

    @pytest.mark.parametrize("stream", [False, True])
    def test_where_that_is_wanted_it_is_refused_before_it_begins(self, tmp_path: Path, stream: bool) -> None:
        with model() as seen, priced(tmp_path, seen, budgets={"exhausted": "refuse"}) as service:
            who = caller(service, "a", "default")
            limited(service, "tenant:default", usd_day=0)
            reply = asked(who, stream=stream)
            error = assert_refused(reply, 429, "budget_exceeded")
            assert error["details"]["budget"] == "tenant"
            assert reply.headers["x-should-retry"] == "false"
            assert 0 < int(reply.headers["retry-after"]) <= 86_401
            assert seen.bodies == []

    def test_what_does_not_fit_is_refused_too_though_something_is_left(self, tmp_path: Path) -> None:
        with model() as seen, priced(tmp_path, seen, budgets={"exhausted": "refuse"}) as service:
            who = caller(service, "a", "default")
            limited(service, "tenant:default", usd_day=10)
            error = assert_refused(asked(who), 429, "budget_exceeded")
            assert error["details"]["needed"] > error["details"]["left"] > 0
            events = events_of(asked(who, stream=True).content)
            assert [event["type"] for event in events[-2:]] == ["error", "done"]
            assert events[-2]["error"]["code"] == "budget_exceeded"
            assert seen.bodies == []

    def test_without_quoting_the_error_says_why(self, tmp_path: Path) -> None:
        with model() as seen, priced(tmp_path, seen, generation={"fallback": "none"}) as service:
            who = caller(service, "a", "default")
            limited(service, "tenant:default", tokens_day=5)
            reply = asked(who)
            assert assert_refused(reply, 429, "budget_exceeded")["details"]["unit"] == "tokens"
            assert reply.headers["x-should-retry"] == "false"

    def test_a_limit_that_is_raised_is_there_at_once(self, tmp_path: Path) -> None:
        with model() as seen, priced(tmp_path, seen) as service:
            who = caller(service, "a", "default")
            limited(service, "tenant:default", usd_day=0)
            assert "budget" in asked(who).json()["degraded"]
            limited(service, "tenant:default", usd_day=None)
            assert asked(who).json()["degraded"] == []
            assert len(seen.bodies) == 1


class TestWarning:
    def test_replies_tell_when_little_is_left(self, tmp_path: Path) -> None:
        with model() as seen, priced(tmp_path, seen, budgets={"warn_at": 0.5}) as service:
            who = caller(service, "a", "default")
            limited(service, "tenant:default", tokens_day=200_000)
            assert "x-budget-used" not in asked(who).headers
            limited(service, "tenant:default", tokens_day=258)
            told = asked(who).headers["x-budget-used"]
            assert told == "tenant day tokens 0.50"
            assert "x-budget-used" not in who.get("/health/live").headers
