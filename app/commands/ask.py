"""`grounded ask` and `grounded search`: through the running service when one holds the state folder, else in process."""

import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import IO, Any

import httpx2
import orjson
from rich.console import Console
from rich.markup import escape

from app.commands.checked import checked
from app.commands.output import console_for, emit_json, say
from app.commands.remote import connected
from app.errors import CommandError, ServiceUnreachable
from app.settings import Settings
from app.state import StateFolder
from retrieval.errors import InvalidFilter

_MARKS = {"supported": "", "partial": " ~", "unsupported": " ✗", "uncited": " ?", "unchecked": ""}
_COMPARISON = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(!=|>=|<=|=|>|<)(.*)", re.DOTALL)
_SIGNS = {"!=": "ne", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_FILTER_HELP = "Write for example --filter tags=policy, --filter 'modified_at>=now-90d' or --filter 'filename=hr/*'."
_TIMEOUT_S = 180.0
_NOT_GROUNDED = "What answers at {} is not Grounded."


class RemoteError(CommandError):
    """An error that the service reported."""

    def __init__(self, envelope: dict[str, Any], status: int) -> None:
        super().__init__(envelope["message"], envelope["next_step"])
        self.code = envelope["code"]
        self.status = status


async def ask(settings: Settings, body: dict[str, Any], options: Sequence[str] = (), *, as_json: bool) -> int:
    """Ask and print: JSON on stdout, or the answer with footnotes. `options` are those of `filters_of`."""
    question = {"question": _text(body["question"]), "filters": filters_of(options)}
    body = {**body, **question, "include": ["sources.text"]}
    async with client(settings) as http:
        answer = await _post(http, "/ask", body)
    if as_json:
        emit_json(answer)
    else:
        print_answer(answer, sys.stdout)
        if sys.stderr.isatty():
            say(f"Why these passages: grounded explain {answer['id']}")
    return 0


async def search(
    settings: Settings,
    query: str,
    collection: str,
    limit: int,
    options: Sequence[str] = (),
    *,
    explain: bool = False,
    as_json: bool,
) -> int:
    """Print the passages that a question would find, with their rank in each arm; with `explain` all candidates."""
    async with client(settings) as http:
        body = {"query": _text(query), "max_num_results": limit, "filters": filters_of(options), "explain": explain}
        page = await _post(http, f"/v1/vector_stores/{collection}/search", body)
    if as_json:
        emit_json(page)
        return 0
    console = console_for(sys.stdout)
    if explain:
        from app.commands.explain import print_explanation

        print_explanation(page["explanation"], console)
        return 0
    for number, hit in enumerate(page["data"], start=1):
        a = hit["attributes"]
        ranks = "  ".join(
            f"{arm} #{a[f'{arm}_rank']}" for arm in ("dense", "bm25", "rerank", "cross") if f"{arm}_rank" in a
        )
        console.print(f"[bold]{number}. {escape(hit['filename'])}[/]  {escape(a['heading'])}  [dim]{ranks}[/]")
        console.print(f"   {escape(_one_line(hit['content'][0]['text'], 200))}")
    if not page["data"]:
        say("Nothing found.")
    return 0


def filters_of(options: Sequence[str]) -> dict[str, Any]:
    """What several `--filter` say together: `key=value`, with `!=`, `<`, `<=`, `>`, `>=` in its place, or JSON as in a
    request. All of them must match; of several equal signs for one key, one. Raises InvalidFilter."""
    equal: dict[str, list[str]] = {}
    others: list[dict[str, Any]] = []
    for option in map(_text, options):
        if option.lstrip().startswith("{"):
            others.append(_json(option))
            continue
        found = _COMPARISON.fullmatch(option)
        if found is None:
            raise InvalidFilter("--filter is not written as key=value.", _FILTER_HELP)
        key, sign, value = found.groups()
        if sign == "=":
            equal.setdefault(key, []).append(value)
        else:
            others.append({"type": _SIGNS[sign], "key": key, "value": value})
    if not others:
        return dict(equal)
    parts = [*others, *({key: values} for key, values in equal.items())]
    return parts[0] if len(parts) == 1 else {"type": "and", "filters": parts}


def _json(option: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = orjson.loads(option)
    except orjson.JSONDecodeError as error:
        raise InvalidFilter("--filter begins as JSON does and is none.", _FILTER_HELP) from error
    return found


@asynccontextmanager
async def client(settings: Settings, *, here: bool = False) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the service: of GROUNDED_URL, of the one that holds the state folder, or of one opened here and now.

    With `here` always the last. Raises ServiceUnreachable for an address that is none.
    """
    url = None if here else os.environ.get("GROUNDED_URL") or StateFolder(settings.state).service_url()
    if url:
        try:
            http = connected(url, _TIMEOUT_S)
        except httpx2.InvalidURL as error:
            raise ServiceUnreachable(f"{url!r} is not the address of a service.") from error
        async with http:
            yield http
        return
    from app.api.service import create_app

    app = create_app(settings, local=True)
    with StateFolder(settings.state).owned():
        async with app.router.lifespan_context(app):
            await app.state.grounded.ready()
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=_TIMEOUT_S) as http:
                yield http


async def fetched(http: httpx2.AsyncClient, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    """Status and content of a reply. Raises ServiceUnreachable when nobody answers, or somebody who is not Grounded."""
    try:
        reply = await http.request(method, path, json=body)
        found = reply.json()
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        raise ServiceUnreachable(f"The service at {http.base_url} does not answer.") from error
    except ValueError as error:
        raise ServiceUnreachable(_NOT_GROUNDED.format(http.base_url)) from error
    if not isinstance(found, dict) or (reply.is_error and not {"error", "checks"} & set(found)):
        raise ServiceUnreachable(_NOT_GROUNDED.format(http.base_url))
    return reply.status_code, found


async def _post(http: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    return raised(*await fetched(http, "POST", path, body))


def raised(status: int, found: dict[str, Any]) -> dict[str, Any]:
    """The content of a reply. Raises RemoteError when it is an error."""
    if "error" in found:
        raise RemoteError(found["error"], status)
    return found


def _text(argument: str) -> str:
    """What was typed, as text: bytes that are not UTF-8 arrive as surrogates, which nothing can send."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def print_answer(answer: dict[str, Any], file: IO[str]) -> None:
    """The answer as people read it: sentences with footnotes, and the sources below."""
    console = Console(file=file, highlight=False, soft_wrap=True)
    if "error" in answer:
        console.print(escape(f"error[{answer['error']['code']}]: {answer['error']['message']}"))
        return
    numbers = {source["id"]: source["n"] for source in answer["sources"]}
    console.print(escape(_with_footnotes(answer, numbers)))
    cited = {c["source"] for claim in answer["claims"] for c in claim["citations"]}
    nearest = (answer["abstention"] or {}).get("nearest", [])
    shown = [source for source in answer["sources"] if source["id"] in cited]
    for source in shown or nearest:
        place = f", page {source['page']}" if source["page"] else ""
        heading = " > ".join(source["heading_path"])
        label = f"[{numbers.get(source['id'], '-')}]" if shown else "nearest:"
        console.print(f"[dim]{escape(label)} {escape(source['filename'])}{place}  {escape(heading)}[/]")
    if answer["verification"] and answer["verification"]["status"] in ("partly", "failed"):
        console.print(f"[dim]{escape(checked(answer['verification']))}[/]")
    if answer["filter"]:
        withheld = ", ".join(answer["filter"]["categories"])
        did = "withheld" if answer["finish_reason"] == "filtered" else "masked"
        console.print(f"[yellow]{did}: {escape(withheld)}[/]")
    for part in answer["degraded"]:
        console.print(f"[yellow]degraded: {part}; run grounded doctor[/]")


def _with_footnotes(answer: dict[str, Any], numbers: dict[str, int]) -> str:
    text: str = answer["answer"]
    for claim in reversed(answer["claims"]):
        marks = "".join(f"[{n}]" for n in dict.fromkeys(numbers[c["source"]] for c in claim["citations"]))
        text = text[: claim["end"]] + (f" {marks}" if marks else "") + _mark(claim) + text[claim["end"] :]
    return text


def _mark(claim: dict[str, Any]) -> str:
    """What stands behind a sentence that is not simply supported."""
    return " ✗ contradicted" if claim["contradicted"] else _MARKS[claim["status"]]


def _one_line(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
