"""`grounded ask --batch`: a file of questions in, a line for each out; by the running service, or here where none runs.

Either way it is a job: it is answered where nobody else waits, goes on behind a crash, and can be taken up again by its id.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

import httpx2
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.commands.ask import RemoteError, fetched
from app.commands.output import say
from app.commands.remote import connected
from app.errors import InvalidRequest, JobCanceled, ServiceUnreachable
from app.settings import Settings
from app.state import StateFolder

_LOOK_S = 0.25
_LINES = {"content-type": "application/x-ndjson"}
_GOES_ON = "Start it again: the batch goes on by itself; take it up with grounded ask --resume {}."


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be asked, or which batch is to be taken up, and where its results go."""

    file: Path | None = None
    resume: str | None = None
    output: Path | None = None
    collection: str = "default"
    quiet: bool = False


async def ask_batch(settings: Settings, wanted: Wanted) -> int:
    """Ask all and print each result. Exit code 1 when a question failed; the others have their answers."""
    with _opened(wanted.output) as (out, have):
        questions = _questions(wanted.file, have) if wanted.file is not None else []
        if wanted.file is not None and not questions:
            say("Nothing is left to be asked.")
            return 0
        async with _service(settings) as http:
            job = await _job(http, wanted, questions)
            if wanted.resume is None and not wanted.quiet:
                say(f"Batch {job['id']}; if this is cut off: grounded ask --resume {job['id']}")
            return await _followed(http, job, wanted, out, have)


async def _job(http: httpx2.AsyncClient, wanted: Wanted, questions: list[bytes]) -> dict[str, Any]:
    if wanted.resume is not None:
        job = _said(*await fetched(http, "GET", f"/v1/jobs/{wanted.resume}"))
        if job["type"] != "batch":
            raise InvalidRequest("The job is no batch.", "Name a batch: see GET /v1/jobs.")
        return job
    return await _submitted(http, b"\n".join(questions), {"collection": wanted.collection})


