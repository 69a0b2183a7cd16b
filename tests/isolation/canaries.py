"""Puts words into the documents of many tenants that stand nowhere else, calls every route with the ids of all of them, and
looks for a word in a reply, a stream, the log or a row of the database where it may not stand."""

import asyncio
import random
import re
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import structlog

from tests.app.keyed import Caller, caller, keyed
from tests.app.serving import Service, events_of
from tests.app.test_isolation import ABSENT, MATRIX

_WORD = re.compile(r"canary[0-9a-f]{12}")
_AT_ONCE = 48
_RARE = {("POST", "/v1/documents"), ("POST", "/v1/batch")}  # each is a job
_RARE_SHARE = 0.003
_MADE_ANEW = 0.1  # of the answers; others may come from the cache
_MOST_DOCUMENTS = 3  # of a tenant: two of its own, and the one that the matrix uploads under the same name
_SETTINGS: dict[str, Any] = {"max_waiting": 1000, "cache": {"mode": "exact"}, "resume_grace_s": 3600}
_ASKS = ("/ask", "/v1/ask")


@dataclass(frozen=True)
class Inhabitant:
    """A caller, what may stand in replies to them, and the ids of what is theirs."""

    who: Caller
    words: frozenset[str]
    ids: Mapping[str, str]

    @property
    def tenant(self) -> str:
        return self.who.key.tenant if self.who.key is not None else ""


@dataclass
class Tally:
    """What was called, what was seen, and what was wrong."""

    statuses: Counter[str] = field(default_factory=Counter)
    routes: Counter[tuple[str, str]] = field(default_factory=Counter)
    words: int = 0
    cached: int = 0
    counts: int = 0
    wrong: list[str] = field(default_factory=list)


def sweep(calls: int, tenants: int, seed: int, seconds: float = float("inf")) -> dict[str, Any]:
    """So many calls, or as many as fit into the seconds; what was found where it may not be."""
    draw = random.Random(seed)
    hooks = {"allow": ["hooks.example"], "secret": "whsec_" + "A" * 40}
    with tempfile.TemporaryDirectory(prefix="isolation-") as folder, structlog.testing.capture_logs() as log:
        with keyed(Path(folder), webhooks=hooks, **_SETTINGS) as service:
            people = [person for n in range(tenants) for person in settled(service, f"t{n}", draw)]
            begun = time.perf_counter()
            tally = service.run(_called(service, people, calls, draw, seconds))
            rate = sum(tally.statuses.values()) / (time.perf_counter() - begun)
        rows, mixed = _rows_of_two(Path(folder), people)
    logged = sorted(set(_WORD.findall(str(log))))
    wrong = [*tally.wrong, *(f"the log holds {word}" for word in logged), *mixed]
    return {**_told(tally), "per_second": round(rate, 1), "callers": len(people)} | {
        "log_lines": len(log),
        "rows": rows,
        "wrong": wrong,
    }


def _told(tally: Tally) -> dict[str, Any]:
    return {
        "calls": sum(tally.statuses.values()),
        "routes": len(tally.routes),
        "least_called": min((tally.routes[route] for route in MATRIX), default=0),
        "words_seen": tally.words,
        "from_cache": tally.cached,
        "counts_seen": tally.counts,
        "statuses": dict(tally.statuses),
    }


def settled(service: Service, tenant: str, draw: random.Random) -> Iterator[Inhabitant]:
    """Two callers of a tenant: one of the group hr with a document of it, one without groups."""
    open_word, hr_word = (f"canary{draw.getrandbits(48):012x}" for _ in range(2))
    for name, groups, words in (("hr", ("hr",), {open_word, hr_word}), ("staff", (), {open_word})):
        who = caller(service, name, tenant, scopes=("ask", "ingest"), groups=groups)
        mine = hr_word if name == "hr" else open_word
        text = f"# The {mine} file\n\nThe code {mine} opens the harbour gate of {tenant}.\n"
        ids = {"upload": who.upload(f"{mine}.md", text, groups)["id"]}
        (document,) = [d for d in who.get("/v1/documents").json()["data"] if mine in d["filename"]]
        told = who.ask(cache="bypass").json()
        ids |= {"document": document["id"], "gone": document["id"], "answer": told["id"], "webhook": ABSENT["webhook"]}
        ids["source"] = next(s["id"] for s in told["sources"] if s["document_id"] == document["id"])
        batch = who.post("/v1/batch", {"questions": [{"id": mine, "question": "Which code opens the harbour gate?"}]})
        ids |= {"batch": batch.json()["id"], "deletion": ids["upload"]}
        ids["resumable"] = events_of(who.ask(stream=True, resumable=True).content)[0]["answer_id"]
        yield Inhabitant(who, frozenset(words), ids)


