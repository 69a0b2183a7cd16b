"""`grounded eval qa`: what the answers about a corpus of rows are worth."""

from pathlib import Path

from app.commands.output import emit_json
from app.evals.answers import ask_all, drawn, report
from app.evals.corpus import ingested, read_rows
from app.settings import Settings


async def qa(settings: Settings, folder: Path, file: Path, limit: int | None, seed: int) -> int:
    """Ingest, ask, print one JSON document."""
    questions = drawn(read_rows(file, question=str, answers=list, answerable=bool), limit, seed)
    async with ingested(settings, read_rows(folder / "corpus.jsonl", _id=str, text=str)) as corpus:
        emit_json(await report(corpus, questions, await ask_all(corpus, questions)))
    return 0
