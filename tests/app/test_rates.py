"""How often somebody may come: never more than the rate in any window, whatever the clock of the wall does."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.redis_rates import RedisRates, redis_storage
from app.api.limits import site_of
from app.limits.line import Line
from app.limits.pace import Pace
from app.limits.window import MovingWindow, Rate
from tests.app.keyed import caller
from tests.app.serving import assert_refused, served

RATE = Rate("key", 10, 60.0)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


class TestWindow:
    @given(st.lists(st.tuples(st.floats(0, 40), st.integers(1, 12)), max_size=60))
    def test_in_no_window_there_are_more_than_the_rate(self, arrivals: list[tuple[float, int]]) -> None:
        at = 0.0
        window = MovingWindow(lambda: at)
        let_in: list[tuple[float, int]] = []
        for gap, cost in arrivals:
            at += gap
            if run(window.take(RATE, "a", cost)) is None:
                let_in.append((at, cost))
        for begin, _ in let_in:
            assert sum(cost for time, cost in let_in if begin <= time < begin + RATE.period_s) <= RATE.most

    @given(st.lists(st.floats(0, 20), min_size=11, max_size=40))
    def test_whoever_waits_as_long_as_is_told_is_let_in(self, gaps: list[float]) -> None:
        at = 0.0
        window = MovingWindow(lambda: at)
        for gap in gaps:
            at += gap
            wait_s = run(window.take(RATE, "a"))
            if wait_s is not None:
                assert 0 < wait_s <= 61 + 1e-6
                at += wait_s + 1e-6
                assert run(window.take(RATE, "a")) is None

    def test_after_a_minute_all_is_as_it_was(self) -> None:
        at = 0.0
        window = MovingWindow(lambda: at)
        for _ in range(10):
            assert run(window.take(RATE, "a")) is None
        assert run(window.take(RATE, "a")) is not None
        assert run(window.take(RATE, "b")) is None
        at += 62
        assert run(window.take(RATE, "a", 10)) is None

    def test_strangers_do_not_fill_the_memory(self) -> None:
        window = MovingWindow(known=100)
        for n in range(1000):
            run(window.take(RATE, str(n)))
        assert len(window._seen) == 100


class TestRedis:
    """Through the library; its own storage in memory where no Redis is."""

    def test_never_more_than_the_rate(self) -> None:
        async def main() -> None:
            from limits.aio.storage import MemoryStorage

            rates = RedisRates(MemoryStorage())
            taken = [await rates.take(RATE, "a") for _ in range(12)]
            assert [wait_s is None for wait_s in taken] == [True] * 10 + [False] * 2
            assert 0 < (taken[-1] or 0) <= 61
            tokens = Rate("tier", 100_000)
            assert await rates.take(tokens, "small", 99_000) is None
            assert await rates.take(tokens, "small", 2_000) is not None
            await rates.aclose()

        run(main())

    def test_without_redis_each_process_counts_for_itself(self) -> None:
        async def main() -> None:
            rates = RedisRates(redis_storage("redis://127.0.0.1:1/0"))
            taken = [await rates.take(RATE, "a") for _ in range(12)]
            assert [wait_s is None for wait_s in taken] == [True] * 10 + [False] * 2
            await rates.aclose()

        run(main())

    @pytest.mark.skipif("GROUNDED_TEST_REDIS_URL" not in os.environ, reason="needs Redis; run by make test-services")
    def test_two_processes_count_together(self) -> None:
        async def main() -> None:
            url = os.environ["GROUNDED_TEST_REDIS_URL"]
            one, two = RedisRates(redis_storage(url)), RedisRates(redis_storage(url))
            who = os.urandom(8).hex()
            taken = [await rates.take(RATE, who) for _ in range(6) for rates in (one, two)]
            assert sum(wait_s is None for wait_s in taken) == 10
            await one.aclose()
            await two.aclose()

        run(main())


class TestLine:
    def test_keys_take_turns(self) -> None:
        line: Line[str] = Line()
        for key, visitor in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")):
            line.join(key, visitor)
        assert [line.next() for _ in range(len(line))] == ["a1", "b1", "c1", "a2", "b2", "a3"]

    def test_the_last_of_who_has_much_more_gives_way(self) -> None:
        line: Line[str] = Line()
        for n in range(4):
            line.join("a", f"a{n}")
        assert line.give_way("a") is None
        assert line.give_way("b") == "a3"
        line.join("b", "b0")
        assert line.give_way("b") == "a2"
        line.join("b", "b1")
        assert line.give_way("b") is None
        assert len(line) == 4

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["join", "next", "leave", "way"]))))
    def test_it_counts_who_is_there(self, steps: list[tuple[str, str]]) -> None:
        line: Line[int] = Line()
        inside: list[tuple[str, int]] = []
        for number, (key, step) in enumerate(steps):
            if step == "join":
                line.join(key, number)
                inside.append((key, number))
            elif step == "next" and inside:
                gone = line.next()
                inside = [one for one in inside if one[1] != gone]
            elif step == "leave" and inside:
                line.leave(*inside.pop())
            elif step == "way":
                gone_or_none = line.give_way(key)
                inside = [one for one in inside if one[1] != gone_or_none]
            assert len(line) == len(inside)
        assert sorted(line.next() for _ in range(len(line))) == sorted(number for _, number in inside)


class TestPace:
    def test_the_wait_is_that_of_those_before(self) -> None:
        at = 0.0
        pace = Pace(lambda: at)
        assert pace.retry_after(5) is None
        pace.begin()
        for _ in range(10):
            at += 0.5
            pace.note()
        assert pace.retry_after(20) == 10
        at += 1000  # nobody waited meanwhile
        pace.begin()
        assert pace.retry_after(20) == 10
        at += 1000  # and now the line stands still
        assert pace.retry_after(20) == 60


@pytest.mark.usefixtures("silent")
class TestService:
    def test_a_key_that_comes_too_often_waits(self, tmp_path: Path) -> None:
        with served(tmp_path, limits={"key_per_minute": 3}) as service:
            one, two = caller(service, "a", "default"), caller(service, "b", "default")
            for _ in range(3):
                assert one.get("/v1/collections").status_code == 200
            reply = one.get("/v1/collections")
            error = assert_refused(reply, 429, "rate_limited")
            assert error["details"] == {"limit": 3, "period_s": 60, "remaining": 0, "of": "key"}
            assert 1 <= int(reply.headers["retry-after"]) <= 62
            assert two.get("/v1/collections").status_code == 200
            assert one.get("/health/live").status_code == 200

    def test_who_guesses_keys_is_counted_by_address(self, tmp_path: Path) -> None:
        with served(tmp_path, limits={"address_per_minute": 3}) as service:
            caller(service, "a", "default")
            through = {"authorization": "Bearer grd_wrong", "x-forwarded-for": "1.2.3.4"}
            for n in range(3):  # a header that no proxy of ours has written changes nothing
                given = {**through, "x-forwarded-for": f"1.2.3.{n}"}
                assert_refused(service.get("/v1/collections", headers=given), 401, "invalid_api_key")
            assert_refused(service.get("/v1/collections", headers=through), 429, "rate_limited")
            assert service.get("/health/live", headers=through).status_code == 200

    def test_too_many_headers_are_refused(self, tmp_path: Path) -> None:
        with served(tmp_path, limits={"max_headers": 20}) as service:
            many = {f"x-{n}": "1" for n in range(20)}
            assert_refused(service.get("/health/live", headers=many), 400, "invalid_request")

    def test_what_is_nested_too_deep_is_refused(self, tmp_path: Path) -> None:
        with served(tmp_path) as service:
            deep: Any = "x"
            for _ in range(60):
                deep = [deep]
            error = assert_refused(service.ask("x", filters={"a": deep}), 400, "invalid_request")
            assert "deeper than 40" in error["message"]

    def test_a_body_that_does_not_come_is_not_waited_for(self, tmp_path: Path) -> None:
        with served(tmp_path, limits={"body_s": 0.05}) as service:
            told: list[Any] = []

            async def send(message: Any) -> None:
                told.append(message)

            waiting = asyncio.Event()

            async def receive() -> Any:
                await waiting.wait()

            headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
            scope = {"type": "http", "method": "POST", "path": "/ask", "headers": headers, "query_string": b""}
            service.run(service.app({**scope, "client": ("127.0.0.1", 1)}, receive, send))
            assert told[0]["status"] == 408
            assert b"request_too_slow" in told[1]["body"]


@pytest.mark.parametrize(
    ("client", "site"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("unix", "unix"),
    ],
)
def test_of_ipv6_the_network_counts(client: str, site: str) -> None:
    assert site_of({"client": (client, 1)}) == site
