"""Outages in virtual time, through the real chain: how many calls they cost, and how soon they are noticed and over."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from generation.answer import answer_events
from generation.breaker import Breaker, Policy
from generation.checks import Checks
from generation.errors import GenerationError
from generation.events import TextAdded, TextRetracted
from generation.fallback import Chain, Limits, Link
from generation.model import Ask, DraftEnd
from generation.verify import VerbatimVerifier
from tests.passages import context
from tests.upstream.virtual import run_virtually
from tests.upstream.world import Endpoint, State, always, at_times, tally

CONTEXT = context("Refunds are issued within 14 days.")
BEFORE_S, OUTAGE_S, AFTER_S = 10.0, 60.0, 20.0
RATE = 20.0  # questions a second, at random times
DEADLINE_S = 120.0


class Traffic:
    """Questions that come whether or not the ones before have been answered."""

    def __init__(self, chain: Chain, endpoints: Sequence[Endpoint], seed: int) -> None:
        self._chain = chain
        self._texts = {"".join(endpoint.words): endpoint.name for endpoint in endpoints}
        self._dice = random.Random(seed)
        self.asked: list[float] = []
        self.by: list[str] = []  # who answered, "error" where nobody did
        self.longest_s = 0.0
        self.wrong: list[str] = []

    async def run(self, questions: int) -> None:
        loop = asyncio.get_running_loop()
        tasks = []
        for _ in range(questions):
            self.asked.append(loop.time())
            tasks.append(asyncio.create_task(self._ask()))
            await asyncio.sleep(self._dice.expovariate(RATE))
        await asyncio.gather(*tasks)

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        begun, text, end = loop.time(), "", None
        try:
            drafts = self._chain.draft(Ask("How long?"), CONTEXT)
            async with aclosing(answer_events(drafts, CONTEXT, Checks(VerbatimVerifier()), "token")) as events:
                async for event in events:
                    if isinstance(event, TextAdded):
                        text += event.text
                    elif isinstance(event, TextRetracted):
                        text = text[: event.start] + event.replacement + text[event.end :]
                    elif isinstance(event, DraftEnd):
                        end = event
        except GenerationError:
            pass
        self.longest_s = max(self.longest_s, loop.time() - begun)
        self.by.append("error" if end is None else str(end.model))
        if end is not None and self._texts.get(text) != end.model:
            self.wrong.append(f"{text!r} is not what {end.model} says")


def _chain(endpoints: Sequence[Endpoint], local: Endpoint | None, seed: int, policy: Policy | None = None) -> Chain:
    """In the running loop's time."""
    clock, dice = asyncio.get_running_loop().time, random.Random(seed)
    links = [Link(endpoint, endpoint.name, Breaker(clock, policy, dice=dice.random)) for endpoint in endpoints]
    last = [] if local is None else [Link(local, local.name)]
    return Chain([*links, *last], Limits(DEADLINE_S), clock=clock, dice=dice.random)


def outage(n: int, seed: int) -> dict[str, Any]:
    """`n` outages of a minute, half of them refusals, half stalls, each in a run of its own."""
    runs = [run_virtually(_outage(("refuses", "stalls")[run % 2], seed + run)) for run in range(n)]
    wrong = [line for run in runs for line in run["wrong"]]
    worst = {key: max(run[key] for run in runs) for key in runs[0] if key not in ("wrong", "answered")}
    return {"outages": n, **worst, "answered": min(run["answered"] for run in runs), "wrong": wrong}


async def _outage(how: State, seed: int, policy: Policy | None = None) -> dict[str, Any]:
    healed = BEFORE_S + OUTAGE_S
    model = Endpoint("model", lambda now: how if BEFORE_S <= now < healed else "well")
    quoting = Endpoint("quoting", always("well"))
    opened: list[float] = []
    loop = asyncio.get_running_loop()
    dice = random.Random(seed)
    breaker = Breaker(
        loop.time, policy, dice=dice.random, on_change=lambda s: opened.append(loop.time()) if s == "open" else None
    )
    chain = Chain(
        [Link(model, "model", breaker), Link(quoting, "quoting")], Limits(DEADLINE_S), clock=loop.time, dice=dice.random
    )
    traffic = Traffic(chain, (model, quoting), seed)
    await traffic.run(int(RATE * (BEFORE_S + OUTAGE_S + AFTER_S)))
    asked = [at for at in traffic.asked if BEFORE_S <= at < healed]
    called = [at for at in model.calls if BEFORE_S <= at < healed]
    first_open = opened[0] if opened else float("inf")
    probes = [at for at in called if at > first_open]
    back = min((at for at in model.answers if at >= healed), default=float("inf")) - healed
    found = {
        "calls_per_request": round(len(called) / len(asked), 4),
        "failures_before_open": sum(at <= first_open for at in model.failures),
        "probes_a_second": round(len(probes) / (healed - first_open), 2) if probes else 0.0,
        "back_after_s": round(back, 2),
        "longest_s": round(traffic.longest_s, 2),
        "answered": sum(who != "error" for who in traffic.by) / len(traffic.by),
    }
    return found | {"wrong": [f"{how}: {line}" for line in (*_misses(found), *traffic.wrong)]}


def _misses(found: dict[str, float]) -> list[str]:
    bars = {"calls_per_request": 1.10, "failures_before_open": 20, "probes_a_second": 1.0, "back_after_s": 5.0}
    bars["longest_s"] = DEADLINE_S + 0.25
    said = [f"{key} {found[key]} is above {bar}" for key, bar in bars.items() if not found[key] <= bar]
    return [*said, *(["a question had no answer"] if found["answered"] < 1 else [])]


def faults(n: int, seed: int) -> dict[str, Any]:
    """`n` questions while three tenths of the first endpoint's calls fail and a tenth stall; two endpoints stand behind it."""
    return run_virtually(_faults(n, seed))


async def _faults(n: int, seed: int) -> dict[str, Any]:
    shares: dict[State, float] = {"refuses": 0.1, "breaks off": 0.1, "tears": 0.1, "stalls": 0.1}
    first = Endpoint("first", at_times(shares, seed))
    others = [Endpoint("second", always("well")), Endpoint("third", always("well"))]
    traffic = Traffic(_chain([first, *others], None, seed), (first, *others), seed)
    await traffic.run(n)
    answered = n - traffic.by.count("error")
    wrong = [*traffic.wrong, *([f"only {answered} of {n} were answered"] if answered < 0.999 * n else [])]
    calls = sum(len(endpoint.calls) for endpoint in (first, *others))
    return {
        "asked": n,
        "answered": answered,
        "by": tally(traffic.by),
        "calls_per_request": round(calls / n, 3),
        "failures_of_first": len(first.failures),
        "longest_s": round(traffic.longest_s, 2),
        "wrong": wrong,
    }


def amplification(n: int, seed: int) -> dict[str, Any]:
    """`n` questions in an outage that no breaker notices: what the budget of retries alone allows."""
    return run_virtually(_amplification(n, seed))


async def _amplification(n: int, seed: int) -> dict[str, Any]:
    blind = Policy(in_a_row=n * 10, share=2.0)
    model, quoting = Endpoint("model", always("refuses")), Endpoint("quoting", always("well"))
    traffic = Traffic(_chain([model], quoting, seed, blind), (model, quoting), seed)
    await traffic.run(n)
    rate = len(model.calls) / n
    wrong = [] if rate <= 1.1 + 3 / n else [f"{rate} calls for each question"]
    return {"asked": n, "calls_per_request": round(rate, 4), "by": tally(traffic.by), "wrong": [*traffic.wrong, *wrong]}
