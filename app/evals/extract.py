"""`grounded eval extract`: what the readers make of real files. Every file goes to the very processes that serve.

A folder may say in `index.jsonl` which Markdown a file should read like (`groundtruth`), or in which encoding its text is
(`encoding`); without one, every file in it is read and what becomes of it is told.
"""

import datetime as dt
import html
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Any

from app.commands.output import emit_json
from app.evals.corpus import BadEvalData, progress, read_rows
from app.settings import Settings
from app.wiring import reader_pool
from ingest.errors import FileError, ReaderCrashed, ReaderTimeout
from ingest.model import Parsed, Source
from ingest.ports import Reader
from ingest.readers.registry import supported
from ingest.readers.text import clean

_WORD = re.compile(r"[^\W_]+")
_COMMENT = re.compile(r"<!--.{0,4000}?-->", re.DOTALL)
_TARGET = re.compile(r"\]\([^()\s]{0,4000}(?:\([^()\s]{0,400}\)[^()\s]{0,400}){0,4}\)")
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+.!|<>~-])")
_LOW = 0.9  # recall below which a file is listed


@dataclass(frozen=True, slots=True)
class Task:
    """One file. `wanted` is the text that it should give, or the Markdown that it should read like, or nothing."""

    file: str
    data: bytes
    name: str  # under which the readers get it
    text: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it: `read`, or the code of the error. `recall` is of the words of its reference, 0 to 1."""

    task: Task
    verdict: str
    ms: float
    recall: float | None = None
    right: bool | None = None
    message: str = ""


async def extract(settings: Settings, folder: Path, limit: int | None) -> int:
    """Read all files, print one JSON document."""
    tasks = _tasks(folder)[:limit]
    pool = reader_pool(settings)
    try:
        outcomes = []
        for number, task in enumerate(tasks, start=1):
            outcomes.append(await _outcome(pool, task))
            if number % 100 == 0:
                progress(f"{number} of {len(tasks)} files")
    finally:
        await pool.close()
    emit_json(report(outcomes))
    return 0


def _tasks(folder: Path) -> list[Task]:
    if (folder / "index.jsonl").exists():
        rows = read_rows(folder / "index.jsonl")
        return [task for row in rows if (task := _task(folder, row)) is not None]
    files = sorted(path for path in folder.rglob("*") if path.is_file() and supported(path.name))
    if not files:
        raise BadEvalData(f"{folder.name} holds neither index.jsonl nor files that are read.")
    names = [path.relative_to(folder).as_posix() for path in files]
    return [Task(name, path.read_bytes(), name) for name, path in zip(names, files, strict=True)]


def _task(folder: Path, row: Mapping[str, Any]) -> Task | None:
    """A row of the index as a task; None where its label cannot be true."""
    file = row.get("file") if isinstance(row, dict) else None
    if not isinstance(file, str):
        raise BadEvalData("A row of index.jsonl names no file.")
    try:
        if "encoding" not in row:
            wanted = row.get("groundtruth")
            reference = (folder / wanted).read_text("utf-8", "replace") if wanted else None
            return Task(file, (folder / file).read_bytes(), file, reference=reference)
        path = folder / file
        data = (path if path.exists() else folder / "files" / file).read_bytes()
        text = clean(data.decode(row["encoding"])).lstrip("\ufeff")
        return Task(file, data, f"{file}.txt", text=text)
    except OSError as error:
        raise BadEvalData(f"index.jsonl names {file}, which cannot be read.") from error
    except (UnicodeError, LookupError):
        return None


async def _outcome(reader: Reader, task: Task) -> Outcome:
    source = Source(Path("/"), task.name, len(task.data), dt.datetime.now(dt.UTC))
    start = time.perf_counter()
    try:
        parsed = await reader.read(source, task.data)
    except FileError as error:
        ms = (time.perf_counter() - start) * 1e3
        lost = 0.0 if task.reference is not None and _reference_words(task.reference) else None
        return Outcome(task, error.code, ms, lost, False if task.text is not None else None, error.message)
    ms = (time.perf_counter() - start) * 1e3
    return Outcome(task, "read", ms, _recall(task, parsed), None if task.text is None else parsed.text == task.text)


def _recall(task: Task, parsed: Parsed) -> float | None:
    """The share of the reference's words, each as often as it stands there, that stand in what was read."""
    wanted = _reference_words(task.reference or "")
    found = words(parsed.text)
    return sum(min(times, found[word]) for word, times in wanted.items()) / wanted.total() if wanted else None


def words(text: str) -> Counter[str]:
    """Words without case, and how often each."""
    return Counter(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def _reference_words(markdown: str) -> Counter[str]:
    """Words of Markdown that a reader sees: no comments, no targets of links, no escapes."""
    return words(html.unescape(_ESCAPED.sub(r"\1", _TARGET.sub("]", _COMMENT.sub(" ", markdown)))))


def report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of section *Extraction* of the manual."""
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    return {
        "n": len(outcomes),
        "verdicts": dict(verdicts.most_common()),
        "crashes": verdicts[ReaderCrashed.code],
        "hangs": verdicts[ReaderTimeout.code],
        "slowest_ms": round(max((outcome.ms for outcome in outcomes), default=0.0), 1),
        "formats": _formats(outcomes),
        "encodings": _encodings(outcomes),
        "files": [_row(outcome) for outcome in outcomes if _worth_telling(outcome)],
    }


def _formats(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """By ending. `referenced` files have a reference with words; one that could not be read counts with a recall of 0."""
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.task.text is None:
            found.setdefault(PurePosixPath(outcome.task.file).suffix.lower().lstrip("."), []).append(outcome)
    return {
        ending: {
            "n": len(group),
            "read": sum(outcome.verdict == "read" for outcome in group),
            "referenced": len(recalls := [outcome.recall for outcome in group if outcome.recall is not None]),
            "median_word_recall": round(median(recalls), 4) if recalls else None,
        }
        for ending, group in sorted(found.items())
    }


def _encodings(outcomes: Sequence[Outcome]) -> dict[str, Any] | None:
    labelled = [outcome.right for outcome in outcomes if outcome.right is not None]
    if not labelled:
        return None
    return {"n": len(labelled), "right": sum(labelled), "share": round(sum(labelled) / len(labelled), 4)}


def _worth_telling(outcome: Outcome) -> bool:
    low = outcome.recall is not None and outcome.recall < _LOW
    return outcome.verdict != "read" or outcome.right is False or low


def _row(outcome: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = {"file": outcome.task.file, "verdict": outcome.verdict}
    if outcome.recall is not None:
        row["word_recall"] = round(outcome.recall, 4)
    if outcome.right is not None:
        row["right"] = outcome.right
    return row | ({"message": outcome.message} if outcome.message else {})
