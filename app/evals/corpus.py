"""A corpus as the service sees it, ingested by the very pipeline that serves into a temporary state.

The rows of a file become files of a temporary folder; only their reader differs, since a row is neither Markdown nor PDF.
"""

import fcntl
import getpass
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from app.evals import rows
from app.settings import Settings
from app.state import StateFolder
from app.wiring import Grounded, opened
from ingest.errors import Broken
from ingest.model import Parsed, Source
from ingest.ports import Reader
from ingest.readers import registry
from ingest.run import FileReport, Request, Summary
from retrieval.model import Scope

COLLECTION = "eval"
BadEvalData = rows.BadEvalData  # whoever has a corpus reads files
read_rows = rows.read_rows


@dataclass(frozen=True, slots=True)
class Corpus:
    """An ingested corpus. `rows` gives, by document id, the row's own id, or the file's path below the folder."""

    grounded: Grounded
    scope: Scope
    rows: dict[str, str]
    summary: Summary


class RowReader:
    """Reader of rows: `{_id, title, text}` as JSON. A row that says so is read as a file of its `ending`."""

    async def read(self, source: Source, data: bytes) -> Parsed:
        """The row's text, in paragraphs, under its title. Raises Broken for what is no such row."""
        try:
            row = orjson.loads(data)
            title, text = row.get("title") or "", row["text"].encode("utf-8", "replace")
            name = f"row.{row.get('ending') or 'txt'}"
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Broken(f"{source.name} is no row with a text.") from None
        return replace(registry.read(name, text), title=title)


@asynccontextmanager
async def opened_anew(settings: Settings, reader: Reader | None = None) -> AsyncIterator[Grounded]:
    """Everything opened on a state folder that is forgotten afterwards. The models are loaded."""
    with tempfile.TemporaryDirectory(prefix="grounded-eval-") as folder:  # mkdtemp gives an absolute path
        state = StateFolder(Path(folder))
        with state.owned():
            async with opened(settings, state, reader) as grounded:
                await grounded.ready()
                yield grounded


@asynccontextmanager
async def ingested(settings: Settings, rows: list[dict[str, Any]]) -> AsyncIterator[Corpus]:
    """Ingest rows into a temporary state, and forget it afterwards. Where nobody else evaluates at the same time, ids are the
    same in every run, and with them the order of what scores alike."""
    with _rows_folder() as folder:
        names = {f"{number:07}.txt": row["_id"] for number, row in enumerate(rows)}
        for name, row in zip(names, rows, strict=True):
            (folder / name).write_bytes(orjson.dumps(row))
        async with opened_anew(settings, RowReader()) as grounded:
            summary = await ingest(grounded, Request(folder, COLLECTION), _Teller(names))
            found = await corpus_of(grounded, folder, summary)
            yield replace(found, rows={document: names[name] for document, name in found.rows.items()})


@contextmanager
def _rows_folder() -> Iterator[Path]:
    """An empty folder, removed afterwards. The id of a document holds the name of its folder, so it is always the same one,
    but where another process uses that: then it is one of a name that is drawn."""
    with ExitStack() as closing:
        folder = Path(tempfile.gettempdir()).resolve() / f"grounded-eval-rows-{getpass.getuser()}"
        held = closing.enter_context(folder.with_suffix(".lock").open("a"))
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another evaluation runs: what scores alike may stand in another order than in its report")
            yield Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="grounded-eval-")))
            return
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        folder.mkdir(mode=0o700)
        yield folder


async def ingest(grounded: Grounded, request: Request, told: Callable[[FileReport, Summary], None]) -> Summary:
    """What `grounded ingest` does, its reports handed to `told`."""
    summary = Summary()
    plan = await grounded.ingest.plan(request)
    async with aclosing(grounded.ingest.run(request, plan, summary)) as reports:
        async for report in reports:
            told(report, summary)
    await grounded.learnt()  # as a service has done by the time that somebody asks
    return summary


async def corpus_of(grounded: Grounded, folder: Path, summary: Summary) -> Corpus:
    """The corpus that an ingest of `folder` made."""
    scope = await grounded.pipeline.scope(COLLECTION)
    known = await grounded.catalog.known(scope.collection_id, folder)
    return Corpus(grounded, scope, {entry.document_id: name for name, entry in known.items()}, summary)


async def bare_embedding(grounded: Grounded, collection: str) -> float:
    """Seconds to embed every text of the chunks once, with nothing else to do: the floor of any ingest."""
    scope = await grounded.pipeline.scope(collection)
    texts: dict[str, None] = {}
    after = None
    while rows := await grounded.catalog.documents(scope.collection_id, 200, after):
        after = rows[-1].id
        for row in rows:
            ids = await grounded.catalog.live_ids(row.id)
            live = await grounded.catalog.live_chunks(scope.collection_id, ids)
            texts |= dict.fromkeys(entry.chunk.embedded for entry in live.values())
    start = time.perf_counter()
    await grounded.embedder.embed_passages(list(texts))
    return time.perf_counter() - start


@dataclass(frozen=True, slots=True)
class _Teller:
    """Progress of an ingest of rows. `names` gives a row's own id by its file."""

    names: dict[str, str]

    def __call__(self, report: FileReport, summary: Summary) -> None:
        done = sum(summary.counts.values())
        if report.error is not None:
            progress(f"row {self.names[report.path]}: {report.error.message}")
        elif done % 500 == 0:
            progress(f"{done} of {len(self.names)} rows, {summary.seconds:.0f} s")


def progress(line: str) -> None:
    """For people, on stderr."""
    print(line, file=sys.stderr, flush=True)
