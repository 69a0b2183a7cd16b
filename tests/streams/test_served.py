"""Small samples of `python -m tests.streams`: the real server process on real sockets. How much and how fast is told there."""

import signal
import time
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from tests.streams.clients import stayed, visited
from tests.streams.drain import DOCUMENTS, asked, drained, modelled, read, settings_of, turned_away, wrong
from tests.streams.running import running, until, with_documents
from tests.streams.slow import dropped

pytestmark = pytest.mark.slow
UNDRAINED = 600.0  # longer than anybody waits for the end here


def test_every_stream_has_its_end_and_no_job_is_lost_when_the_service_ends() -> None:
    found = drained(8, 4, drain_s=2)
    assert wrong(found) == [], found


def test_until_the_last_stream_has_ended_whoever_comes_is_told_to_come_back(tmp_path: Path) -> None:
    with modelled() as (url, model, loop):
        settings = settings_of(url, 8, UNDRAINED)
        with running(tmp_path / "state", tmp_path / "log", **settings) as served:
            with_documents(served, DOCUMENTS)
            line = asked(served, 0)
            until(lambda: model.begun)
            served.process.send_signal(signal.SIGTERM)
            for _ in range(3):
                assert turned_away(served) == (503, [503, "shutting_down", True])
                time.sleep(0.3)  # by then a server that closes its door first has closed it
            loop.call_soon_threadsafe(model.go_on.set)
            assert read(line) == ("done", True)
            assert served.process.wait(PATIENCE_S) == 0, served.log
            assert "Traceback" not in served.log


def test_a_question_that_is_in_line_when_the_drain_time_is_over_is_told_so(tmp_path: Path) -> None:
    with modelled() as (url, model, _):
        settings = settings_of(url, 1, 1.0)
        with running(tmp_path / "state", tmp_path / "log", **settings) as served:
            with_documents(served, DOCUMENTS)
            first = asked(served, 1)
            until(lambda: model.begun)
            second = asked(served, 2)
            until(lambda: served.request("GET", "/health/live")[0] == 200)  # what was sent before has been read
            served.process.send_signal(signal.SIGTERM)
            assert read(first) == ("shutting_down", True)
            with second:
                reply = second.makefile("rb").read()
            assert served.process.wait(PATIENCE_S) == 0, served.log
        assert reply.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: " in reply
        assert b'"code":"shutting_down"' in reply
        assert model.begun == {1}


def test_streams_that_are_left_leave_nothing_behind() -> None:
    found = visited(40, every_s=0.5, measured_s=2)
    assert stayed(found) == [], found
    assert found["lost"] == 0
    assert found["descriptors"][1] >= found["descriptors"][0] + 40


def test_clients_that_take_nothing_are_dropped_and_what_they_left_is_bounded() -> None:
    found = dropped(20)
    assert found["left"] == [], found
