"""What a file does to its reader, it does to itself alone."""

import asyncio
import errno
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest

from ingest.errors import (
    Broken,
    EmptyText,
    FileError,
    ReaderCrashed,
    ReaderTimeout,
    ResourceLimit,
    TooLarge,
    Unreadable,
)
from ingest.model import Block, Parsed
from ingest.readers import pool as pool_module
from ingest.readers.pool import ReaderLimits, ReaderPool
from tests.ingest.reading import source
from tests.patience import PATIENCE_S

HOSTILE = "tests.ingest.hostile:read"


class Limits(ReaderLimits):
    """A file of one byte gets little time, and any other as much as a busy machine may want."""

    def seconds(self, size: int) -> float:
        return 2.0 if size == 1 else PATIENCE_S


LIMITS = Limits(max_file_bytes=1000, max_text_chars=100_000, memory_bytes=256 << 20)


def with_pool(use: Callable[[ReaderPool], Coroutine[Any, Any, Any]], reader: str = HOSTILE, children: int = 1) -> Any:
    async def run() -> Any:
        pool = ReaderPool(LIMITS, children=children, reader=reader)
        try:
            return await use(pool)
        finally:
            await pool.close()

    return asyncio.run(run())


def test_parsed_arrives_as_it_was():
    async def use(pool):
        return await pool.read(source("ok"), "grüß 👩‍👧".encode())

    text = "grüß 👩‍👧"
    block = Block("paragraph", 0, len(text), ("h",), 1, 2, "3", (1.0, 2.5, 3.0, 4.0), "top")
    assert with_pool(use) == Parsed("t", text, (block,), "text/plain", 4, {"k": "v"})


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("hang", ReaderTimeout),
        ("spin", ReaderTimeout),
        ("exit", ReaderCrashed),
        ("segfault", ReaderCrashed),
        ("memory", ResourceLimit),
        ("memory in a library", ResourceLimit),
        ("processor", ResourceLimit),
        ("killed", ResourceLimit),
        ("not an answer", ReaderCrashed),
        ("wide", ReaderCrashed),
        ("numbers", ReaderCrashed),
        ("surprise", Broken),
        ("huge", TooLarge),
        ("blank", EmptyText),
        ("writes", Broken),
    ],
)
def test_a_bad_file_fails_alone(name, error):
    async def use(pool):
        before = await pool.read(source("before"), b"before")
        with pytest.raises(error) as raised:
            await pool.read(source(name), b"x" if error is ReaderTimeout else b"xx")
        assert name in raised.value.message
        assert "secret" not in raised.value.message
        assert raised.value.next_step
        after = await pool.read(source("after"), b"after")
        return before.text, after.text

    assert with_pool(use) == ("before", "after")


def test_what_harms_its_reader_is_for_quarantine():
    told = {
        error: error.quarantine for error in (ReaderTimeout, ReaderCrashed, ResourceLimit, Broken, TooLarge, EmptyText)
    }
    assert [error for error, so in told.items() if so] == [ReaderTimeout, ReaderCrashed, ResourceLimit]


@pytest.mark.parametrize(("first", "second"), [("leak", "memory of this file"), ("crash of the one after", "slow")])
def test_a_good_file_does_not_pay_for_the_one_before(first, second):
    """What a file leaves behind in its reader, memory held or a heap destroyed, kills the reader of the next one: that
    one is read again by a fresh reader."""

    async def use(pool):
        await pool.read(source(first), b"xx")
        return (await pool.read(source(second), b"good")).text

    assert with_pool(use) == "good"


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are of Linux")
def test_a_reader_that_was_taken_over_gets_nowhere():
    async def use(pool):
        return (await pool.read(source("fences"), b"xx")).text, (await pool.read(source("thread"), b"xx")).text

    assert with_pool(use) == ("none", "xx")


def test_without_its_parent_a_reader_ends_by_itself():
    """The clock is the parent's; processor time is counted by the system."""
    settings = orjson.dumps(
        {"memory_bytes": 512 << 20, "reader": HOSTILE, "max_pages": 1, "max_text_chars": 9}
    ).decode()
    script = f"import sys; sys.path[:] = {sys.path!r}; from ingest.readers.child import main; main({settings!r})"
    request = orjson.dumps({"name": "spin", "size": 0, "seconds": 1.0}) + b"\n"
    ran = subprocess.run(
        [sys.executable, "-I", "-c", script], input=request, capture_output=True, timeout=5 * PATIENCE_S
    )
    assert ran.returncode == -signal.SIGXCPU


def test_a_small_file_gets_less_time_than_a_large_one():
    limits = ReaderLimits()
    assert [limits.seconds(size) for size in (0, 2**20, 50 * 2**20)] == [8.0, 10.0, 60.0]
    assert ReaderLimits(timeout_s=3.0).seconds(0) == 3.0


def test_a_system_that_starts_no_process_costs_the_file_and_not_the_run(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def use(pool):
        with monkeypatch.context() as patch:
            patch.setattr("ingest.readers.pool.Popen", refuse)
            with pytest.raises(Unreadable) as raised:
                await pool.read(source("ok"), b"xx")
        return isinstance(raised.value, FileError), (await pool.read(source("ok"), b"good")).text

    assert with_pool(use) == (True, "good")


def test_a_hanging_file_is_ended_on_time_and_neighbours_go_on():
    async def use(pool):
        files = {"hang": b"x"}
        found = await asyncio.gather(
            *(pool.read(source(name), files.get(name, b"xx")) for name in ("hang", "a", "b", "hang", "c")),
            return_exceptions=True,
        )
        return [getattr(each, "text", type(each)) for each in found]

    assert with_pool(use, children=2) == [ReaderTimeout, "xx", "xx", ReaderTimeout, "xx"]


def test_cancelling_ends_the_child():
    async def use(pool):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.read(source("hang"), b"xx"), 0.4)
        return (await pool.read(source("after"), b"after")).text

    assert with_pool(use) == "after"


def test_a_file_above_the_limit_is_not_even_sent():
    async def use(pool):
        with pytest.raises(TooLarge):
            await pool.read(source("big"), b"x" * 1001)
        return pool._idle

    assert with_pool(use) == []


def test_the_child_has_no_environment_and_no_torch(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")

    async def use(pool):
        return (await pool.read(source("environment"), b"xx")).text, (await pool.read(source("modules"), b"xx")).text

    environment, modules = with_pool(use)
    assert "OPENAI" not in environment
    assert not {"torch", "transformers", "sqlalchemy", "fastapi"} & set(modules.split())


def test_what_a_library_prints_is_no_answer():
    async def use(pool):
        return (await pool.read(source("prints"), b"text")).text

    assert with_pool(use) == "text"


def test_it_can_be_closed_and_used_again():
    async def use(pool):
        await pool.read(source("a"), b"aa")
        await pool.close()
        await pool.close()
        return (await pool.read(source("b"), b"bb")).text

    assert with_pool(use) == "bb"


def test_one_child_serves_many_files(monkeypatch):
    """Six hundred small files take less than two seconds so; a process for each would take minutes."""
    started = []
    real = pool_module.Popen
    monkeypatch.setattr(pool_module, "Popen", lambda *words, **more: started.append(1) or real(*words, **more))

    async def use(pool):
        for number in range(600):
            await pool.read(source(f"{number}.md"), b"# Title\n\nSome text of a small file.\n" * 10)
        return len(pool._idle)

    assert with_pool(use, reader="ingest.readers.registry:read") == len(started) == 1
