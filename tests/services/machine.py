"""Servers of this machine's distribution: found, or installed where that is allowed; started for a while, and stopped by id."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from app.evals.corpus import progress

PACKAGES = ("postgresql", "redis-server")
START_S = 60.0
_STOP_S = 30.0
_TRIES = 5  # a port that was free may be somebody's when it is to be listened on
_INSTALL_S = 900


class Unavailable(Exception):
    """Why the tests cannot be run here."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are."""

    initdb: Path
    postgres: Path
    redis: Path


@dataclass(frozen=True, slots=True)
class Servers:
    """The addresses of the servers that run, with their passwords."""

    postgresql: str
    redis: str


def programs() -> Programs:
    """Found, or installed by apt-get where we may. Raises Unavailable with what to do."""
    if (found := _found()) is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable(
            f"install {' and '.join(PACKAGES)}, for example by: sudo apt-get install {' '.join(PACKAGES)}"
        )
    progress(f"Installing {', '.join(PACKAGES)} ...")
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        _apt_get(words)
    if (found := _found()) is None:
        raise Unavailable("apt-get has installed the packages, and their programs are not where they should be")
    return found


def _apt_get(words: list[str]) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-qq", *words]
    try:
        ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"apt-get {words[0]} did not end within {_INSTALL_S} s") from None
    if ran.returncode != 0:
        raise Unavailable(f"apt-get {words[0]} failed: {(ran.stderr or ran.stdout).strip()[-300:]}")


def _found() -> Programs | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    initdb = next((folder / "initdb" for folder in folders if (folder / "initdb").exists()), None)
    initdb = initdb or _which("initdb")
    redis = _which("redis-server")
    if initdb is None or redis is None:
        return None
    return Programs(initdb, initdb.with_name("postgres"), redis)


def _which(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found).resolve() if found and name == "initdb" else Path(found) if found else None


@contextmanager
def running(found: Programs) -> Iterator[Servers]:
    """Own servers in a temporary folder, on free ports of loopback; ended and removed afterwards, whatever happens."""
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="grounded-services-")))
        folder.chmod(0o755)  # the unprivileged user passes through it to a folder of its own
        yield Servers(_postgresql(found, folder, closing), _redis(found, folder, closing))


def _postgresql(found: Programs, folder: Path, closing: ExitStack) -> str:
    """PostgreSQL refuses to run as root, so then it runs as the user of its package."""
    data, password = folder / "postgresql", secrets.token_hex(16)
    data.mkdir(mode=0o700)
    secret = folder / "password"
    secret.write_text(password)
    user = _unprivileged(data, secret)
    made = ["--auth=scram-sha-256", "--username=grounded", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C.UTF-8"]
    words = [str(found.initdb), f"--pgdata={data}", "--no-sync", *made]
    ran = subprocess.run(words, user=user, capture_output=True, text=True, cwd=data, timeout=START_S * 5)
    if ran.returncode != 0:
        raise Unavailable(f"initdb failed: {ran.stderr.strip()[-300:]}")
    secret.unlink()

    def command(port: int) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",  # what is tested are transactions, and no loss of power
            "max_connections": 200,
            "timezone": "Europe/Berlin",  # whoever takes the server's clock for UTC is found out
        }
        return [str(found.postgres), "-D", str(data), *(f"-c{name}={value}" for name, value in settings.items())]

    def url(port: int) -> str:
        return f"postgresql://grounded:{password}@127.0.0.1:{port}/postgres"

    return url(_started("postgresql", command, lambda port: _answers(url(port)), folder, user, closing))


def _redis(found: Programs, folder: Path, closing: ExitStack) -> str:
    data, password = folder / "redis", secrets.token_hex(16)
    data.mkdir()

    def command(port: int) -> list[str]:
        where = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(data)]
        return [str(found.redis), *where, "--save", "", "--appendonly", "no", "--requirepass", password]

    port = _started("redis", command, lambda port: _pongs(port, password), folder, None, closing)
    return f"redis://:{password}@127.0.0.1:{port}/0"


def _unprivileged(*paths: Path) -> int | None:
    """The user that PostgreSQL is run as, who gets these paths; None for the one that we are."""
    if os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
        for path in paths:
            os.chown(path, user, -1)
        return user
    raise Unavailable("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


def _started(
    name: str,
    command: Callable[[int], list[str]],
    answers: Callable[[int], bool],
    folder: Path,
    user: int | None,
    closing: ExitStack,
) -> int:
    """The port on which it answers. Raises Unavailable with the end of its log."""
    log = folder / f"{name}.log"
    for _ in range(_TRIES):
        port = _free_port()
        with log.open("ab") as out:
            process = subprocess.Popen(command(port), stdout=out, stderr=out, user=user, cwd="/")
        closing.callback(_end, process)
        until = time.monotonic() + START_S
        while process.poll() is None and time.monotonic() < until:
            if answers(port):
                return port
            time.sleep(0.05)
        if process.poll() is None:
            break
    raise Unavailable(f"{name} did not start: {log.read_text(errors='replace')[-500:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """SIGINT: PostgreSQL cuts its clients off then, and does not wait for them."""
    if process.poll() is None:
        process.send_signal(2)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=5):
            return True
    except psycopg.OperationalError:
        return False


def _pongs(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            return b"+PONG" in b"".join(iter(lambda: client.recv(100), b""))
    except OSError:
        return False
