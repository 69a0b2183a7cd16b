"""The whole service with keys of several tenants, each with documents of their own: who is who, and what is whose."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from app.keys.model import Key, new_key
from tests.app.serving import Service, served

ALL = ("ask", "ingest", "admin")
ASKED = "Which code opens the harbour gate?"


def made(
    tenant: str, scopes: tuple[str, ...] = ALL, groups: tuple[str, ...] | None = None, **more: Any
) -> tuple[Key, str]:
    """A key; groups None reads all."""
    held = None if groups is None else frozenset(groups)
    return new_key(f"{tenant} {groups}", tenant, scopes, held, more.get("collections"), more.get("expires_at"))  # type: ignore[arg-type]


@dataclass
class Caller:
    """Somebody with a key, or with none."""

    name: str
    service: Service
    secret: str = ""
    key: Key | None = None
    canaries: set[str] = field(default_factory=set)  # what only this tenant and these groups may see

    def request(self, method: str, path: str, **more: Any) -> httpx2.Response:
        given = {"authorization": f"Bearer {self.secret}"} if self.secret else {}
        more["headers"] = {**given, **more.get("headers", {})}
        return self.service.request(method, path, **more)

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        return self.request("POST", path, json={} if body is None else body, **more)

    def ask(self, question: str = ASKED, **more: Any) -> httpx2.Response:
        return self.post("/ask", {"question": question, "include": ["sources.text"], **more})

    def ended(self, job_id: str) -> dict[str, Any]:
        def at_its_end() -> dict[str, Any] | None:
            job: dict[str, Any] = self.get(f"/v1/jobs/{job_id}").json()
            return job if job["finished_at"] else None

        found: dict[str, Any] = self.service.until(at_its_end)
        return found

    def upload(self, name: str, text: str, access: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
        """The job of one text, at its end."""
        document = {"filename": name, "text": text, **({"access": list(access)} if access else {})}
        reply = self.post("/v1/documents", {"documents": [document], **more})
        assert reply.status_code == 202, reply.text
        return self.ended(reply.json()["id"])


def add(service: Service, *keys: Key) -> None:
    """Keep keys as the command line does, and let the service see them at once."""
    ring = service.grounded.authenticator.ring
    for key in keys:
        service.run(ring.store.add(key))
    look(service)


def look(service: Service) -> None:
    """As half a second does."""
    ring = service.grounded.authenticator.ring
    ring._polled.forget()
    service.run(ring.fresh())


def caller(service: Service, name: str, tenant: str, **more: Any) -> Caller:
    key, secret = made(tenant, **more)
    add(service, key)
    return Caller(name, service, secret, key)


@contextmanager
def keyed(folder: Path, **settings: Any) -> Iterator[Service]:
    """The service; whoever comes first makes keys."""
    with served(folder, **settings) as service:
        yield service


def texts(reply: httpx2.Response) -> str:
    """All that a reply says, head and body."""
    return f"{reply.status_code} {json.dumps(dict(reply.headers))} {reply.text}"


def waited(service: Service, seconds: float) -> None:
    service.run(asyncio.sleep(seconds))
