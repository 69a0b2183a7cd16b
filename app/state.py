"""The state folder: made, checked, and owned by one process at a time.

The owner holds a lock on `owner.json`; a service writes its address into it, so that commands can talk to it instead.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from ingest.errors import StateLocked, StateNotWritable


def catalog_url(state: "StateFolder", database_url: SecretStr) -> str:
    """Where the catalog is: in the database that is configured, else in the state folder."""
    return database_url.get_secret_value() or f"sqlite:///{state.catalog}"


class StateFolder:
    """Paths of everything that is kept. Constructing it touches nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.catalog = self.root / "catalog.sqlite"
        self.index = self.root / "index"
        self.uploads = self.root / "uploads"
        self.jobs = self.root / "jobs.sqlite"
        self._owner = self.root / "owner.json"

    @contextmanager
    def owned(self, service_url: str | None = None) -> Iterator[None]:
        """Own the folder for a while. Raises StateNotWritable, StateLocked."""
        descriptor = self._open()
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StateLocked(f"Another process works on the state folder ({self._describe_owner()}).") from error
            _write(descriptor, {"pid": os.getpid(), "url": service_url})
            yield
        finally:
            os.close(descriptor)

    def service_url(self) -> str | None:
        """Address of the service that owns the folder now, or None when no service does."""
        try:
            descriptor = os.open(self._owner, os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            url = self._read_owner().get("url")
            return url if isinstance(url, str) else None
        else:
            return None
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._owner, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StateNotWritable(f"The state folder cannot be written: {error.strerror}.") from error

    def _describe_owner(self) -> str:
        owner = self._read_owner()
        return f"a service at {owner['url']}" if owner.get("url") else f"process {owner.get('pid', 'unknown')}"

    def _read_owner(self) -> dict[str, object]:
        try:
            found = json.loads(self._owner.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _write(descriptor: int, owner: dict[str, object]) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(owner).encode(), 0)
