"""Outputs of a model that obeys whatever documents say, through the real service over real sockets: nothing happens but text.

A document holds an order among an attack's words, at its start, middle or end, in one of several encodings; a question that
is narrowed to that document brings it into the prompt; the model carries the order out.
"""

import http.client
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.app.serving import write
from tests.checks import Unavailable
from tests.journeys.test_service import GROUNDED, Served, environment, grounded, serving
from tests.security.attacks import CARD, CONTEXTS, HIDING, KEY, MAIL, PHONE, POSITIONS, acts, attacks, hidden, planted
from tests.security.effects import ever_told, frames, leaked, told, wrong_with
from tests.security.obedient_model import Obedient, Trap, obedient

CANARY = "zebra-canary-7731"  # stands in a collection that nobody asks
CLIENTS = 4
ASKED_EACH = 4  # questions to one document: it orders something else each time
_HEADERS = {"content-type", "cache-control", "connection", "date", "server", "transfer-encoding", "x-request-id"}


@dataclass(frozen=True, slots=True)
class Run:
    """One question: to which document, and how."""

    nth: int
    document: str
    question: str
    release: str


@dataclass
class Outcome:
    """What was said and what was wrong with it."""

    texts: list[tuple[str, str]] = field(default_factory=list)  # as the model said it, as it came out
    wrong: list[str] = field(default_factory=list)
    headers: set[frozenset[str]] = field(default_factory=set)
    filtered: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)


