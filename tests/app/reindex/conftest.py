"""A service that has a folder of documents and golden questions about them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.app.reindex.lives import TOPICS, Lives, document
from tests.app.reindexing import World
from tests.app.serving import write


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def log() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as seen:
        yield seen


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return write(tmp_path / "docs", {f"{topic}.txt": document(topic) for topic in TOPICS})


@pytest.fixture
def lives(tmp_path: Path, docs: Path) -> Lives:
    return Lives(World(), tmp_path / "state", docs)


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    rows = [{"question": f"Who painted the {topic}?", "file": f"{topic}.txt"} for topic in TOPICS]
    rows += [
        {"question": "Is there an answer?", "answerable": False},
        {"question": "And elsewhere?", "file": "not-here.md"},
    ]
    path = tmp_path / "golden" / "own.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
