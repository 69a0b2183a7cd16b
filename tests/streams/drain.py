"""The end of a service in the middle of everything: streams that may end and streams that would not, jobs that wait and run."""

import asyncio
import json
import re
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_S
from tests.scripted_upstream import DONE, HEAD, chunk, listening, usage
from tests.streams.running import Running, many_descriptors, running, until, with_documents

_DRAIN_S = 5.0
_LATE_S = 2.0
_QUESTIONS = 3  # of a batch
_SPARE = 20  # places, where batches go on
DOCUMENTS = {"harbour.md": "# Harbour\n\nThe lighthouse of the harbour was built in 1887.\n"}
_ASKED = "When was the lighthouse of the harbour built? Number {n}{how}"
_EVENT = re.compile(rb"event: (\w+)\ndata: (.*)\nid: (\d+)\n")
_NUMBER = re.compile(r"Number (\d+)")


class Model:
    """An endpoint that begins each answer and goes on when it is let; told to stall, it never does. Those of batches it
    answers at once."""

    def __init__(self) -> None:
        self.begun: set[int] = set()
        self.go_on = asyncio.Event()

    async def answer(self, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = body.decode()
        number = _NUMBER.search(text)
        if number is None and "Lot" not in text:  # asked whether it counts tokens
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            return
        writer.write(HEAD + chunk("The lighthouse of the harbour was built"))
        await writer.drain()
        if number is not None:
            self.begun.add(int(number[1]))
            await (reader.read() if "stall" in text else self.go_on.wait())
        writer.write(chunk(" in 1887. [1]") + chunk(finish="stop") + usage() + DONE)
        await writer.drain()


@contextmanager
def modelled() -> Iterator[tuple[str, Model, asyncio.AbstractEventLoop]]:
    """The endpoint on a loop of its own, in a thread."""
    loop, model = asyncio.new_event_loop(), Model()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    endpoint = listening(model.answer)
    try:
        yield asyncio.run_coroutine_threadsafe(endpoint.__aenter__(), loop).result(PATIENCE_S), model, loop
    finally:
        asyncio.run_coroutine_threadsafe(endpoint.__aexit__(None, None, None), loop).result(PATIENCE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def drain(n: int, _seed: int) -> dict[str, Any]:
    """`n` streams and a tenth as many jobs."""
    many_descriptors()
    found = drained(n, max(2, n // 10), _DRAIN_S)
    half, took = n // 2, found["took_s"]
    late = [
        *([] if found["streams"] == {"done": n - half, "shutting_down": half} else ["not those that could have ended"]),
        *([] if found["refused"] == [503, "shutting_down", True] else [f"a new question was told {found['refused']}"]),
        *([] if found["ready"] == 503 else [f"/health/ready said {found['ready']}"]),
        *([] if took <= _DRAIN_S + _LATE_S else [f"it took {took} s to end"]),
    ]
    return found | {"wrong": [*wrong(found), *late]}


def wrong(found: dict[str, Any]) -> list[str]:
    """What was lost, or told twice, however slow the machine is."""
    streams, jobs = found["streams"], found["jobs"]
    return [
        *([] if streams.keys() <= {"done", "shutting_down"} else [f"streams ended so: {streams}"]),
        *([] if found["gaps"] == 0 else [f"{found['gaps']} streams lack an event or have one twice"]),
        *([] if found["exit"] == 0 else [f"it ended with {found['exit']}"]),
        *([] if jobs == {"succeeded": found["submitted"]} else [f"jobs ended so: {jobs}"]),
        *([] if found["results"][1] == found["questions"] else [f"{found['results']} of {found['questions']} results"]),
        *([] if found["asked_again"] == 0 else [f"{found['asked_again']} answers that were kept were made again"]),
    ]


def settings_of(url: str, places: int, drain_s: float) -> dict[str, str]:
    """Answers are written by the model at that address, and sent whatever the checks say."""
    model = {"BACKEND": "openai_chat", "BASE_URL": url, "MODEL": "m", "PRICE_INPUT": "1", "PRICE_OUTPUT": "2"}
    model |= {f"{name}TIMEOUT_S": "600" for name in ("", "FIRST_TOKEN_", "BETWEEN_TOKENS_")}
    return {
        "GROUNDED_MAX_RUNNING": str(places),
        "GROUNDED_DRAIN_S": str(drain_s),
        "GROUNDED_ABSTENTION__BEFORE_MODEL": "ask",
        "GROUNDED_VERIFICATION__NONE_CARRIED": "mark",
        **{f"GROUNDED_GENERATION__{name}": value for name, value in model.items()},
    }


def drained(n: int, jobs: int, drain_s: float) -> dict[str, Any]:
    """Ask, submit, end, read to the end, start again, and wait for the jobs."""
    with tempfile.TemporaryDirectory() as folder, modelled() as (url, model, loop):
        state, log = Path(folder) / "state", Path(folder) / "log"
        settings = settings_of(url, n + _SPARE, drain_s)
        with running(state, log, **settings) as served, ThreadPoolExecutor(n) as readers:
            with_documents(served, DOCUMENTS)
            lines = [asked(served, number) for number in range(n)]
            until(lambda: len(model.begun) == n)
            told = [readers.submit(read, line) for line in lines]
            submitted = [_submitted(served, number) for number in range(jobs)]
            kept = _results(served, submitted)
            begun = time.monotonic()
            served.process.send_signal(signal.SIGTERM)
            ready, refused = turned_away(served)
            loop.call_soon_threadsafe(model.go_on.set)
            ends = [one.result(PATIENCE_S) for one in told]
            code = served.process.wait(PATIENCE_S)
            took = time.monotonic() - begun
        with running(state, log.with_name("log2"), **settings) as again:
            ended = [_ended(again, job) for job in submitted]
            results = _results(again, submitted)
        return {
            "asked": n,
            "streams": dict(Counter(end for end, _ in ends)),
            "gaps": sum(not whole for _, whole in ends),
            "ready": ready,
            "refused": refused,
            "exit": code,
            "took_s": round(took, 2),
            "submitted": jobs,
            "jobs": dict(Counter(ended)),
            "questions": _QUESTIONS * len(submitted[1::2]),
            "results": [len(kept), len(results)],
            "asked_again": sum(results.get(name) != answer for name, answer in kept.items()),
        }


def asked(served: Running, number: int) -> socket.socket:
    """Every second one is answered by a model that stalls, and every second of these can be taken up."""
    how = ", stall" if number % 2 else ""
    return served.dial(_ASKED.format(n=number, how=how), resumable=number % 4 > 1)


def read(line: socket.socket) -> tuple[str, bool]:
    """How a stream ended, and whether each of its events came once and in order."""
    seen = b""
    with closing(line):
        while got := line.recv(1 << 16):
            seen += got
    events = [(kind, int(id_), json.loads(data)) for kind, data, id_ in _EVENT.findall(seen)]
    in_order = [id_ for _, id_, _ in events] == list(range(len(events)))
    if not events or events[-1][0] != b"done":
        return "nothing", in_order
    errors = [data["error"]["code"] for kind, _, data in events if kind == b"error"]
    return (errors[0] if errors else "done"), in_order


def _submitted(served: Running, number: int) -> str:
    """A job: a document, or some questions."""
    if number % 2:
        asked = [
            {"id": f"{number}-{q}", "question": f"When was the lighthouse built? Lot {number}-{q}"}
            for q in range(_QUESTIONS)
        ]
        return str(served.json("POST", "/v1/batch", {"questions": asked})["id"])
    text = f"# Ship {number}\n\nThe ship number {number} sails at noon.\n" * 20
    documents = [{"filename": f"ship-{number}.md", "text": text}]
    return str(served.json("POST", "/v1/documents", {"documents": documents})["id"])


def turned_away(served: Running) -> tuple[int, list[Any]]:
    """What /health/ready and a new question are told once the service knows that it ends; 0 where nobody answers."""
    try:
        ready = until(lambda: (status := served.request("GET", "/health/ready")[0]) != 200 and status)
        return ready, _told(served)
    except ConnectionError:  # the drain time is over
        return 0, []


def _told(served: Running) -> list[Any]:
    status, headers, body = served.request("POST", "/ask", {"question": "When was the lighthouse built?"})
    return [status, json.loads(body)["error"]["code"], "retry-after" in headers]


def _ended(served: Running, job: str) -> str:
    found = until(lambda: (found := served.json("GET", f"/v1/jobs/{job}"))["finished_at"] and found)
    return str(found["status"])


def _results(served: Running, jobs: list[str]) -> dict[str, str]:
    """The ids of the answers that there are, by question."""
    found = {}
    for job in jobs[1::2]:
        _, _, body = served.request("GET", f"/v1/jobs/{job}/results")
        rows = [json.loads(row) for row in body.splitlines()]
        found |= {row["id"]: row["response"]["id"] for row in rows if row["error"] is None}
    return found
