"""`grounded reindex`: the index built anew beside the live one; by the running service where there is one, else here."""

import asyncio
import sys
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from app.api.jobs import generation_object
from app.commands.ask import fetched, raised
from app.commands.handover import connected, error_of, events_of, submitted
from app.commands.output import emit_json, report, say
from app.errors import GenerationWorse, JobCanceled, ServiceUnreachable
from app.jobs import Progress as Done
from app.recipe import recipe_of
from app.reindex import Asked, found_golden
from app.settings import Settings
from app.state import StateFolder
from app.wiring import opened
from ingest.errors import GroundedError

_GOES_ON = "Start it again: the job goes on by itself, and the same command shows it."


@dataclass(frozen=True, slots=True)
class Wanted:
    """The flags."""

    golden: Path | None = None
    force: bool = False
    rollback: bool = False
    drop_old: bool = False


async def reindex(settings: Settings, wanted: Wanted, *, as_json: bool, progress: bool) -> int:
    """Build, swap, roll back or drop. Exit code 1 when the new index is worse and was not swapped in."""
    golden = str(wanted.golden.absolute()) if wanted.golden is not None else found_golden(settings)
    asked = Asked(recipe_of(settings.embedder), golden, wanted.force, wanted.rollback, wanted.drop_old)
    state = StateFolder(settings.state)
    try:
        with Bar(shown=progress) as bar:
            if (url := state.service_url()) is not None:
                found = await _there(url, settings, asked, bar)
            else:
                found = await _here(settings, state, asked, bar)
    except GenerationWorse as error:
        report(error)
        return 1
    _tell(found, as_json=as_json)
    return 0


async def _here(settings: Settings, state: StateFolder, asked: Asked, bar: "Bar") -> list[dict[str, Any]]:
    with state.owned():
        async with opened(settings, state, repair=True) as grounded:
            grounded.check_lead()
            await grounded.settled()

            async def tell(done: Done, _: object) -> None:
                bar.show(done.done, done.total)

            await grounded.reindex.run(await grounded.reindex.order(asked), tell)
            return [generation_object(row) for row in await grounded.reindex.generations()]


async def _there(url: str, settings: Settings, asked: Asked, bar: "Bar") -> list[dict[str, Any]]:
    """By a job of the service, which goes on when this command ends otherwise than by Ctrl-C."""
    async with connected(url) as http:
        job = await submitted(http, _body(settings, asked))
        try:
            job = await _followed(http, job, bar)
        except asyncio.CancelledError:
            if not job["joined"]:
                with suppress(httpx2.HTTPError):
                    await http.post(f"/v1/jobs/{job['id']}/cancel")
            raise
        if job["status"] == "canceled":
            raise JobCanceled("The job was canceled.")
        if job["error"] is not None:
            raise error_of(job["error"], GroundedError)
        listed: list[dict[str, Any]] = raised(*await fetched(http, "GET", "/v1/generations"))["data"]
        return listed


def _body(settings: Settings, asked: Asked) -> dict[str, Any]:
    """The embedder goes along, without secrets: the service may have been started before it was configured."""
    options = {
        "embedder": recipe_of(settings.embedder),
        "golden": asked.golden,
        "force": asked.force,
        "rollback": asked.rollback,
        "drop_old": asked.drop_old,
    }
    return {"type": "reindex", "options": options}


async def _followed(http: httpx2.AsyncClient, job: dict[str, Any], bar: "Bar") -> dict[str, Any]:
    async with aclosing(events_of(http, f"/v1/jobs/{job['id']}/events")) as events:
        async for event in events:
            if event["type"] == "job":
                job = {**event["job"], "joined": job["joined"]}
                bar.show(job["progress"]["done"], job["progress"]["total"])
    if job["finished_at"] is None:
        raise ServiceUnreachable("The service ended before the job did.", _GOES_ON)
    return job


class Bar:
    """Chunks done of all, and the time left; nothing at all when it is not shown."""

    def __init__(self, *, shown: bool) -> None:
        self._progress = Progress(
            TextColumn("chunks"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not shown,
            transient=True,
        )
        self._task = self._progress.add_task("reindex", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, done: int, total: int) -> None:
        """So far."""
        self._progress.update(self._task, completed=done, total=total)


def _tell(generations: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        emit_json({"generations": generations})
        return
    table = Table("index", "state", "dimension", "nDCG@10", "hit@10", "questions")
    for row in generations:
        scores = row["scores"]
        figures = [str(scores.get(name, "")) for name in ("ndcg@10", "hit@10", "questions")]
        table.add_row(row["id"][:16], row["state"], str(row["dimension"] or ""), *figures)
    Console(file=sys.stdout).print(table)
    if any(row["state"] == "retired" for row in generations):
        say("The former index is kept: grounded reindex --rollback goes back to it, --drop-old frees its space.")
