"""`grounded eval beir`: cut by one strategy, rows joined to long documents, and the table of what came out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from app import cli
from app.evals.beir import gains
from app.evals.joined import Part, joined, rows_of
from tests.app.serving import fake_embedder

ROWS = [
    {"_id": "c1", "title": "Cats", "text": "Cats sleep most of the day. They hunt mice at night."},
    {"_id": "c2", "title": "Cats", "text": "Kittens are blind when they are born."},
    {"_id": "t1", "title": "Tax", "text": "The income tax is due in March. A late return costs a penalty."},
    {"_id": "x1", "title": "", "text": "A row without a title."},
]
QUERIES = {"q1": ("Are kittens blind?", "c2"), "q2": ("When is the income tax due?", "t1")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets" / "corpus.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    rows = [{"_id": key, "text": text} for key, (text, _) in QUERIES.items()]
    (tmp_path / "pets" / "queries.jsonl").write_text("\n".join(map(json.dumps, rows)))
    judged = "\n".join(f"{key}\t{row}\t1" for key, (_, row) in QUERIES.items())
    (tmp_path / "pets" / "qrels_test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}\n")
    return tmp_path / "pets"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GROUNDED_INGEST__MIN_FREE_MB", "0")

    def run(*words: str, code: int = 0) -> str:
        capfd.readouterr()
        with fake_embedder(), pytest.raises(SystemExit) as end:
            cli.app(["eval", *words])
        out, err = capfd.readouterr()
        assert end.value.code == code, err
        return err if code else out

    yield run
    structlog.reset_defaults()


def test_a_row_is_a_document(told: Any, folder: Path) -> None:
    found = json.loads(told("beir", str(folder)))
    assert (found["set"], found["n_docs"], found["n_queries"], found["ingest"]["chunks"]) == ("pets", 4, 2, 4)
    assert (found["chunking"], found["joined"]) == (None, None)
    assert found["ndcg@10"]["reranked"] == 1


def test_rows_of_one_title_are_a_document_and_each_counts_for_itself(told: Any, folder: Path) -> None:
    found = json.loads(told("beir", str(folder), "--joined", "txt", "--chunking", "structure:16"))
    assert (found["n_docs"], found["chunking"], found["joined"]) == (3, "structure:16", "txt")
    assert found["ndcg@10"]["reranked"] == 1  # the second row of its document, found by its own chunk
    whole = json.loads(told("beir", str(folder), "--joined", "txt", "--chunking", "recursive"))
    assert whole["ingest"]["chunks"] == 3
    assert whole["ndcg@10"]["reranked"] == pytest.approx(
        (1 + 0.6309) / 2, abs=1e-3
    )  # behind the row it shares a chunk with


@pytest.mark.parametrize("said", ["fixd", "structure:3", "structure:many", ":96", "semantic:-1"])
def test_a_strategy_that_is_none_is_told(told: Any, folder: Path, said: str) -> None:
    assert "error[configuration_error]: --chunking" in told("beir", str(folder), "--chunking", said, code=2)


def test_an_ending_that_no_reader_knows_is_told(told: Any, folder: Path) -> None:
    assert "error[bad_eval_data]" in told("beir", str(folder), "--joined", "mp3", code=2)


def test_the_table_has_a_row_for_each_strategy(told: Any, folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "data" / "handbook" / "chunking.md"
    page.parent.mkdir(parents=True)
    page.write_text("before\n<!-- chunking:begin -->\n<!-- chunking:end -->\nbehind\n")
    for number, (strategy, *more) in enumerate([("recursive",), ("fixed",), ("fixed", "--joined", "txt")]):
        report = told("beir", str(folder), "--chunking", strategy, *more)
        (tmp_path / f"{number}.json").write_text(report)
    told("table", "0.json", "1.json", "2.json")
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "behind")
    assert "| strategy | pets | pets, joined |" in lines
    assert "| `recursive` | 1.000 |  |" in lines
    assert "| `fixed` | 4 | 3 |" in lines
    assert not (tmp_path / "README.md").exists()  # no report of numbers, so that page is left alone
    told("table", "2.json")  # what was not measured anew stays, in its place
    assert page.read_text().splitlines() == lines
    changed = json.loads((tmp_path / "1.json").read_text())
    changed["ingest"]["chunks"] = 77
    (tmp_path / "1.json").write_text(json.dumps(changed))
    told("table", "1.json")
    assert page.read_text().splitlines() == [line.replace("| `fixed` | 4 |", "| `fixed` | 77 |") for line in lines]


def test_gains_are_of_the_same_questions_before_and_after() -> None:
    """The arms swing together from question to question, so that pairs tell what two separate intervals cannot."""
    easy = [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6] * 25
    values = {"bm25": easy, "dense": [0.0] * 200, "hybrid": [v + 0.05 for v in easy], "reranked": easy}
    found = gains(values, seed=0)
    assert found["hybrid"] == {"over": "bm25", "ndcg@10": 0.05, "ci95": (0.05, 0.05)}
    assert found["reranked"] == {"over": "hybrid", "ndcg@10": -0.05, "ci95": (-0.05, -0.05)}
    noise = [v + (0.1 if n % 2 else -0.1) for n, v in enumerate(easy)]
    low, high = gains({**values, "reranked": noise}, seed=0)["reranked"]["ci95"]
    assert low < -0.05 < high


def test_the_table_tells_gains_and_the_interval_of_their_mean(told: Any, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("<!-- numbers:begin -->\n<!-- numbers:end -->\n")
    (tmp_path / "data" / "handbook").mkdir(parents=True)
    (tmp_path / "data" / "handbook" / "numbers.md").write_text(page.read_text())
    for name, gain in (("one", 0.02), ("two", 0.04)):
        told_gain = {"ndcg@10": gain, "ci95": [gain - 0.03, gain + 0.03]}
        scores = {"bm25": 0.5, "dense": 0.4, "hybrid": 0.6, "reranked": 0.6 + gain}
        report = {"ndcg@10": scores, "gains": {"hybrid": told_gain, "reranked": told_gain}}
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    told("table", "one.json", "two.json")
    lines = page.read_text().splitlines()
    one = "+0.020 (-0.010 to +0.050)"
    assert f"| one | 0.500 | 0.400 | 0.600 | 0.620 | {one} | {one} |" in lines
    both = "+0.030 (+0.009 to +0.051)"  # 0.03 / sqrt(2) to each side
    assert f"| mean | 0.500 | 0.400 | 0.600 | 0.630 | {both} | {both} |" in lines


def test_parts_say_where_a_row_stands() -> None:
    documents, parts = joined([*ROWS, {"_id": "c3", "title": "Cats", "text": "Soft\u200b paws.\r\n"}], "md")
    assert [document["_id"] for document in documents] == ["c1", "t1", "x1"]
    cats = documents[0]
    assert cats["ending"] == "md"
    assert [cats["text"][part.start : part.end] for part in parts["c1"]] == [
        ROWS[0]["text"],
        ROWS[1]["text"],
        "Soft paws.\n",
    ]
    assert [part.row for part in parts["c1"]] == ["c1", "c2", "c3"]


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [
        (0, 100, ["a", "b"]),  # all of both
        (0, 20, ["a"]),  # a part of one
        (20, 56, ["a"]),  # a little of the next
        (30, 70, ["a", "b"]),  # half of itself in each
        (40, 64, ["b"]),
    ],
)
def test_a_span_counts_for_the_rows_that_it_mostly_holds_or_lies_in(start: int, end: int, rows: list[str]) -> None:
    assert rows_of((Part(0, 50, "a"), Part(50, 100, "b")), start, end) == rows
