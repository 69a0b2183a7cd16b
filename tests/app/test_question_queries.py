"""What a question asks of the catalog costs the same in a large one: nothing is read from end to end."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import event

from generation.events import Finished
from tests.app.serving import answer, fake_embedder, product

FILES = {
    f"guide-{n}.md": f"# Guide {n}\n\n" + "".join(f"## Part {k}\n\n- {n}{k} otters.\n\n" * 30 for k in range(4))
    for n in range(3)
}


def plan(db: sqlite3.Connection, statement: str, parameters: Any) -> list[str]:
    return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]


def test_no_table_is_read_from_end_to_end(tmp_path: Path) -> None:
    """By SQLite's own plans, which do not depend on how much there is."""
    asked: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if statement.startswith("SELECT"):
            asked[statement] = parameters

    async def main() -> list[Any]:
        async with product(tmp_path, FILES, context={"widen": "section"}) as grounded:
            await grounded.settled()
            event.listen(grounded.catalog._engine, "before_cursor_execute", note)  # type: ignore[attr-defined]
            return await answer(grounded, "How many otters are there in guide 2, part 3?")

    with fake_embedder(), structlog.testing.capture_logs():
        events = asyncio.run(main())
    assert isinstance(events[-1], Finished)
    about_chunks = [statement for statement in asked if "FROM chunks" in statement]
    assert len(about_chunks) >= 2  # the texts of hits, and what stands around them
    with sqlite3.connect(tmp_path / "state" / "catalog.sqlite") as db:
        plans = {statement: plan(db, statement, parameters) for statement, parameters in asked.items()}
    tables = ("chunks", "documents", "versions", "explanations")
    read = [
        (s, line) for s, lines in plans.items() for line in lines if line.startswith(tuple(f"SCAN {t}" for t in tables))
    ]
    assert read == []
