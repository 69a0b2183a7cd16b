"""`grounded serve`: one process, one port, one state folder."""

import asyncio
import gc
import socket
import sys
import time
from math import ceil
from types import FrameType

import httpx2
import uvicorn
from pydantic import SecretStr

from app.api.lingering import Lingering
from app.api.middleware import MAX_HEAD
from app.api.service import create_app
from app.commands.ask import print_answer
from app.commands.collecting import collected
from app.commands.descriptors import raise_limit
from app.commands.draining import bound_unsent, ended, last_words
from app.commands.output import say
from app.commands.patient import patient
from app.commands.protocol import Protocol
from app.commands.remote import connected
from app.errors import PortInUse
from app.secret_files import no_core_dumps
from app.settings import ConfigurationError, Settings, secrets_of
from app.state import StateFolder
from app.telemetry import configure
from app.wiring import Grounded, opened
from app.wiring_keys import key_store, listens_here_only

_BACKLOG = 2048
_READY_WAIT_S = 120.0
_SPARED_S = 0.2


class Server(uvicorn.Server):
    """From the first signal on nothing new is admitted, while what is open may end."""

    def __init__(self, settings: Settings) -> None:
        self.app = create_app(settings)
        config = uvicorn.Config(
            Lingering(self.app),
            # On h11: httptools sets no limit to the size of a header, and takes two Host headers.
            http=patient(Protocol, settings.limits.head_s),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.limits.trusted_proxies),
            forwarded_allow_ips=list(settings.limits.trusted_proxies),
            timeout_graceful_shutdown=ceil(settings.drain_s),
            h11_max_incomplete_event_size=MAX_HEAD,
        )
        super().__init__(config)
        self._drain_s = settings.drain_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.app.state.draining = True
        if (grounded := getattr(self.app.state, "grounded", None)) is not None:
            grounded.admission.close()
            grounded.jobs.close()
        super().handle_exit(sig, frame)
        self._captured_signals.clear()  # or uvicorn dies of the signal after all has ended well

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door only behind what was open: until then whoever comes gets 503, and no refused connection."""
        until, tasks = time.monotonic() + self._drain_s, self.server_state.tasks
        await ended(tasks, until, lambda: self.force_exit)
        self.config.timeout_graceful_shutdown = max(0, ceil(until - time.monotonic()))
        await super().shutdown(sockets)
        await last_words(tasks)


async def serve(settings: Settings, question: str | None) -> int:
    """Serve until a signal ends it. With `question`, ask it once over HTTP when ready, and print the answer."""
    configure(settings.log_format, settings.log_level, secrets_of(settings))
    no_core_dumps()
    await _refuse_strangers(settings)
    with _bound(settings) as listener:
        raise_limit()
        url = f"http://{_host_text(settings.host)}:{listener.getsockname()[1]}"
        state = StateFolder(settings.state)
        server = Server(settings)
        with state.owned(url), server.capture_signals():  # until all is closed: a second signal must not cut that short
            async with opened(settings, state) as grounded:  # not by the framework, which would log it as a traceback
                server.app.state.grounded = grounded
                grounded.jobs.start()
                grounded.webhooks.start()
                tasks = server.server_state.tasks
                work = (_greet(url, question, server), _spared(grounded), collected(lambda: len(tasks)))
                beside = [asyncio.create_task(one) for one in work]
                await server.serve(sockets=[listener])
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
    return 0


async def _spared(grounded: Grounded) -> None:
    """What stays until the end is left out of garbage collections. A full one would walk over all of it, and nothing else
    runs for the tenths of a second that this takes; so it is set aside again and again while it is loaded, since the names
    of many documents are learnt while questions are answered already, and for good once all of it is there."""
    loading = asyncio.create_task(_loaded(grounded))
    try:
        while not loading.done():
            await asyncio.wait({loading}, timeout=_SPARED_S)
            gc.freeze()  # costs nothing: it looks at nothing
        await loading
    finally:
        loading.cancel()


async def _loaded(grounded: Grounded) -> None:
    await grounded.settled()
    await grounded.learnt()


async def _greet(url: str, question: str | None, server: uvicorn.Server) -> None:
    """Tell where the page is once questions can be answered."""
    async with connected(url, 30.0) as client:
        if not await _ready(client, server):
            return
        say(f"Grounded is ready: {url}")
        if question is not None:
            reply = await client.post("/ask", json={"question": question, "include": ["sources.text"]})
            say(f"\n> {question}")
            print_answer(reply.json(), sys.stderr)
            say(f"\nAsk your own at {url} (Ctrl-C ends the service).")


async def _ready(client: httpx2.AsyncClient, server: uvicorn.Server) -> bool:
    for _ in range(int(_READY_WAIT_S / 0.1)):
        await asyncio.sleep(0.1)
        if server.should_exit:
            return False
        if server.started and (await client.get("/health/ready")).status_code == httpx2.codes.OK:
            return True
    say("The service runs but is not ready; look at /health/ready.")
    return False


async def _refuse_strangers(settings: Settings) -> None:
    """Without keys, whoever reaches the port reads every document; so only this machine may. Raises ConfigurationError."""
    if listens_here_only(settings.host) or settings.oidc.issuer:
        return
    if not await _has_keys(StateFolder(settings.state), settings.database_url):
        raise ConfigurationError(
            f"There are no keys, so {settings.host!r} would open every document to whoever reaches it.",
            "Make one with grounded keys create, or listen on 127.0.0.1.",
        )


async def _has_keys(state: StateFolder, database_url: SecretStr) -> bool:
    """Whether there ever was a key; where there is no state, none is made by looking."""
    if not database_url.get_secret_value() and not state.catalog.exists():
        return False
    async with key_store(state, database_url) as store:
        return bool(await store.all())


def _bound(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is named, since asyncio switches Nagle's algorithm off only where it is: otherwise a client that keeps its
    # connection waits 40 ms between the head of an answer and its body.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        bound_unsent(listener, settings.stalled_s)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise PortInUse(f"Port {settings.port} on {settings.host} cannot be listened on: {error.strerror}.") from error
    return listener


def _host_text(host: str) -> str:
    return f"[{host}]" if ":" in host else host
