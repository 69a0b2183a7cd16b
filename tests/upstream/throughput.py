"""Answers a second of the real service: with the answerer that is built in, and with a model that answers at once.

Closed loop: each client asks again as soon as it has its answer. The service, the endpoint and the clients share the
machine's cores, and the report tells what each of them took; of the service, part by part.
"""

import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.evals.bench import machine
from app.evals.clients import Asking, load
from tests.journeys.test_service import environment, grounded
from tests.upstream.first_token import ROOT, settings, talking

CLIENTS = (1, 8, 64)
STREAMED = {"stream": True, "release": "sentence"}


def throughput(n: int, seed: int, clients: Sequence[int] = CLIENTS) -> dict[str, Any]:
    """`n` seconds of each number of clients, on the manual. What is `wrong` are answers that nobody got."""
    rows = (ROOT / "data/evals/handbook.jsonl").read_text().splitlines()
    questions = [json.loads(row)["question"] for row in rows]
    questions = questions[seed % len(questions) :] + questions[: seed % len(questions)]
    with tempfile.TemporaryDirectory() as folder, talking(0, 0) as endpoint:
        state = Path(folder) / "state"
        ran = grounded("ingest", str(ROOT / "data/handbook"), env=environment(state))
        assert ran.returncode == 0, ran.stderr
        extractive = asyncio.run(load(state, questions, clients, n))
        model = settings(endpoint) | {"GROUNDED_MAX_RUNNING": "8"}  # as it is where nobody sets it
        chat = asyncio.run(load(state, questions, clients, n, Asking(STREAMED, model)))
    found = {"extractive": extractive, "chat": chat}
    return {"machine": machine(), "throughput": found, "wrong": _unanswered(found, clients)}


def _unanswered(found: Mapping[str, Mapping[str, Any]], clients: Sequence[int]) -> list[str]:
    every = ((way, str(many)) for way in found for many in clients)
    return [f"{way}: {many} clients got no answer" for way, many in every if not found[way][many]["answers"]]
