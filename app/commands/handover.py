"""`grounded ingest` while the service runs: the folder is handed to it, and its job is told as a run of our own would be."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import httpx2
import orjson

from app.commands import remote
from app.commands.ingest import Bar, Run, Show, line
from app.commands.output import emit, say
from app.errors import JobCanceled, ServiceUnreachable
from ingest.errors import FileError, FolderNotFound, GroundedError
from ingest.run import FAILED, FileReport, Request, Summary

E = TypeVar("E", bound=GroundedError)
_ENDED = "The service ended before the job did."
_GOES_ON = "Start it again: the job goes on by itself, and the same command shows it."


def connected(url: str) -> httpx2.AsyncClient:
    """A client of the service that holds the state folder. A job is silent for as long as it takes."""
    return remote.connected(url, httpx2.Timeout(30.0, read=None))


async def hand_over(http: httpx2.AsyncClient, request: Request, show: Show, run: Run) -> Run:
    """One run by the service, told file by file. Raises what the job failed of, ServiceUnreachable, JobCanceled."""
    job = await submitted(http, _body(request))
    if job["joined"] and not show.quiet:
        say("The service is ingesting this folder already; this is that job.")
    try:
        job = await _followed(http, job, show, run)
    except asyncio.CancelledError:
        if not job["joined"]:
            with suppress(httpx2.HTTPError):
                await http.post(f"/v1/jobs/{job['id']}/cancel")
        raise
    _fill(run.summary, job["details"])
    if job["status"] == "canceled":
        raise JobCanceled("The job was canceled.")
    if job["error"] is not None:
        raise error_of(job["error"], GroundedError)
    return run


async def submitted(http: httpx2.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    """The job that the service has made of the request, or joined it to. Raises what it says, ServiceUnreachable."""
    try:
        reply = await http.post("/v1/jobs", json=body)
        found: dict[str, Any] = reply.json()
    except httpx2.HTTPError as error:
        raise ServiceUnreachable(f"The service at {http.base_url} does not answer.") from error
    except ValueError as error:
        raise ServiceUnreachable(f"What answers at {http.base_url} is not Grounded.") from error
    if "error" in found and reply.is_error:
        raise error_of(found["error"], GroundedError)
    return found


def _body(request: Request) -> dict[str, Any]:
    """The service does not know where we are, so the path is absolute; a link in it is kept as it was given."""
    path = os.path.abspath(request.path)  # noqa: PTH100
    if not path.isprintable() and any(ord(c) < 0x20 or 0xD800 <= ord(c) < 0xE000 for c in path):
        raise FolderNotFound("The path is not UTF-8 or holds control characters.", "Rename it, then run ingest again.")
    patterns = request.patterns
    options = {
        "collection": request.collection,
        "include": [_text(glob) for glob in patterns.include],
        "exclude": [_text(glob) for glob in patterns.exclude],
        "gitignore": patterns.gitignore,
        "prune": request.prune,
        "force": request.force,
        "dry_run": request.dry_run,
        "fail_fast": request.fail_fast,
    }
    return {"type": "ingest", "paths": [path], "options": options}


def _text(glob: str) -> str:
    """Bytes that are not UTF-8 arrive as surrogates, which nothing can send."""
    return glob.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


async def _followed(http: httpx2.AsyncClient, job: dict[str, Any], show: Show, run: Run) -> dict[str, Any]:
    """The job at its end."""
    with Bar(0, shown=show.progress) as bar:
        async with aclosing(events_of(http, f"/v1/jobs/{job['id']}/events")) as events:
            async for event in events:
                if event["type"] == "job":
                    job = {**event["job"], "joined": job["joined"]}
                    _fill(run.summary, job["details"])
                    bar.expect(job["progress"]["total"])
                else:
                    report = _report(event["file"])
                    bar.advance(report, run.summary)
                    if run.add(report) and show.form == "jsonl":
                        emit(line(report))
    if job["finished_at"] is None:
        raise ServiceUnreachable(_ENDED, _GOES_ON)
    return job


async def events_of(http: httpx2.AsyncClient, path: str) -> AsyncGenerator[dict[str, Any], None]:
    """What is told of a job, as it comes. Raises ServiceUnreachable when the service ends before the job does."""
    try:
        async with http.stream("GET", path) as reply:
            if reply.is_error:
                raise error_of(orjson.loads(await reply.aread())["error"], GroundedError)
            async for text in reply.aiter_lines():
                if text.startswith("data: "):
                    event = orjson.loads(text.removeprefix("data: "))
                    if event["type"] == "error":
                        raise error_of(event["error"], GroundedError)
                    yield event
    except httpx2.HTTPError as error:
        raise ServiceUnreachable(_ENDED, _GOES_ON) from error


def _report(file: dict[str, Any]) -> FileReport:
    error = error_of(file["error"], FileError) if file["error"] else None
    return FileReport(
        file["path"],
        file["status"],
        file["chunks"],
        file["pages"],
        file["ms"],
        error,
        file.get("renamed_from"),
        tuple(file["warnings"]),
    )


def error_of(told: dict[str, Any], kind: type[E]) -> E:
    """The error that was told, of the class that it had there, so that it counts here as it would have."""
    for leaf in _classes(kind):
        if leaf.code == told["code"]:
            return leaf(told["message"], told["next_step"])
    unknown = kind(told["message"], told["next_step"])
    unknown.code = told["code"]
    return unknown


def _classes(kind: type[E]) -> list[type[E]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _classes(child))]


def _fill(summary: Summary, details: dict[str, int]) -> None:
    """The numbers of a run; the service sums up those that failed and those that were left out."""
    for status in summary.counts:
        summary.counts[status] = details.get(status, 0)
    summary.counts["failed"] -= sum(details.get(status, 0) for status in FAILED if status != "failed")
    summary.counts["skipped"] -= details.get("empty_text", 0)
    summary.chunks = details.get("chunks", 0)
    summary.embedded = details.get("embedded", 0)
    summary.seconds = details.get("run_ms", 0) / 1e3
    summary.embed_seconds = details.get("embed_ms", 0) / 1e3
