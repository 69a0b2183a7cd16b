"""The service on a real port, in a thread of its own, as `grounded serve` runs it; every reply is counted."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.commands.serve import Server
from app.settings import Settings
from app.state import StateFolder
from app.wiring import Grounded, opened
from tests.app.serving import fake_embedder, ingest, settings_for, write
from tests.patience import PATIENCE_S

FILES: dict[str, str | bytes] = {
    "gate.md": "# The gate\n\nThe harbour gate is green. It was painted in 1987.\n",
    "cats.md": "# Cats\n\nCats sleep most of the day. A cat has four legs.\n",
}


@dataclass
class Running:
    """A service that listens, and the statuses that it gave."""

    port: int
    grounded: Grounded
    loop: asyncio.AbstractEventLoop
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)


@contextmanager
def on_a_port(folder: Path, **settings: Any) -> Iterator[Running]:
    """With a few documents in it. It is open to this machine until somebody makes a key."""
    chosen = settings_for(folder / "state", **{"limits": {"head_s": PATIENCE_S, "body_s": PATIENCE_S}, **settings})
    ready: list[Running] = []
    up, broken = threading.Event(), []
    server = Server(chosen)

    async def main() -> None:
        try:
            await _served(server, chosen, write(folder / "docs", FILES), ready, up)
        except BaseException as error:
            broken.append(error)
            raise
        finally:
            up.set()

    with fake_embedder():
        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        try:
            assert up.wait(PATIENCE_S)
            assert ready, broken
            yield ready[0]
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


async def _served(server: Server, settings: Settings, docs: Path, ready: list[Running], up: threading.Event) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, StateFolder(settings.state).owned():
        async with opened(settings, StateFolder(settings.state)) as grounded:
            server.app.state.grounded = grounded
            grounded.jobs.start()
            await grounded.settled()
            await ingest(grounded, docs)
            running = Running(listener.getsockname()[1], grounded, asyncio.get_running_loop())
            server.config.app = _counted(server.app, running)
            ready.append(running)
            up.set()
            await server.serve(sockets=[listener])


def _counted(app: Any, running: Running) -> Any:
    async def counted(scope: Any, receive: Any, send: Any) -> None:
        async def heard(message: Any) -> None:
            if message["type"] == "http.response.start":
                running.statuses[message["status"]] += 1
                if message["status"] >= 500:
                    running.failures.append(f"{scope['method']} {scope['path'][:200]!a} ends with {message['status']}")
            await send(message)

        await app(scope, receive, heard)

    return counted