async def _submitted(http: httpx2.AsyncClient, body: bytes, params: dict[str, str]) -> dict[str, Any]:
    try:
        reply = await http.post("/v1/batch", content=body, params=params, headers=_LINES)
        return _said(reply.status_code, reply.json())
    except httpx2.HTTPError as error:
        raise ServiceUnreachable(f"The service at {http.base_url} does not answer.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceUnreachable(f"What answers at {http.base_url} is not Grounded.") from error


def _said(status: int, found: dict[str, Any]) -> dict[str, Any]:
    """What the service says. A job that went well has an `error` too, which is null. Raises RemoteError."""
    if status >= HTTPStatus.BAD_REQUEST:
        raise RemoteError(found["error"], status)
    return found


async def _followed(
    http: httpx2.AsyncClient, job: dict[str, Any], wanted: Wanted, out: IO[bytes], have: set[str]
) -> int:
    """Print results in the order of the questions, each as soon as all before it are there; all at the end."""
    results = _Results(http, job["id"], out, have)
    shown = sys.stderr.isatty() and not wanted.quiet
    try:
        with _bar(shown=shown) as bar:
            task = bar.add_task("questions", total=job["progress"]["total"])
            while job["finished_at"] is None:
                await asyncio.sleep(_LOOK_S)
                await results.print(whole=False)
                job = await _look(http, job["id"])
                bar.update(task, total=job["progress"]["total"], completed=job["progress"]["done"])
        await results.print(whole=True)
    except asyncio.CancelledError:
        if wanted.resume is None:
            with suppress(httpx2.HTTPError):
                await http.post(f"/v1/jobs/{job['id']}/cancel")
        raise
    return _end(job, results, wanted)


def _end(job: dict[str, Any], results: "_Results", wanted: Wanted) -> int:
    if job["status"] == "canceled":
        raise JobCanceled("The batch was canceled.", "Results that were there are printed; ask the rest again.")
    if job["error"] is not None:
        raise RemoteError(job["error"], 503)
    if not wanted.quiet:
        say(f"{results.printed} results, {results.failed} of them errors.")
    return 1 if results.failed else 0


async def _look(http: httpx2.AsyncClient, job_id: str) -> dict[str, Any]:
    try:
        return _said(*await fetched(http, "GET", f"/v1/jobs/{job_id}"))
    except ServiceUnreachable as error:
        raise ServiceUnreachable("The service ended before the batch did.", _GOES_ON.format(job_id)) from error


class _Results:
    """Fetches results and prints each once. Those of a batch that runs come in any order, so while it does only those are
    printed that follow the last one without a gap."""

    def __init__(self, http: httpx2.AsyncClient, job_id: str, out: IO[bytes], have: set[str]) -> None:
        self.printed = 0
        self.failed = 0
        self._http = http
        self._path = f"/v1/jobs/{job_id}/results"
        self._out = out
        self._have = have
        self._last: str | None = None

    async def print(self, *, whole: bool) -> None:
        """What is new. `whole`: the batch is over, and no gap will be closed."""
        params = {"in_order": str(not whole).lower()} | ({"after": self._last} if self._last is not None else {})
        try:
            async with self._http.stream("GET", self._path, params=params) as reply:
                if reply.is_error:
                    _said(reply.status_code, orjson.loads(await reply.aread()))
                async for line in reply.aiter_lines():
                    self._print(line.encode())
        except httpx2.HTTPError as error:
            raise ServiceUnreachable(f"The service at {self._http.base_url} does not answer.") from error

    def _print(self, line: bytes) -> None:
        found = orjson.loads(line)
        self._last = found["id"]
        if found["id"] in self._have:
            return
        self.printed += 1
        self.failed += found["error"] is not None
        self._out.write(line + b"\n")
        self._out.flush()


@contextmanager
def _opened(path: Path | None) -> Iterator[tuple[IO[bytes], set[str]]]:
    """Where results go, and what is answered there already: stdout, or a file to which they are added. Errors and a line
    that a crash cut are left out of it: their questions are asked again."""
    if path is None:
        yield sys.stdout.buffer, set()
        return
    answers = _answers(path)
    try:
        kept = path.with_name(path.name + ".part")
        kept.write_bytes(b"".join(line + b"\n" for line in answers.values()))
        kept.replace(path)
        file = path.open("ab")
    except OSError as error:
        raise InvalidRequest(f"{path.name} cannot be written: {error.strerror}.", "Name another file.") from error
    with file:
        yield file, set(answers)


def _answers(path: Path) -> dict[str, bytes]:
    """The lines of a file that hold an answer, by id. Raises InvalidRequest."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InvalidRequest(f"{path.name} cannot be read: {error.strerror}.", "Name another file.") from error
    try:
        rows = {line: orjson.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()}
        return {row["id"]: line for line, row in rows.items() if row["response"] is not None}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InvalidRequest(f"{path.name} holds something else than results.", "Name another file.") from error


def _questions(file: Path, have: set[str]) -> list[bytes]:
    """The lines of the file whose ids have no answer yet; `-` is stdin. Raises InvalidRequest."""
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{file.name} cannot be read: {error.strerror}.", "Check the name of the file.") from error
    return list(_left(data.splitlines(), have, file.name))


def _left(lines: Iterable[bytes], have: set[str], name: str) -> Iterable[bytes]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            asked = orjson.loads(line)
            known = asked["id"] in have
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise InvalidRequest(
                f"{name}: line {number} is no question.", 'Write one a line: {"id": "q1", "question": "..."}.'
            ) from error
        if not known:
            yield line


@asynccontextmanager
async def _service(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """The service that runs, or one opened here for as long as the batch takes."""
    url = os.environ.get("GROUNDED_URL") or StateFolder(settings.state).service_url()
    if url:
        async with connected(url, 180.0) as http:
            yield http
        return
    from app.api.service import create_app

    app = create_app(settings, local=True)
    with StateFolder(settings.state).owned():
        async with app.router.lifespan_context(app):
            app.state.grounded.jobs.start()
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=180.0) as http:
                yield http


def _bar(*, shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not shown, transient=True)
