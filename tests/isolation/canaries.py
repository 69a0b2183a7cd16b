"""Puts words into the documents of many tenants that stand nowhere else, calls every route with the ids of all of them, and
looks for a word in a reply, a stream or the log where it may not stand."""

import asyncio
import random
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import structlog

from tests.app.keyed import Caller, caller, keyed
from tests.app.serving import Service
from tests.app.test_isolation import ABSENT, MATRIX

_WORD = re.compile(r"canary[0-9a-f]{12}")
_AT_ONCE = 24
_RARE = {("POST", "/v1/documents"), ("POST", "/v1/batch")}  # each is a job
_RARE_SHARE = 0.003


@dataclass(frozen=True)
class Inhabitant:
    """A caller, what may stand in replies to them, and the ids of what is theirs."""

    who: Caller
    words: frozenset[str]
    ids: Mapping[str, str]


def sweep(calls: int, tenants: int, seed: int) -> dict[str, Any]:
    """So many calls; what was found where it may not be."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="isolation-") as folder, structlog.testing.capture_logs() as log:
        hooks = {"allow": ["hooks.example"], "secret": "whsec_" + "A" * 40}
        with keyed(Path(folder), webhooks=hooks, max_waiting=1000) as service:
            people = [person for n in range(tenants) for person in settled(service, f"t{n}", draw)]
            found = service.run(_called(service, people, calls, draw))
    logged = sorted(set(_WORD.findall(str(log))))
    wrong = [*found["wrong"], *(f"the log holds {word}" for word in logged)]
    return {**found, "tenants": tenants, "callers": len(people), "log_lines": len(log), "wrong": wrong[:20]}


def settled(service: Service, tenant: str, draw: random.Random) -> Iterator[Inhabitant]:
    """Two callers of a tenant: one of the group hr with a document of it, one without groups."""
    open_word, hr_word = (f"canary{draw.getrandbits(48):012x}" for _ in range(2))
    for name, groups, words in (("hr", ("hr",), {open_word, hr_word}), ("staff", (), {open_word})):
        who = caller(service, name, tenant, scopes=("ask", "ingest"), groups=groups)
        mine = hr_word if name == "hr" else open_word
        text = f"# The {mine} file\n\nThe code {mine} opens the harbour gate of {tenant}.\n"
        ids = {"upload": who.upload(f"{mine}.md", text, groups)["id"]}
        (document,) = [d for d in who.get("/v1/documents").json()["data"] if mine in d["filename"]]
        told = who.ask().json()
        ids |= {"document": document["id"], "gone": document["id"], "answer": told["id"], "webhook": ABSENT["webhook"]}
        ids["source"] = next(s["id"] for s in told["sources"] if s["document_id"] == document["id"])
        batch = who.post("/v1/batch", {"questions": [{"id": mine, "question": "Which code opens the harbour gate?"}]})
        ids |= {"batch": batch.json()["id"], "deletion": ids["upload"]}
        yield Inhabitant(who, frozenset(words), ids)


class _Recorder:
    """Takes a call of the matrix without making it."""

    def request(self, method: str, path: str, **more: Any) -> tuple[str, str, dict[str, Any]]:
        return method, path, more


async def _called(service: Service, people: list[Inhabitant], calls: int, draw: random.Random) -> dict[str, Any]:
    routes = sorted(MATRIX)
    statuses: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    wrong: list[str] = []
    seen = 0
    transport = httpx2.ASGITransport(app=service.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as http:

        async def one() -> None:
            nonlocal seen
            asker, owner = draw.choice(people), draw.choice(people)
            route = draw.choice(routes)
            while route in _RARE and draw.random() > _RARE_SHARE * len(routes):
                route = draw.choice(routes)
            if route[0] == "DELETE" and owner.words <= asker.words:
                return  # one's own stays
            method, path, more = MATRIX[route].call(_Recorder(), dict(owner.ids))  # type: ignore[arg-type, misc]
            more["headers"] = {"authorization": f"Bearer {asker.who.secret}", **more.get("headers", {})}
            reply = await http.request(method, path, **more)
            words = set(_WORD.findall(f"{reply.headers} {reply.text}"))
            seen += len(words)
            statuses[str(reply.status_code)] += 1
            reached[" ".join(route)] += 1
            if words - asker.words:
                wrong.append(
                    f"{' '.join(route)} tells {asker.who.key and asker.who.key.tenant} of {words - asker.words}"
                )
            if reply.status_code >= 500 and reply.status_code != 503:
                wrong.append(f"{' '.join(route)} ends with {reply.status_code}")

        for begun in range(0, calls, _AT_ONCE):
            await asyncio.gather(*(one() for _ in range(min(_AT_ONCE, calls - begun))))
    least = min((reached[" ".join(route)] for route in routes), default=0)
    told = {"calls": sum(statuses.values()), "routes": len(reached), "least_called": least, "words_seen": seen}
    return {**told, "statuses": dict(statuses), "wrong": wrong}
