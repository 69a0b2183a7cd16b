"""The page's world: a little server that plays recorded native streams with delays, and a visit by a real browser.

Chromium comes from GROUNDED_TEST_CHROMIUM or the PATH.
"""

import asyncio
import contextlib
import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.patience import PATIENCE_S

playwright_api = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")

CHROMIUM = os.environ.get("GROUNDED_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
WEB = Path(__file__).parents[2] / "app" / "web"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'; require-trusted-types-for 'script'; "
    "trusted-types dompurify"
)
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
WAIT_MS = 1000 * PATIENCE_S

# ---- what the service knows

GUIDE = "# Refunds 👩‍💻\n\n" + "Some words before the passage.\n\n" * 120
PASSAGE = "We are fair 😀. Refunds are issued within 14 days. שלום, é stays. Late ones take 30 days."
GUIDE_TEXT = GUIDE + PASSAGE + "\n\n" + "Some words after it.\n\n" * 120
QUOTE = "Refunds are issued within 14 days."
QUOTE_2 = "Late ones take 30 days."
START = len(GUIDE)


def source(n: int, ident: str, document: str, filename: str, text: str, start: int, **more: Any) -> dict[str, Any]:
    return {
        "n": n,
        "id": ident,
        "document_id": document,
        "version": 1,
        "filename": filename,
        "title": filename,
        "url": f"http://127.0.0.1/sources/{ident}",
        "media_type": "text/markdown",
        "page": None,
        "heading_path": ["Handbook", "Refunds"],
        "start": start,
        "end": start + len(text),
        "bbox": None,
        "modified_at": "2025-03-04T10:00:00Z",
        "text": text,
    } | more


SOURCES = [
    source(1, "src-1", "doc-1", "guide.md", PASSAGE, START),
    source(2, "src-2", "doc-2", "terms.pdf", "Late ones take 30 days.", 0, page=12),
    source(3, "src-3", "doc-3", "changed.md", "The old words stand here.", 4),
]
DOCUMENTS = {
    "doc-1": GUIDE_TEXT,
    "doc-2": "Late ones take 30 days.\nMore terms.",
    "doc-3": "All of it is new now, nothing stayed.",
}


def quoted(ident: str, document: str, text: str, page: int | None = None) -> dict[str, Any]:
    start = DOCUMENTS[document].index(text)
    return {"source": ident, "start": start, "end": start + len(text), "cited_text": text, "page": page}


START_EVENT = {"type": "start", "answer_id": "ans_1", "trace_id": "t", "request_id": "req_1", "model": "grounded"}


def done(reason: str = "stop", **more: Any) -> dict[str, Any]:
    return {
        "type": "done",
        "finish_reason": reason,
        "abstention": None,
        "filter": None,
        "usage": {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120, "cached_input_tokens": 0},
        "cost_usd": 0,
        "cost_by_stage_usd": {},
        "timings_ms": {"ttft": 210.0, "total": 900.0},
        "degraded": [],
        "cache": "miss",
        "model": "extractive",
        "tier": None,
        "prompt_version": None,
        "answer_id": "ans_1",
        "trace_id": "t",
    } | more


def opening(sources: list[dict[str, Any]] = SOURCES) -> list[Any]:
    return [START_EVENT, {"type": "status", "stage": "retrieving", "ms": 1}, {"type": "sources", "sources": sources}]


def said(*sentences: tuple[str, str, list[dict[str, Any]]]) -> list[Any]:
    """Deltas and claims of (text with its leading white space, status, citations)."""
    events: list[Any] = []
    at = 0
    for index, (text, status, citations) in enumerate(sentences):
        body = text.lstrip()
        start = at + len(text) - len(body)
        at += len(text)
        claim = {
            "type": "claim",
            "index": index,
            "start": start,
            "end": at,
            "text": body,
            "status": status,
            "score": 0.9,
        }
        events += [{"type": "delta", "text": text}, claim | {"check_required": True, "citations": citations}]
    return events


class Pause(float):
    """Seconds between two events."""


