"""`grounded doctor`: everything that can be wrong, a line each, with its fix."""

import asyncio
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from app.commands.ask import client, fetched
from app.commands.ingest import ingest
from app.commands.output import emit, emit_json
from app.settings import Settings, config_path, load, unknown_variables
from app.state import StateFolder
from app.telemetry import configure
from app.tier_settings import TierSettings
from app.tiers import tiers_of
from ingest.errors import GroundedError

Status = Literal["OK", "WARN", "FAIL"]
_UNFINISHED = ("processing", "enqueued")
_QUIET_S = 60
_LOW_DISK = 2 * 2**30
_REINSTALL = "Reinstall with make install; see the log of the service."
_FIX = {
    "qdrant_edge": "It is filled again by itself; if it stays so, ingest the folders again with --force.",
    "qdrant_server": "Start the Qdrant server, or correct GROUNDED_INDEX__URL; the index is then filled again by itself.",
}
_TIER_FIX = "Start the endpoint, or correct base_url of the tier {tier}."
_MODERATION_FIX = "Start the endpoint, or correct GROUNDED_MODERATION__BASE_URL."
_CALIBRATE = "grounded eval calibrate FOLDER --qa FILE --write FILE; then name the file in abstention.calibration."
_HARMLESS = "Hello."
_TOKEN_S = 10.0
_REINDEX = "grounded reindex builds it anew with the configured embedder; or go back to the former one."
_PROBE = "# Probe\n\nThe probe document says that the sky above the harbour was green on that day.\n"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `fix` is what to do, empty when there is nothing to do."""

    name: str
    status: Status
    detail: str
    fix: str = ""


async def doctor(*, offline: bool, as_json: bool) -> int:
    """Run every check. Exit code 1 when one fails."""
    checks = [_versions()]
    try:
        settings = load()
        configure(settings.log_format, "warning")  # stdout is for the checks
        checks += [_configuration(), *_state(settings), _port(settings), *await _parts(settings)]
        checks += [await _offline(settings)] if offline else [*await _tiers(settings), *await _moderation(settings)]
    except GroundedError as error:
        checks.append(Check(error.code, "FAIL", error.message, error.next_step))
    _print(checks, as_json=as_json)
    return int(any(check.status == "FAIL" for check in checks))


def _print(checks: list[Check], *, as_json: bool) -> None:
    if as_json:
        emit_json({"checks": [asdict(check) for check in checks]})
        return
    for check in checks:
        fix = f"  -> {check.fix}" if check.fix else ""
        emit(f"{check.status:<4}  {check.name}  {check.detail}{fix}")


def _versions() -> Check:
    names = ("grounded-qa", "torch", "qdrant-edge-py", "fastapi")
    found = ", ".join(f"{name} {version(name)}" for name in names)
    python = ".".join(map(str, sys.version_info[:3]))
    return Check("versions", "OK", f"Python {python}, {found}")


def _configuration() -> Check:
    unknown = unknown_variables()
    if unknown:
        return Check("configuration", "WARN", " ".join(unknown), "Correct or remove the variable.")
    file = config_path()
    return Check("configuration", "OK", f"from {file.name}" if file.is_file() else "defaults and environment")


def _state(settings: Settings) -> Iterator[Check]:
    state = StateFolder(settings.state)
    url = state.service_url()
    if url:
        yield Check("state folder", "OK", f"held by the service at {url}")
    else:
        with state.owned():
            yield Check("state folder", "OK", "writable")
    free = shutil.disk_usage(state.root).free
    low = free < _LOW_DISK
    yield Check("disk", "WARN" if low else "OK", f"{free / 2**30:.1f} GB free", "Free some space." if low else "")


def _port(settings: Settings) -> Check:
    if StateFolder(settings.state).service_url():
        return Check("port", "OK", "the service listens")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            fix = "Choose another port with --port or GROUNDED_PORT."
            return Check("port", "FAIL", f"{settings.port}: {error.strerror}", fix)
    return Check("port", "OK", f"{settings.port} is free")


async def _parts(settings: Settings) -> list[Check]:
    """Through the service when one runs, else opened here: the same parts either way."""
    try:
        async with client(settings) as http:
            _, ready = await fetched(http, "GET", "/health/ready")
            _, listed = await fetched(http, "GET", "/v1/collections")
            jobs = [await fetched(http, "GET", f"/v1/jobs?status={status}&limit=200") for status in _UNFINISHED]
    except GroundedError as error:
        return [Check(error.code, "FAIL", error.message, error.next_step)]
    status: dict[str, Status] = {"ok": "OK", "degraded": "WARN", "loading": "WARN", "failed": "FAIL"}
    fixes, details = {"index": _FIX[settings.index.engine], "generation": _REINDEX}, ready.get("details", {})
    found = ready.get("checks", {}).items()
    parts = [
        Check(name, status[is_], _told(is_, details.get(name)), "" if is_ == "ok" else fixes.get(name, _REINSTALL))
        for name, is_ in found
    ]
    if "error" in listed and listed["error"]["type"] in ("authentication_error", "permission_error"):
        return [*parts, Check("key", "WARN", listed["error"]["message"], listed["error"]["next_step"])]
    if "data" not in listed:  # the check of the catalog says why
        return parts or [Check("service", "FAIL", "what answers is not Grounded", "Check GROUNDED_URL.")]
    collections = listed["data"]
    documents = sum(collection["documents"] for collection in collections)
    empty = Check("documents", "WARN", "none yet", "grounded ingest FOLDER")
    served = bool(StateFolder(settings.state).service_url())
    parts.append(_jobs([job for _, page in jobs for job in page.get("data", [])], served=served))
    parts.append(_abstention(details.get("abstention")))
    return [*parts, Check("documents", "OK", f"{documents} in {len(collections)} collections") if documents else empty]


def _abstention(problem: str | None) -> Check:
    """Bars that were fitted for other vectors decline too much, or too little."""
    if problem is None:
        return Check("abstention", "OK", "its bars are those of the embedder")
    return Check("abstention", "WARN", problem, _CALIBRATE)


def _told(found: str, detail: str | None) -> str:
    return f"{found}: {detail}" if detail else found


def _jobs(unfinished: list[dict[str, Any]], *, served: bool) -> Check:
    """Whoever works on a job says so every few seconds, and those behind it wait their turn."""
    if not unfinished:
        return Check("jobs", "OK", "none waits")
    if not served:
        return Check("jobs", "WARN", f"{len(unfinished)} wait for the service", "grounded serve")
    quiet = datetime.now(UTC) - timedelta(seconds=_QUIET_S)
    still = [job["id"] for job in unfinished if datetime.fromisoformat(job["updated_at"]) < quiet]
    if len(still) < len(unfinished):
        return Check("jobs", "OK", f"{len(unfinished)} at work or in line")
    return Check("jobs", "FAIL", f"{len(still)} without progress: {', '.join(still[:3])}", "Restart the service.")


async def _tiers(settings: Settings) -> list[Check]:
    """A line for each: its models and one token, asked for here, since a key may be readable there and not here."""
    return list(await asyncio.gather(*map(_tier, tiers_of(settings))))


async def _tier(tier: TierSettings) -> Check:
    from app.wiring_models import probed

    name, what = f"tier {tier.name}", f"{tier.model} at {tier.base_url}"
    try:
        ms = await probed(tier, _TOKEN_S)
    except GroundedError as error:
        fix = _TIER_FIX if error.next_step == type(error).next_step else error.next_step
        return Check(name, "FAIL", f"{what}: {error.message}", fix.format(tier=tier.name))
    return Check(name, "OK", f"{what}, one token in {ms:.0f} ms")


async def _moderation(settings: Settings) -> list[Check]:
    """One harmless text, where moderation is on."""
    from app.wiring_models import moderation_of

    backend = settings.moderation.backend
    if backend == "off":
        return []
    async with AsyncExitStack() as closing:
        try:
            looked = await moderation_of(settings, closing, fail_open=False).look((_HARMLESS,))
        except GroundedError as error:
            fix = _MODERATION_FIX if error.next_step == type(error).next_step else error.next_step
            return [Check("moderation", "FAIL", f"{backend}: {error.message}", fix)]
    if looked.categories:
        what = f"{backend}: blocks the word {_HARMLESS!r} for {', '.join(looked.categories)}"
        return [Check("moderation", "WARN", what, "Check moderation.labels and moderation.threshold.")]
    return [Check("moderation", "OK", f"{backend}, {settings.moderation.on_failure} when it fails")]


async def _offline(settings: Settings) -> Check:
    """A start, an ingest and an answer in an empty state, with every way out of this machine closed."""
    with tempfile.TemporaryDirectory(prefix="grounded-doctor-") as folder, _no_network() as tried:
        probe = Path(folder) / "docs"
        await asyncio.to_thread(probe.mkdir)
        await asyncio.to_thread((probe / "probe.md").write_text, _PROBE)
        own = {
            name: type(getattr(settings, name))() for name in ("generation", "index", "moderation", "routing", "tiers")
        }
        alone = settings.model_copy(update={"state": Path(folder) / "state", **own})
        answer = await _ingest_and_ask(alone, probe)
    if tried:
        return Check("offline", "FAIL", f"something tried to reach {tried[0]}", "Report it as a bug.")
    if "green" not in answer.get("answer", ""):
        return Check("offline", "FAIL", "the probe question was not answered", "Run grounded doctor without --offline.")
    return Check("offline", "OK", "start, ingest and answer without a network")


async def _ingest_and_ask(settings: Settings, folder: Path) -> dict[str, Any]:
    from ingest.run import Request

    await ingest(settings, Request(folder), "text", progress=False, quiet=True)
    async with client(settings, here=True) as http:
        _, found = await fetched(http, "POST", "/ask", {"question": "What colour was the sky above the harbour?"})
    return found


@contextmanager
def _no_network() -> Iterator[list[str]]:
    """Every look-up and every connection that leaves this machine fails and is noted."""
    tried: list[str] = []
    connect, lookup = socket.socket.connect, socket.getaddrinfo

    def refuse(target: object) -> None:
        tried.append(str(target))
        raise OSError("the network is closed for this check")

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            refuse(address[0])
        connect(self, address)

    def looked_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in (None, "localhost", "127.0.0.1", "::1"):
            refuse(host)
        return lookup(host, *args, **kwargs)

    socket.socket.connect, socket.getaddrinfo = guarded, looked_up  # type: ignore[method-assign, assignment]
    try:
        yield tried
    finally:
        socket.socket.connect, socket.getaddrinfo = connect, lookup  # type: ignore[method-assign]