class _Recorder:
    """Takes a call of the matrix without making it."""

    def request(self, method: str, path: str, **more: Any) -> tuple[str, str, dict[str, Any]]:
        return method, path, more


async def _called(service: Service, people: list[Inhabitant], calls: int, draw: random.Random, seconds: float) -> Tally:
    tally, left, end = Tally(), calls, time.monotonic() + seconds
    transport = httpx2.ASGITransport(app=service.app)
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=60, limits=limits) as http:

        async def visitor() -> None:
            nonlocal left
            while left > 0 and time.monotonic() < end:
                left -= 1
                await _one(http, people, draw, tally)

        await asyncio.gather(*(visitor() for _ in range(_AT_ONCE)))
    return tally


async def _one(http: httpx2.AsyncClient, people: list[Inhabitant], draw: random.Random, tally: Tally) -> None:
    """Somebody calls some route with somebody's ids."""
    asker, owner = draw.choice(people), draw.choice(people)
    route = _route(draw)
    if route[0] == "DELETE" and owner.words <= asker.words:
        owner = next(person for person in people if not person.words <= asker.words)  # one's own stays
    method, path, more = MATRIX[route].call(_Recorder(), dict(owner.ids))  # type: ignore[arg-type, misc]
    anew = {"cache-control": "no-cache"} if path.startswith(_ASKS) and draw.random() < _MADE_ANEW else {}
    more["headers"] = {"authorization": f"Bearer {asker.who.secret}", **more.get("headers", {}), **anew}
    reply = await http.request(method, path, **more)
    tally.statuses[str(reply.status_code)] += 1
    tally.routes[route] += 1
    _look(route, asker, reply, tally)


def _route(draw: random.Random) -> tuple[str, str]:
    routes = _ROUTES
    route = draw.choice(routes)
    while route in _RARE and draw.random() > _RARE_SHARE * len(routes):
        route = draw.choice(routes)
    return route


_ROUTES = sorted(MATRIX)


def _look(route: tuple[str, str], asker: Inhabitant, reply: httpx2.Response, tally: Tally) -> None:
    name = " ".join(route)
    words = set(_WORD.findall(f"{reply.headers} {reply.text}"))
    tally.words += len(words)
    if words - asker.words:
        tally.wrong.append(f"{name} tells {asker.tenant} of {words - asker.words}")
    if reply.status_code >= 500 and reply.status_code != 503:
        tally.wrong.append(f"{name} ends with {reply.status_code}")
    if route == ("POST", "/ask") and reply.status_code == 200:
        tally.cached += '"cache":"exact"' in reply.text
    if route == ("GET", "/v1/collections") and reply.status_code == 200:
        tally.counts += 1
        if any(row["documents"] > _MOST_DOCUMENTS for row in reply.json()["data"]):
            tally.wrong.append(f"{name} counts documents of others for {asker.tenant}")


def _rows_of_two(folder: Path, people: list[Inhabitant]) -> tuple[int, list[str]]:
    """Rows of any table (jobs, kept answers, explanations, replies to idempotency keys, chunks) that hold words of two
    tenants."""
    whose = {word: person.tenant for person in people for word in person.words}
    seen, wrong = 0, []
    with sqlite3.connect(folder / "state" / "catalog.sqlite") as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in db.execute(f'SELECT * FROM "{table}"'):
                seen += 1
                text = " ".join(_text(value) for value in row)
                if len({whose[word] for word in _WORD.findall(text) if word in whose}) > 1:
                    wrong.append(f"a row of {table} holds words of two tenants")
    return seen, wrong


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
