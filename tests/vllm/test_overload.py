"""More than vLLM can do, and more than its window holds: every question ends in time, with an answer or with a code."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.vllm.conftest import Asked, Serving
from tests.vllm.endpoint import Endpoint, within

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

QUESTION = "When was the lighthouse built, and who keeps its key?"
IN_THE_TOWER = "How many lanterns are in the tower?"
MANY = 12
TAKEN_IN = 6  # --max-num-queued-reqs of the server
DEADLINE_S = 6
SEARCH_S = 6  # before a model is asked, for all of them on a busy machine


def all_at_once(asked: Asked, many: int = MANY) -> list[tuple[float, httpx2.Response]]:
    """Time and reply of as many questions, asked together."""

    def one(_: int) -> tuple[float, httpx2.Response]:
        begun = time.monotonic()
        return (reply := asked.reply(QUESTION)) and time.monotonic() - begun, reply

    with ThreadPoolExecutor(many) as threads:
        return list(threads.map(one, range(many)))


def outcome(reply: httpx2.Response) -> str:
    """How a question ended: `answered` by the model, by `extractive` in its place, or with a code."""
    body = reply.json()
    if reply.status_code != 200:
        return str(body["error"]["code"])
    return "extractive" if body["model"] == "extractive" else "answered"


def test_questions_wait_at_our_door_and_not_in_vllm(serving: Serving, vllm: Endpoint) -> None:
    """With as many places as vLLM has, everybody is answered by the model, one after the other."""
    most = 0
    with (
        serving(MAX_RUNNING="2", MAX_WAITING="64", GENERATION__MAX_TOKENS="12") as asked,
        ThreadPoolExecutor(1) as aside,
    ):
        replies = aside.submit(all_at_once, asked)
        while not replies.done():
            most = max(most, vllm.busy())
            time.sleep(0.05)
    assert Counter(outcome(reply) for _, reply in replies.result()) == {"answered": MANY}
    assert 0 < most <= 2


def test_one_more_than_may_wait_is_told_at_once_to_come_again(serving: Serving) -> None:
    with serving(MAX_RUNNING="1", MAX_WAITING="3", GENERATION__MAX_TOKENS="12") as asked:
        replies = all_at_once(asked)
    assert Counter(outcome(reply) for _, reply in replies) == {"answered": 4, "overloaded": MANY - 4}
    for _, reply in replies:
        if reply.status_code != 200:
            assert (reply.status_code, reply.headers["retry-after"].isdigit()) == (503, True)


class TestAFullQueue:
    """Past `--max-num-queued-reqs` vLLM answers 503. Nobody hangs, nobody gets half an answer."""

    def test_whom_vllm_turns_away_is_answered_by_quoting(self, serving: Serving, vllm: Endpoint) -> None:
        with serving(MAX_RUNNING="16", GENERATION__MAX_TOKENS="24", GENERATION__FALLBACK="extractive") as asked:
            replies = all_at_once(asked, 16)
            ends = Counter(outcome(reply) for _, reply in replies)
            assert ends["answered"] >= TAKEN_IN, ends
            assert set(ends) <= {"answered", "extractive"}, ends
            for _, reply in replies:
                assert ("generator" in reply.json()["degraded"]) == (outcome(reply) == "extractive")
            assert within(10, lambda: vllm.busy() == 0)
            assert within(60, lambda: outcome(asked.reply(QUESTION)) == "answered")  # the breaker closes again

    def test_without_a_fallback_each_is_told_to_come_again(self, serving: Serving) -> None:
        with serving(MAX_RUNNING="16", GENERATION__MAX_TOKENS="24", GENERATION__ATTEMPTS="1") as asked:
            replies = all_at_once(asked, 16)
        ends = Counter(outcome(reply) for _, reply in replies)
        assert ends["answered"] >= TAKEN_IN, ends
        assert ends["answered"] + ends["upstream_unavailable"] == 16, ends
        assert ends["upstream_unavailable"], ends  # else the queue was never full
        assert {reply.status_code for _, reply in replies} == {200, 503}


def test_a_deadline_holds_in_vllms_queue(serving: Serving, vllm: Endpoint) -> None:
    """Who waits too long for the first token gets an end, and vLLM is told to drop the request."""
    aborted = vllm.aborted()
    limits = {"FIRST_TOKEN_TIMEOUT_S": "1", "TIMEOUT_S": str(DEADLINE_S), "MAX_TOKENS": "200", "ATTEMPTS": "1"}
    with serving(**{f"GENERATION__{name}": value for name, value in limits.items()}) as asked:
        replies = all_at_once(asked, TAKEN_IN)
    ends = Counter(outcome(reply) for _, reply in replies)
    assert set(ends) <= {"answered", "upstream_timeout", "upstream_unavailable"}, ends
    assert ends["upstream_timeout"], ends  # else there was no queue
    assert max(seconds for seconds, _ in replies) < DEADLINE_S + SEARCH_S
    assert within(5, lambda: vllm.aborted() > aborted)
    assert within(5, lambda: vllm.busy() == 0)


def test_the_token_budget_is_kept_in_the_models_own_tokens(serving: Serving, vllm: Endpoint) -> None:
    budget = 600
    with serving(CONTEXT__TOKEN_BUDGET=str(budget), GENERATION__MAX_TOKENS="4") as asked:
        answer = asked.ask(IN_THE_TOWER, collection="inventory", top_k=20, include=["sources.text"])
    spent = sum(vllm.tokens(source["text"]) for source in answer["sources"])
    assert 0 < spent <= budget
    assert vllm.log is None or '"POST /tokenize HTTP/1.1" 200' in vllm.log.read_text()


class TestTooLong:
    """A conversation longer than the window, which only vLLM knows: each digit is a token."""

    TURNS = ({"role": "user", "content": "7 8 " * 4000}, {"role": "assistant", "content": "That is a long list."})

    def test_it_has_a_code_and_is_no_hang(self, serving: Serving, vllm: Endpoint) -> None:
        with serving(QUERY__REWRITE="off") as asked:
            begun = time.monotonic()
            reply = asked.reply(QUESTION, history=self.TURNS)
            assert time.monotonic() - begun < 30
            assert reply.json()["error"]["code"] == "context_length_exceeded", reply.text
            # The request was at fault and not the endpoint: the next is asked of it.
            assert asked.ask(QUESTION, max_tokens=8)["model"] == vllm.model

    def test_with_a_fallback_it_is_answered_by_quoting(self, serving: Serving) -> None:
        with serving(QUERY__REWRITE="off", GENERATION__FALLBACK="extractive") as asked:
            answer = asked.ask(QUESTION, history=self.TURNS)
        assert (answer["model"], answer["degraded"]) == ("extractive", ["generator"])
