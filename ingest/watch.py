"""When a folder is to be looked at again: after changes, after a while without any, and when it is back.

watchfiles alone would follow links out of the folder and watch what a scan leaves out, so every folder that a scan looks
into is watched by itself. What changed is only a hint; what is done about it is decided by a scan.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from ingest.errors import FolderNotFound, Unreadable
from ingest.ignore import Rules, ignored
from ingest.scan import Patterns, folders

Look = Literal["start", "changed", "again", "gone"]
_POLL_MS = 2000


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. Changes are told when nothing has changed for `quiet`, or after `longest`; without any there is a look
    after `again`, for disks that tell of none (0: never); that the folder is there is checked every `tick`."""

    quiet: float = 0.5
    longest: float = 5.0
    again: float = 300.0
    tick: float = 1.0


class Watch:
    """One folder, by its absolute path. `degraded` is told why changes are polled for, where the system tells of none."""

    def __init__(
        self,
        root: Path,
        patterns: Patterns,
        supported: Callable[[str], bool],
        pace: Pace,
        degraded: Callable[[str], None],
    ) -> None:
        self._root = root
        self._patterns = patterns
        self._supported = supported
        self._pace = pace
        self._degraded = degraded

    async def looks(self) -> AsyncGenerator[Look, None]:
        """Says when to look: at the `start`, once the folder is watched; when something `changed`; `again`. Whatever
        changes while the caller looks is told next. `gone` says that the folder is not there; it starts anew when it is
        back, or when there are other folders to watch in it.
        """
        gone = False
        while True:
            place = await asyncio.to_thread(_identity, self._root)
            if place is None:
                if not gone:
                    yield "gone"
                gone = True
                await asyncio.sleep(self._pace.tick)
                continue
            gone = False
            known = await self._folders()
            try:
                watcher = await asyncio.to_thread(_Watcher, self._root, known, self._pace, self._degraded)
            except FileNotFoundError:  # a folder went while we listed them
                await asyncio.sleep(self._pace.quiet)
                continue
            async with aclosing(self._looks(watcher, place, known)) as found:
                async for look in found:
                    yield look

    async def _looks(
        self, watcher: "_Watcher", place: tuple[int, int], known: Mapping[str, tuple[Rules, ...]]
    ) -> AsyncGenerator[Look, None]:
        """Until there are other folders than those that are watched, or the root is another one."""
        watched, looked = known.keys(), time.monotonic()
        look: Look | None = "start"
        try:
            while True:
                if look is not None:
                    yield look
                    looked = time.monotonic()
                    known = await self._folders()
                paths = await watcher.changed() if known.keys() == watched else ()
                if known.keys() != watched or await asyncio.to_thread(_identity, self._root) != place:
                    return
                again = self._pace.again and time.monotonic() - looked >= self._pace.again
                matters = any(self._matters(path, known) for path in paths)
                look = "changed" if matters else "again" if again else None
        finally:
            await watcher.close()

    async def _folders(self) -> Mapping[str, tuple[Rules, ...]]:
        """A root that cannot be listed now is watched alone; the next look says what is wrong with it."""
        try:
            return await asyncio.to_thread(folders, self._root, self._patterns)
        except (FolderNotFound, Unreadable):
            return {"": ()}

    def _matters(self, path: str, known: Mapping[str, tuple[Rules, ...]]) -> bool:
        """Whether a scan would look there. What was deleted cannot be asked whether it was a file or a folder."""
        name = os.path.relpath(path, self._root)
        above, _, base = name.rpartition("/")
        if base.startswith("."):
            return name == "." or base == ".gitignore"
        rules = known.get(f"{above}/" if above else "", ())
        if ignored(name, rules, folder=False) and ignored(name, rules, folder=True):
            return False
        return self._supported(base) or f"{name}/" in known or os.path.isdir(path)  # noqa: PTH112


class _Watcher:
    """The system's notes about some folders, taken from the moment this is made."""

    def __init__(self, root: Path, known: Collection[str], pace: Pace, degraded: Callable[[str], None]) -> None:
        """Raises FileNotFoundError when one of the folders is not there."""
        paths = [str(root / name) for name in known]
        self._pace = pace
        self._stop = threading.Event()
        self._running: asyncio.Future[Collection[str]] | None = None
        try:
            self._notify = _notify(paths, poll=False)
        except FileNotFoundError:
            raise
        except (OSError, WatchfilesRustInternalError) as error:
            degraded(f"The system does not tell of changes ({error}); the folder is polled instead.")
            self._notify = _notify(paths, poll=True)

    async def changed(self) -> Collection[str]:
        """Paths that changed; none when it has been quiet for a tick."""
        self._running = asyncio.ensure_future(asyncio.to_thread(self._wait))
        return await asyncio.shield(self._running)

    def _wait(self) -> Collection[str]:
        longest, quiet, tick = (int(s * 1000) for s in (self._pace.longest, self._pace.quiet, self._pace.tick))
        found = self._notify.watch(longest, quiet, tick, self._stop)
        return {path for _, path in found} if isinstance(found, set) else ()

    async def close(self) -> None:
        """Waits for the thread that listens: a fraction of a second."""
        self._stop.set()
        if self._running is not None:
            await asyncio.wait([self._running])
        self._notify.close()


def _notify(paths: list[str], *, poll: bool) -> RustNotify:
    return RustNotify(paths, False, poll, _POLL_MS, False, True)


def _identity(root: Path) -> tuple[int, int] | None:
    try:
        found = root.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if root.is_dir() else None