CITED = [
    *opening(),
    Pause(0.25),
    *said(("😀 **Refunds** are issued within 14 days.", "supported", [quoted("src-1", "doc-1", QUOTE)])),
    Pause(0.5),
    *said(
        ("😀 **Refunds** are issued within 14 days.", "supported", [quoted("src-1", "doc-1", QUOTE)]),
        (
            " Late ones take 30 days, or more.",
            "partial",
            [quoted("src-1", "doc-1", QUOTE_2), quoted("src-2", "doc-2", QUOTE_2, 12)],
        ),
        ("\n\n- Nobody wrote this.", "uncited", []),
        (
            "\n- Old words.",
            "unsupported",
            [{"source": "src-3", "start": 4, "end": 17, "cited_text": "The old words", "page": None}],
        ),
    )[2:],
    done(),
]
EXPLANATION = {
    "candidates": [
        {
            "rank": 1,
            "id": "src-1",
            "outcome": "kept",
            "score": 0.25,
            "arms": {
                "dense": {"rank": 2, "score": 0.7, "share": 0.0161},
                "fused": {"rank": 1, "score": 0.03, "share": None},
            },
            "source": {"filename": "guide.md", "page": None, "heading_path": ["Refunds"]},
        },
        {
            "rank": 2,
            "id": "src-gone",
            "outcome": "not_live",
            "score": 0.016,
            "arms": {"bm25": {"rank": 1, "score": 9.1, "share": 0.0164}},
            "source": None,
        },
    ]
}
LONG = " ".join(f"Word {i} of a long answer." for i in range(200))
HOSTILE = [
    "<script>hook('script')</script>",
    "<img src=x onerror=\"hook('img')\">",
    "<svg onload=hook('svg')><animate onbegin=hook('a') attributeName=x dur=1s></svg>",
    "<iframe srcdoc=\"<script>parent.hook('frame')</script>\"></iframe>",
    "[a](javascript:hook('js'))",
    "[a](JaVaScRiPt&colon;hook('js'))",
    "[a](data:text/html,<script>hook('data')</script>)",
    "![a](https://evil.example/x.png)",
    "![a][r]\n\n[r]: https://evil.example/ref.png",
    "<https://evil.example/auto> https://evil.example/bare www.evil.example",
    "[a](https://evil.example/?q=secret \"onmouseover=hook('t')\")",
    "<style>@import 'https://evil.example/x.css';*{background:url(https://evil.example/b)}</style>",
    "<form action=https://evil.example><button>send</button></form>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=hook('m')>",
    "<a href=https://evil.example>x</a><base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<details open ontoggle=hook('d')><p style=animation-name:x onanimationstart=hook('p')>",
    "`<img src=x onerror=hook('c')>`",
    "```\n</code></pre><img src=x onerror=hook('f')>\n```",
    "| a |\n|---|\n| <img src=x onerror=hook('t')> |",
    "[a](/sources/src-1\"onclick=\"hook('q'))",
    "{{constructor.constructor('hook(1)')()}} ${hook('tpl')}",
]


# ---- the server


