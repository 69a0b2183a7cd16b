"""What is sent to a service that takes uploads and jobs, and what is looked up behind it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2

from retrieval.model import EmbeddedPassage
from tests.app.serving import Service
from tests.fakes import FakeEmbedder

REFUNDS = "# Refunds\n\nRefunds are issued within 14 days of the order.\n"
HARBOUR = "# Harbour\n\nThe lighthouse of the harbour was built in 1887.\n"
ASKED = "When was the lighthouse built?"


class Gated(FakeEmbedder):
    """Waits before it embeds, while the gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        return await super().embed_passages(texts)


def form(*files: tuple[str, bytes | str], kind: str = "text/markdown", **fields: str) -> dict[str, Any]:
    """A form as a browser sends it."""
    parts = []
    for filename, content in files:
        head = f'content-disposition: form-data; name="file"; filename="{filename}"\r\ncontent-type: {kind}'
        parts.append(head.encode() + b"\r\n\r\n" + (content if isinstance(content, bytes) else content.encode()))
    for field, value in fields.items():
        parts.append(f'content-disposition: form-data; name="{field}"\r\n\r\n{value}'.encode())
    body = b"".join(b"--grounded\r\n" + part + b"\r\n" for part in parts) + b"--grounded--\r\n"
    return {"content": body, "headers": {"content-type": "multipart/form-data; boundary=grounded"}}


def post(service: Service, path: str, **more: Any) -> httpx2.Response:
    return service.request("POST", path, **more)


def upload(service: Service, *files: tuple[str, bytes | str], **fields: str) -> dict[str, Any]:
    reply = post(service, "/v1/documents", **form(*files, **fields))
    assert reply.status_code == 202, reply.text
    return service.ended(reply.json()["id"])


def documents(service: Service, collection: str) -> dict[str, dict[str, Any]]:
    reply = service.get("/v1/documents", params={"collection": collection})
    return {row["filename"]: row for row in reply.json().get("data", [])}


def answer(service: Service, collection: str, question: str = ASKED) -> str:
    reply = service.ask(question, collection=collection)
    return str(reply.json().get("answer", reply.text))


def folder_job(path: Path, **options: Any) -> dict[str, Any]:
    return {"json": {"type": "ingest", "paths": [str(path)], "options": options}}


def holders(service: Service, text: str) -> dict[str, list[str]]:
    """The files of the state, below the folder of the engine's shard apart, that hold the text."""
    found: dict[str, list[str]] = {}
    for path in service.grounded.settings.state.rglob("*"):
        if path.is_file() and "shard" not in path.parts and (text.encode() in path.read_bytes() or text in path.name):
            found.setdefault(text, []).append(path.name)
    return found
