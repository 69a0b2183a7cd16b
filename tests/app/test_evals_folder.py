"""`grounded eval folder`: real files, the real pipeline, the fake embedder."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from app import cli
from app.evals.memory import MemoryWatch
from app.evals.table import table
from tests.app.serving import fake_embedder, write
from tests.fakes import FakeEmbedder
from tests.ingest.reading import pdf

REFUNDS = pdf(
    "Refunds are issued within fourteen days of the order.",
    "Opened software is never taken back by the shop.",
    title="Refunds",
)
CATS = pdf("Cats sleep most of the day.", "Kittens are blind when they are born.", title="Cats")
ASKED = "When are refunds issued?"
BLIND = "Are kittens blind when they are born?"


@pytest.fixture
def embedder() -> Iterator[FakeEmbedder]:
    with fake_embedder() as found:
        yield found


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return write(tmp_path / "docs", {"refunds.pdf": REFUNDS, "animals/cats.pdf": CATS})


@pytest.fixture
def evaluate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Runs the command here; its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GROUNDED_INGEST__MIN_FREE_MB", "0")

    def run(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.app(["eval", "folder", *words])
        assert isinstance(end.value.code, int)
        return end.value.code, *capfd.readouterr()

    yield run
    structlog.reset_defaults()


@pytest.fixture
def measured(embedder: FakeEmbedder, docs: Path, evaluate: Callable[..., tuple[int, str, str]]) -> Any:
    """The report of an evaluation of these rows."""

    def report(*rows: dict[str, Any], file: Path = Path("qa.jsonl"), limit: int | None = None) -> Any:
        file.write_text("\n".join(map(json.dumps, rows)))
        code, out, err = evaluate("docs", "--qa", str(file), *([] if limit is None else ["--limit", str(limit)]))
        assert code == 0, err
        return json.loads(out)

    return report


def test_the_page_that_was_cited_against_the_page_that_is_right(measured: Any) -> None:
    found = measured(
        {"question": ASKED, "file": "refunds.pdf", "page": 1},
        {"question": BLIND, "file": "cats.pdf", "page": 2},
        {"question": BLIND, "file": "cats.pdf", "page": 1},
        {"question": BLIND, "file": "refunds.pdf", "page": 2},
    )
    assert found["n"] == found["answerable"]["n"] == 4
    assert (found["citation"]["with_file"], found["citation"]["gold_file_first"]) == (4, 0.75)
    assert (found["citation"]["with_page"], found["citation"]["gold_page_first"]) == (4, 0.5)
    assert found["citation"]["valid"] == found["citation"]["quote_exact"] == 1


def test_it_reports_as_qa_does(measured: Any) -> None:
    found = measured(
        {"question": ASKED, "answers": ["fourteen days"], "answerable": True},
        {"question": BLIND, "answers": ["a hundred days"], "answerable": True},
        {"question": "Who was the first emperor?", "answers": [], "answerable": False, "file": "refunds.pdf"},
    )
    assert found["answerable"]["contains_gold"] == 0.5
    assert found["unanswerable"] == {"n": 1, "abstained": 1}
    assert found["auroc"] == 1
    assert found["citation"]["with_file"] == 0  # a question without an answer has no place either
    assert found["generator"] == "extractive"
    assert set(found["latency_ms"]) == {"p50", "p95"}


def test_what_the_ingest_cost(measured: Any, embedder: FakeEmbedder) -> None:
    ingest = measured({"question": ASKED})["ingest"]
    assert (ingest["files"], ingest["failed"], ingest["pages"]) == (2, 0, 4)
    assert (ingest["chunks"], ingest["embedded"]) == (4, 4)
    assert len(embedder.embedded) == 8  # once for the index and once bare
    assert sorted(embedder.embedded[:4]) == sorted(embedder.embedded[4:])
    assert ingest["pages_per_s"] > 0
    assert ingest["embed_seconds"] <= ingest["seconds"]
    assert ingest["seconds"] > 0
    assert ingest["peak_rss_mb"] >= ingest["peak_rss_own_mb"] + ingest["peak_rss_readers_mb"] - 1
    assert ingest["peak_rss_readers_mb"] > 5  # the reader is a process of its own


def test_what_two_files_say_word_for_word_is_embedded_once(measured: Any, docs: Path, embedder: FakeEmbedder) -> None:
    write(docs, {"copy.pdf": REFUNDS})
    ingest = measured({"question": ASKED})["ingest"]
    assert (ingest["files"], ingest["chunks"], ingest["embedded"]) == (3, 6, 4)
    assert len(embedder.embedded) == 8  # the floor is what an ingest cannot do without


def test_the_questions_are_none_of_the_documents(measured: Any, docs: Path) -> None:
    gold = {"question": "What colour is the moon?", "answers": ["mauve"], "answerable": True}
    found = measured(gold, file=docs / "animals" / "moon[1].jsonl")
    assert found["ingest"]["files"] == 2
    assert found["answerable"]["contains_gold"] == 0


def test_a_file_that_fails_costs_itself_alone(measured: Any, docs: Path) -> None:
    write(docs, {"broken.pdf": b"%PDF-1.4 and nothing more"})
    found = measured({"question": ASKED, "file": "refunds.pdf"}, {"question": ASKED, "file": "broken.pdf"})
    assert (found["ingest"]["files"], found["ingest"]["failed"]) == (2, 1)
    assert found["citation"]["gold_file"] == 0.5


def test_only_so_many_questions(measured: Any) -> None:
    rows = [{"question": f"{ASKED} {n}"} for n in range(9)]
    assert measured(*rows, limit=3)["n"] == 3
    assert measured(*rows, limit=99)["n"] == 9


def test_a_folder_without_pages(measured: Any, docs: Path) -> None:
    for file in docs.rglob("*.pdf"):
        file.unlink()
    write(docs, {"refunds.md": "# Refunds\n\nRefunds are issued within fourteen days.\n"})
    found = measured({"question": ASKED, "file": "refunds.md"})
    assert (found["ingest"]["pages"], found["ingest"]["pages_per_s"]) == (0, None)
    assert found["citation"]["gold_file"] == 1


@pytest.mark.parametrize(
    ("row", "folder"),
    [
        ('{"question": "Why?", "file": "nowhere.pdf"}', "docs"),
        ('{"question": "Why?", "page": 3}', "docs"),
        ('{"answers": []}', "docs"),
        ('{"question": "Why?"}', "nowhere"),
        ("", "docs"),
    ],
)
def test_what_cannot_be_evaluated(
    embedder: FakeEmbedder, docs: Path, evaluate: Callable[..., tuple[int, str, str]], row: str, folder: str
) -> None:
    write(docs.parent, {"qa.jsonl": row})
    code, out, err = evaluate(folder, "--qa", "qa.jsonl")
    assert (code, out) == (2, "")
    assert "error[bad_eval_data]: " in err or "error[folder_not_found]: " in err
    assert "  next: " in err
    assert not embedder.embedded  # said before any work is done


def test_its_report_becomes_a_table_of_the_manual(measured: Any, tmp_path: Path, docs: Path) -> None:
    right, unknown = {"question": ASKED, "file": "refunds.pdf"}, {"question": BLIND}
    found = measured(right, unknown)
    (tmp_path / "filings.json").write_text(json.dumps(found))
    page = tmp_path / "numbers.md"
    page.write_text("<!-- numbers:begin -->\n<!-- numbers:end -->\n")
    assert asyncio.run(table([tmp_path / "filings.json"], [page])) == 0
    lines = page.read_text().splitlines()
    assert "`grounded eval folder DIR --qa FILE`, filings, 2 questions:" in lines
    assert "| file | 1 | 1.000 | 1.000 | 1.000 |" in lines
    assert "| page | 0 |  |  |  |" in lines
    assert any(line.startswith("Ingest of 2 files (4 pages, 4 chunks): ") for line in lines)


def test_memory_of_children_counts() -> None:
    """A child that holds 64 MB while it is watched, and is gone at the end."""
    script = "held = bytearray(b'x') * (64 << 20); print(flush=True); input()"
    with MemoryWatch() as watch:
        before = watch.peak
        with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout
            child.stdout.readline()
            watch._look()
            child.communicate(b"\n")
    assert watch.peak.children - before.children >= 64
    assert watch.peak.total >= watch.peak.own + watch.peak.children - 1
    assert watch.peak.own > 10
