"""`grounded ingest --watch`: a run now, and one whenever the folder changes, until it is interrupted.

A folder that vanishes is waited for, and nothing of it is forgotten. What cannot be done now, for want of disk or of files,
is said once and tried again at the next look.
"""

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace

from app.commands.ingest import Run, RunOnce, Show, close, runs
from app.commands.output import report, say
from app.settings import Settings
from ingest.errors import FolderEmpty, FolderNotFound, IngestError, StorageFull, Unreadable
from ingest.readers.registry import supported
from ingest.run import Request
from ingest.watch import Look, Pace, Watch

_PASSING = (FolderEmpty, FolderNotFound, StorageFull, Unreadable)


async def watch(settings: Settings, request: Request, show: Show) -> int:
    """Ends with 1 at the first failure of a `--fail-fast` run, else only by an error or an interruption."""
    if not request.path.is_dir():
        raise FolderNotFound(f"There is no folder {request.path.name!r} here to watch.")
    pace = Pace(quiet=settings.ingest.watch_quiet_s, again=settings.ingest.watch_again_s)
    async with runs(settings) as run_once:
        watching = _Watching(run_once, request, show)
        folder = Watch(request.path.absolute(), request.patterns, supported, pace, say)
        async with aclosing(folder.looks()) as found:
            async for look in found:
                if await watching.look(look):
                    return 1
    return 0


class _Watching:
    """What was said already, so that a quiet folder stays quiet."""

    def __init__(self, run_once: RunOnce, request: Request, show: Show) -> None:
        self._run_once = run_once
        self._request = request
        self._show = show
        self._before: Mapping[str, str] | None = None  # how each file stood, once there was a run
        self._said = ""

    async def look(self, look: Look) -> bool:
        """One look; whether it was the last."""
        if look == "gone":
            self._once("The folder is gone. Waiting for it; nothing is forgotten.")
            return False
        try:
            run = await self._run_once(self._request, self._show, Run(before=self._before))
        except _PASSING as error:
            self._complain(error)
            return False
        self._tell(run, first=self._before is None)
        self._before = run.after
        self._request = replace(self._request, force=False)
        return bool(run.failed) and self._request.fail_fast

    def _tell(self, run: Run, *, first: bool) -> None:
        if first or run.changed or run.failed or run.empty:
            close(self._request, run, self._show)
        if (first or self._said) and not self._show.quiet:
            say(f"Watching {self._request.path}; Ctrl-C ends it.")
        self._said = ""

    def _complain(self, error: IngestError) -> None:
        if self._said != error.message:
            self._said = error.message
            report(error)

    def _once(self, line: str) -> None:
        if self._said != line:
            self._said = line
            say(line)
