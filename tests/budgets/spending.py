"""The checks: what is spent is never more than there is, and what the dead held comes back."""

import asyncio
import json
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.adapters.sql_budgets import SqlBudgets
from app.budgets.ledger import Ledger
from app.budgets.model import Standing
from tests.app.budgeting import budgets_at
from tests.budgets.caller import EACH, MOST, SUBJECT, called
from tests.patience import PATIENCE_S
from tests.scripted_upstream import Stall, Step, Upstream, reply, upstream, usage

FOR = 10
_FREE_S = 60.0


def answer() -> list[Step]:
    """A whole answer that took all that the call may take."""
    said = reply("Fourteen days [1].")
    said[-2] = usage(MOST.input_tokens, MOST.output_tokens, 0)
    return said


def parallel(n: int, _seed: int) -> dict[str, Any]:
    """`n` calls at once; the database is looked at all the time."""
    return asyncio.run(_parallel(n))


async def _parallel(n: int) -> dict[str, Any]:
    async with _budgeted() as (folder, store), upstream(*answer()) as seen:
        ledger, highest = Ledger(store), [0]
        watching = asyncio.create_task(_watched(store, highest))
        told = await called(ledger, seen.url, n)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await ledger.close()
        end, most = await _standing(store), FOR * EACH.nano_usd
        del folder
        wrong = [*_spent(end, seen, told.made), *_made(told.made, told.failed, n)]
        wrong += [f"{highest[0]} were spent and reserved of {most}"] if highest[0] > most else []
    return {"calls": n, **vars(told), "spent": end.spent, "budget": most, "highest": highest[0], "wrong": wrong}


def processes(n: int, _seed: int) -> dict[str, Any]:
    """Half of the calls each, begun at the same time."""
    return asyncio.run(_processes(n))


async def _processes(n: int) -> dict[str, Any]:
    async with _budgeted() as (folder, store), upstream(*answer()) as seen:
        both = [await _begun(folder, seen.url, n // 2) for _ in range(2)]
        for process in both:
            _go(process)
        told = [json.loads(await _line(process)) for process in both]
        for process in both:
            await process.wait()
        end = await _standing(store)
        made, failed = (sum(one[name] for one in told) for name in ("made", "failed"))
        wrong = [*_spent(end, seen, made), *_made(made, failed, n)]
    each = [one["made"] for one in told]
    return {"calls": n, "made": each, "failed": failed, "spent": end.spent, "budget": end.most, "wrong": wrong}


def kill(n: int, _seed: int) -> dict[str, Any]:
    """What they held is free in a minute for a process that goes on, and at once for one that starts."""
    return asyncio.run(_kill(n))


async def _kill(n: int) -> dict[str, Any]:
    wrong: list[str] = []
    async with _budgeted() as (folder, store), upstream(Stall()) as seen:
        on = Ledger(store)
        await on.begin()
        freed: list[float] = []
        for number in range(n):
            await _killed(folder, store, seen)
            begun = time.monotonic()
            if number:  # the first is left to the lease, the others to a start on the same machine
                starting = Ledger(store)
                await starting.begin()
                await starting.close()
            while (await _standing(store)).reserved and time.monotonic() - begun < 2 * _FREE_S:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            freed.append(round(time.monotonic() - begun, 2))
        end = await _standing(store)
        await on.close()
    wrong += [f"held for {seconds} s" for seconds in freed if seconds > _FREE_S]
    wrong += [f"{end.reserved} still reserved"] if end.reserved else []
    return {"kills": n, "by_lease_s": freed[0], "by_start_s": max(freed[1:], default=None), "wrong": wrong}


async def _killed(folder: Path, store: SqlBudgets, seen: Upstream) -> None:
    """A process that died while the endpoint was at all of its calls."""
    process = await _begun(folder, seen.url, FOR)
    before = seen.connections
    _go(process)
    async with asyncio.timeout(PATIENCE_S):
        while seen.connections - before < FOR:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert (await _standing(store)).reserved == FOR * EACH.nano_usd
    process.kill()
    await process.wait()


async def _begun(folder: Path, url: str, calls: int) -> Process:
    words = ("-m", "tests.budgets.caller", str(folder), url, str(calls))
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=PIPE, stdout=PIPE)
    assert await _line(process) == b"begun\n"
    return process


def _go(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")


async def _line(process: Process) -> bytes:
    assert process.stdout is not None
    return await asyncio.wait_for(process.stdout.readline(), 5 * PATIENCE_S)


async def _watched(store: SqlBudgets, highest: list[int]) -> None:
    while True:
        now = await _standing(store)
        highest[0] = max(highest[0], now.spent + now.reserved)


async def _standing(store: SqlBudgets) -> Standing:
    return (await store.standings((SUBJECT,), datetime.now(UTC)))[0]


def _made(made: int, failed: int, n: int) -> list[str]:
    """As many as there is money for; fewer only where the database was too busy for a call, which then was not made."""
    fewer = made < min(n, FOR) and not failed
    return [f"{made} calls were made"] if made > FOR or fewer else []


def _spent(end: Standing, seen: Upstream, made: int) -> list[str]:
    wrong = [f"{end.spent} spent of {end.most}"] if end.spent > end.most else []
    wrong += [f"{end.spent} spent for {made} calls"] if end.spent != made * EACH.nano_usd else []
    wrong += [f"the endpoint saw {seen.connections} calls"] if seen.connections != made else []
    return wrong + ([f"{end.reserved} still reserved"] if end.reserved else [])


@asynccontextmanager
async def _budgeted() -> AsyncIterator[tuple[Path, SqlBudgets]]:
    """A database with money for ten calls. A day that ends meanwhile has a budget of its own, so it is a month's."""
    with tempfile.TemporaryDirectory() as folder:
        async with budgets_at(Path(folder)) as store:
            await store.put(SUBJECT, {("usd", "month"): FOR * EACH.nano_usd})
            yield Path(folder), store
