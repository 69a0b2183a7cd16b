"""The benchmark's own arithmetic, and that its endpoint is one. The numbers: `python -m tests.upstream ttft`."""

import asyncio
from typing import Any

from tests.upstream.first_token import Answer, Peer, report, talking

BODY = {"model": "talker", "stream": True, "messages": [{"role": "user", "content": "How long?"}]}


def pair(through: float, bare: float, retrieval: float, **done: Any) -> tuple[Answer, Answer]:
    ms = {"retrieve": retrieval - 1, "rerank": 0.5, "pack": 0.5}
    told = {"finish_reason": "stop", "degraded": [], "timings_ms": ms, **done}
    return Answer(through, told), Answer(bare, {})


def test_what_is_added_is_told_with_retrieval_and_without() -> None:
    found = report([pair(80, 50, 25)] * 100)
    assert found["added_ms"] == {"p50": 30, "p95": 30, "p99": 30}
    assert found["added_besides_retrieval_ms"] == {"p50": 5, "p95": 5, "p99": 5}
    assert found["wrong"] == []


def test_too_much_is_a_miss_and_so_is_an_answer_that_did_without_something() -> None:
    slow = report([pair(100, 50, 25)] * 100)["wrong"]
    assert [miss.split()[0] for miss in slow] == ["p50"]
    tail = report([pair(80, 50, 25)] * 97 + [pair(180, 50, 25)] * 3)["wrong"]
    assert [miss.split()[0] for miss in tail] == ["p99"]
    assert len(report([pair(80, 50, 25)] * 99 + [pair(80, 50, 25, degraded=["generator"])])["wrong"]) == 1


def test_the_endpoint_keeps_its_connections_and_says_the_same_each_time() -> None:
    async def case(port: int) -> list[Answer]:
        peer = Peer(port, "/v1/chat/completions", b"Refunds")
        try:
            return [await peer.ask(BODY) for _ in range(3)]
        finally:
            peer.close()

    with talking() as port:
        answers = asyncio.run(case(port))
    assert all(answer.first_ms >= 50 for answer in answers)