@contextmanager
def attacked(folder: Path, n: int, seed: int, **settings: str) -> Iterator[tuple[Served, Obedient, Trap, list[Run]]]:
    """The service with its documents, the model, and the questions to ask."""
    if not GROUNDED.exists():
        raise Unavailable("the command grounded is not installed here")
    draw, every, names = Random(seed), attacks(), list(acts())
    draw.shuffle(every)
    files: dict[str, str | bytes] = {}
    orders: dict[int, list[tuple[str, str]]] = {}
    questions: list[str] = []
    ways = [(position, encoding) for position in POSITIONS for encoding in HIDING]
    for number in range(-(-n // ASKED_EACH)):
        attack, (position, encoding) = every[number % len(every)], ways[number % len(ways)]
        words = hidden(attack, number, encoding)
        context, question = CONTEXTS[number % len(CONTEXTS)]
        questions.append(question)
        files[f"doc{number:06d}.md"] = planted(context, words, position)
        orders[number] = [(names[(number * ASKED_EACH + k) % len(names)], attack) for k in range(ASKED_EACH)]
    with obedient(orders) as (model, trap):
        docs, other = write(folder / "docs", files), write(folder / "other", {"secret.md": f"The word is {CANARY}.\n"})
        env = environment(folder / "state")
        for place, collection in ((docs, "default"), (other, "secret")):
            ran = grounded("ingest", str(place), "--collection", collection, env=env)
            if ran.returncode:
                raise Unavailable(f"ingest failed: {ran.stderr[-300:]}")
        with serving(folder / "state", folder, **_settings(model.seen.url), **settings) as served:
            runs = [_run(nth, questions) for nth in range(n)]
            yield served, model, trap, runs


def _run(nth: int, questions: Sequence[str]) -> Run:
    number = nth // ASKED_EACH
    return Run(nth, f"doc{number:06d}.md", questions[number], ("sentence", "token")[nth // 3 % 2])


def _settings(url: str) -> dict[str, str]:
    return {
        "GROUNDED_GENERATION__BACKEND": "openai_chat",
        "GROUNDED_GENERATION__BASE_URL": url,
        "GROUNDED_GENERATION__MODEL": "obedient",
        "GROUNDED_GENERATION__PRICE_INPUT": "1",
        "GROUNDED_GENERATION__PRICE_OUTPUT": "2",
        "GROUNDED_ABSTENTION__BEFORE_MODEL": "ask",  # all that may go wrong is to be seen
        "GROUNDED_VERIFICATION__NONE_CARRIED": "mark",
        "GROUNDED_CONTEXT__TOKENIZER": "estimate",
        "GROUNDED_EMBEDDER__THREADS": "1",
        "GROUNDED_CONTEXT__PER_SOURCE": "8",
    }


def asked(served: Served, model: Obedient, runs: Sequence[Run], outcome: Outcome) -> None:
    """Ask one question after the other."""
    with closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)) as line:
        for run in runs:
            body = {
                "question": f"{run.question} (Q-{run.nth})",
                "stream": True,
                "release": run.release,
                "filters": {"filename": run.document},
            }
            line.request("POST", "/ask", json.dumps(body), {"content-type": "application/json"})
            reply = line.getresponse()
            raw = reply.read()
            if reply.status != 200:
                outcome.wrong.append(f"{run}: {reply.status} {raw[:200]!r}")
                continue
            outcome.headers.add(frozenset(name.lower() for name, _ in reply.getheaders()))
            _look(run, raw, model, outcome)


def _look(run: Run, raw: bytes, model: Obedient, outcome: Outcome) -> None:
    parts = frames(raw)
    events: list[dict[str, Any]] = [json.loads(part["data"]) for part in parts]
    names, ids = [part.get("event", "") for part in parts], [part.get("id", "") for part in parts]
    wrong = wrong_with(events, names, ids, run.document, "obedient")
    text = told(events)
    said = model.said.get(f"Q-{run.nth}", "")
    for system in model.systems:
        if found := leaked(system, ever_told(events)):
            wrong.append(f"leak {found!r}")
    if re.search(r"!\[[^\]]*\]\(|(?<!\\)\]\((?!/sources/)", text.replace("`", "")) and "`" not in text:
        wrong.append("a link")
    wrong += [f"told {what}" for what in (CARD, MAIL, PHONE, KEY, CANARY) if what in text]
    outcome.wrong += [f"{run.nth} {said[:80]!r}: {one}" for one in wrong]
    outcome.texts.append((said, text))
    done = events[-1]
    outcome.ends[f"{done['model']} {done['finish_reason']} {done['degraded']}"] += 1
    outcome.filtered.update((done.get("filter") or {}).get("categories", ()))


def sweep(n: int, seed: int) -> dict[str, Any]:
    """Numbers, and what was wrong."""
    with tempfile.TemporaryDirectory() as place, attacked(Path(place), n, seed) as (served, model, trap, runs):
        outcome = all_asked(served, model, trap, runs, Path(place))
        return {
            "outputs": len(outcome.texts),
            "attacks": len(attacks()),
            "acts": len(acts()),
            "encodings": len(HIDING),
            "positions": len(POSITIONS),
            "unread_orders": model.unread,
            "altered": sum(said != text for said, text in outcome.texts),
            "filtered": dict(outcome.filtered),
            "ends": dict(outcome.ends),
            "requests_elsewhere": trap.visits,
            "wrong": outcome.wrong,
        }


def all_asked(served: Served, model: Obedient, trap: Trap, runs: Sequence[Run], folder: Path) -> Outcome:
    """All questions by several clients, and what must not have changed meanwhile."""
    outcome = Outcome()
    before = _state(served, folder)
    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(asked, served, model, runs[nth::CLIENTS], outcome) for nth in range(CLIENTS)]:
            done.result()
    if (after := _state(served, folder)) != before:
        outcome.wrong.append(f"state {before} became {after}")
    if trap.visits:
        outcome.wrong.append(f"{trap.visits} requests came to the attacker")
    paths = Counter(model.seen.paths)
    if set(paths) - {"/v1/chat/completions"} or paths.total() != len(runs):
        outcome.wrong.append(f"requests to the model {dict(paths)} for {len(runs)} questions")
    odd = {name for names in outcome.headers for name in names} - _HEADERS
    if odd - _usual(served):
        outcome.wrong.append(f"headers {odd - _usual(served)}")
    return outcome


def _usual(served: Served) -> set[str]:
    """The headers of an answer that no model writes."""
    with closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)) as line:
        body = {"question": "When are refunds issued?", "stream": True, "tier": "extractive"}
        line.request("POST", "/ask", json.dumps(body), {"content-type": "application/json"})
        return {name.lower() for name, _ in line.getresponse().getheaders()}


def _state(served: Served, folder: Path) -> tuple[Any, ...]:
    """Collections with their documents, and the names of files."""
    listed = json.loads(served.http("GET", "/v1/collections")[1])["data"]
    names = sorted(str(path.relative_to(folder)) for path in (folder / "state").iterdir())
    steady = [name for name in names if not name.endswith(("-wal", "-shm", "-journal"))]
    return [(one["name"], one["documents"], one["chunks"]) for one in listed], steady