class Service:
    """Plays streams; an event among them is waited for. `closed` tells when a client went away in the middle of one."""

    def __init__(self) -> None:
        self.reset()
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self.thread.start()
        started.wait(5)

    def reset(self) -> None:
        self.streams: dict[str, list[Any]] = {}
        self.refusals: dict[str, tuple[int, dict[str, str], dict[str, Any]]] = {}
        self.documents = dict(DOCUMENTS)
        self.collections = [{"name": "default", "documents": 14, "chunks": 80}]
        self.titles = ["Asking questions", "The Grounded manual"]
        self.explained = True
        self.checks = {"catalog": "ok", "index": "ok", "generator": "ok"}
        self.requests: list[tuple[str, str, dict[str, str], str]] = []
        self.closed: list[float] = []
        self.finished: list[float] = []

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()
        self.loop.run_forever()
        server.close()
        pending = asyncio.all_tasks(self.loop)
        for task in pending:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        self.loop.close()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
            body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
            method, target, _ = first.split(" ")
            self.requests.append((method, target, headers, body))
            await self._answer(method, unquote(urlsplit(target).path), body, reader, writer)
        writer.close()

    async def _answer(
        self, method: str, path: str, body: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        def reply(status: int, kind: str, content: str | bytes, more: dict[str, str] | None = None) -> None:
            raw = content.encode() if isinstance(content, str) else content
            lines = {"content-type": kind, "content-length": str(len(raw)), "connection": "close"} | (more or {})
            head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
            writer.write(head.encode() + b"\r\n" + raw)

        missing = {
            "error": {"code": "source_not_found", "message": "There is no such source.", "next_step": "Ask again."}
        }
        if path in {"/", "/index.html"} or path.startswith("/sources/"):
            reply(200, "text/html", (WEB / "index.html").read_bytes(), {"content-security-policy": CSP})
        elif path.startswith("/web/") and (file := WEB / path.removeprefix("/web/")).is_file():
            reply(200, TYPES.get(file.suffix, "text/plain"), file.read_bytes(), {"x-content-type-options": "nosniff"})
        elif (told := self._told(path)) is not None:
            reply(200, "application/json", json.dumps(told))
        elif path.startswith("/v1/sources/"):
            found = [one for one in SOURCES if one["id"] == path.removeprefix("/v1/sources/")]
            reply(200 if found else 404, "application/json", json.dumps(found[0] if found else missing))
        elif path.startswith("/v1/documents/") and path.split("/")[3] in self.documents:
            reply(200, "text/plain; charset=utf-8", self.documents[path.split("/")[3]])
        elif path == "/ask" and method == "POST":
            question = json.loads(body)["question"]
            if question in self.refusals:
                status, more, error = self.refusals[question]
                reply(status, "application/json", json.dumps({"error": error}), more)
            else:
                await self._play(self.streams[question], reader, writer)
        else:
            reply(404, "application/json", json.dumps(missing))
        await writer.drain()

    def _told(self, path: str) -> dict[str, Any] | None:
        told: dict[str, dict[str, Any]] = {
            "/v1/collections": {"object": "list", "data": self.collections},
            "/v1/documents": {"object": "list", "data": [{"title": title} for title in self.titles]},
            "/health/ready": {"status": "ok", "checks": self.checks},
        }
        if self.explained:
            told["/v1/answers/ans_1/explain"] = EXPLANATION
        return told.get(path)

    async def _play(self, events: list[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\nconnection: close\r\n\r\n"
        )
        gone = asyncio.ensure_future(reader.read())
        number = 0
        for event in events:
            if isinstance(event, Pause | threading.Event):
                await writer.drain()
                if await _left(gone, event):
                    self.closed.append(time.monotonic())
                    return
                continue
            frame = f"event: {event['type']}\nid: {number}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n"
            writer.write(frame.encode())
            number += 1
        await writer.drain()
        self.finished.append(time.monotonic())
        gone.cancel()


async def _left(gone: "asyncio.Future[bytes]", event: Pause | threading.Event) -> bool:
    """Whether the client went away before the pause was over, or before the event came."""
    if isinstance(event, Pause):
        return bool((await asyncio.wait([gone], timeout=float(event)))[0])
    while not event.is_set() and not gone.done():  # noqa: ASYNC110  it is set in another thread
        await asyncio.sleep(0.01)
    return gone.done()


class Visit:
    """A page, and everything on it that must never happen."""

    def __init__(self, context: Any, origin: str) -> None:
        self.context = context
        self.origin = origin
        self.trouble: list[str] = []
        self.foreign: list[str] = []
        self.page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        self.page.on("dialog", self._refuse)
        self.page.on("console", lambda line: self.trouble.append(line.text) if line.type == "error" else None)
        self.page.on("request", lambda r: None if r.url.startswith((origin, "data:")) else self.foreign.append(r.url))

    def _refuse(self, dialog: Any) -> None:
        self.trouble.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, path: str = "/") -> Any:
        self.page.goto(self.origin + path)
        self.page.wait_for_selector("h1")
        return self.page

    def ask(self, question: str, *, wait: bool = True) -> Any:
        turns = self.page.locator(".turn").count()
        self.page.fill("#question-box", question)
        self.page.press("#question-box", "Enter")
        if wait:  # for the turn that is made now, not for the one before it
            self.page.locator(".turn").nth(turns).locator("article[aria-busy=false]").wait_for()
        return self.page


def until(page: Any, condition: str) -> None:
    """Waits for a condition in the page. (Playwright's own waiting evaluates a string there, which the policy forbids.)"""
    end = time.monotonic() + WAIT_MS / 1000
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(15)


def announced(page: Any) -> str:
    return str(page.locator("[role=status]").text_content())
