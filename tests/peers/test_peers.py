"""The comparison with other libraries: what it compares, how it scores, what it tells of a peer that fails."""

import asyncio
import importlib.util
import json
import random
from argparse import ArgumentTypeError
from collections.abc import Iterator
from pathlib import Path

import ir_measures
import numpy as np
import pytest

from app.evals.corpus import BadEvalData
from tests.fakes import FakeEmbedder
from tests.peers.__main__ import CACHE
from tests.peers.corpus import Judged, judged, padding_of, pieces, prepare, varied
from tests.peers.environments import is_made
from tests.peers.report import add, lines, write_page
from tests.peers.runner import PEERS, Outcome, Peer, Runner, chosen, in_turns
from tests.peers.scores import ndcg
from tests.peers.table import row_of, table

TEXTS = {
    "cats": "Cats\nCats sleep most of the day and hunt mice at night.",
    "tax": "Income tax\nThe income tax is due in March; a late return costs a penalty.",
    "rust": "Rust\nIron rusts where water and oxygen meet it.",
    "tides": "Tides\nThe tide is high twice a day because the moon pulls the sea.",
}
QUESTIONS = {"q1": "When do cats hunt mice?", "q2": "When is income tax due?", "q3": "Why is the tide high?"}
QRELS = {"q1": {"cats": 1}, "q2": {"tax": 1}, "q3": {"tides": 1, "rust": 0}}
SIZE = 60


@pytest.fixture
def data(tmp_path: Path) -> Judged:
    folder = tmp_path / "beir"
    folder.mkdir()
    rows = [dict(zip(("title", "text"), text.split("\n"), strict=True)) | {"_id": i} for i, text in TEXTS.items()]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = QUESTIONS | {"q4": "Not judged?"}
    (folder / "queries.jsonl").write_text("\n".join(json.dumps({"_id": i, "text": t}) for i, t in asked.items()))
    lines = [f"{q}\t{i}\t{grade}" for q, grades in QRELS.items() for i, grade in grades.items()]
    (folder / "qrels_test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]))
    return judged(folder)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path, data: Judged, loop: asyncio.AbstractEventLoop) -> Path:
    """A corpus as peers read it."""
    made = tmp_path / "corpus"
    made.mkdir()
    padding = padding_of([])[:20]
    loop.run_until_complete(prepare(made, data, padding, SIZE, FakeEmbedder(), tmp_path / "kept", 0))
    questions = [{"id": i, "text": text} for i, text in data.questions.items()]
    plan = {"questions": questions, "rounds": 1, "slow_ms": 1000, "slow_questions": 1}
    (made / "plan.json").write_text(json.dumps(plan))
    return made


def runner(folder: Path, tmp_path: Path, loop: asyncio.AbstractEventLoop, cap: float = 120) -> Runner:
    return Runner(folder, tmp_path / "cache", cap, FakeEmbedder(), loop)


# ---- what is compared


def test_the_corpus_is_what_is_judged_and_real_text_around_it(folder: Path, data: Judged) -> None:
    assert data.texts == TEXTS
    assert data.questions == QUESTIONS
    rows = [json.loads(line) for line in (folder / "texts.jsonl").read_text().splitlines()]
    assert {row["id"]: row["text"] for row in rows[: len(TEXTS)]} == TEXTS
    assert len({row["id"] for row in rows}) == len({row["text"] for row in rows}) == SIZE
    known = {word for piece in padding_of([]) for word in piece.split()}
    assert {word for row in rows[len(TEXTS) :] for word in row["text"].split()} <= known


def test_every_row_has_its_vectors(folder: Path) -> None:
    vectors, parts, ends = (np.load(folder / f"{name}.npy") for name in ("vectors", "parts", "bits_ends"))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(vectors) == len(parts) == SIZE
    assert (np.load(folder / "bits.npy").shape[0], len(ends)) == (ends[-1], len(TEXTS) + 20)
    embedded = asyncio.run(FakeEmbedder().embed_passages(list(TEXTS.values())))
    assert np.allclose(vectors[: len(TEXTS)], [passage.vector for passage in embedded], atol=1e-6)


def test_texts_are_embedded_once_and_are_not_kept(tmp_path: Path, data: Judged) -> None:
    embedder = FakeEmbedder()
    for _ in range(2):
        asyncio.run(prepare(tmp_path, data, padding_of([])[:5], 9, embedder, tmp_path / "kept", 0))
    assert len(embedder.embedded) == 9
    (kept,) = (tmp_path / "kept").iterdir()
    assert b"hunt mice" not in kept.read_bytes()


def test_variations_never_touch_what_is_judged() -> None:
    parts = varied(n_judged=4, n_base=10, size=1000, seed=1)
    assert len(parts) == 1000
    assert (parts[:10, 2] == 1).all()
    assert parts[10:, :2].min() == 4
    assert parts[10:, :2].max() == 9
    assert ((parts[10:, 2] > 0) & (parts[10:, 2] < 1)).all()


def test_a_corpus_that_cannot_be_made_is_refused(tmp_path: Path, data: Judged) -> None:
    for padding, size in (([], 3), ([], 5)):
        with pytest.raises(BadEvalData):
            asyncio.run(prepare(tmp_path, data, padding, size, FakeEmbedder(), tmp_path, 0))
    with pytest.raises(BadEvalData):
        judged(tmp_path)


def test_pieces_are_passages() -> None:
    found = list(pieces(" ".join(map(str, range(320)))))
    assert [len(piece.split()) for piece in found] == [150, 150]
    assert found[1].split()[0] == "150"


# ---- how it is scored


def test_ndcg_is_that_of_ir_measures() -> None:
    draw = random.Random(3)
    rows = [f"d{number}" for number in range(30)]
    qrels = {f"q{n}": {row: draw.randint(0, 3) for row in draw.sample(rows, 12)} for n in range(40)}
    rankings = {question: draw.sample(rows, draw.randint(0, 20)) for question in qrels}
    run = {q: {row: 1 / rank for rank, row in enumerate(ranking, 1)} for q, ranking in rankings.items() if ranking}
    theirs = ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, run)[ir_measures.nDCG @ 10]
    answered = {question: ranking for question, ranking in rankings.items() if ranking}
    assert ndcg(answered, qrels) == pytest.approx(theirs * _share(qrels, run), abs=1e-9)


def _share(qrels: dict[str, dict[str, int]], run: dict[str, dict[str, float]]) -> float:
    """ir_measures divides by all judged questions, also those that the run leaves out."""
    return len(qrels) / len(run)


def test_only_what_was_asked_counts() -> None:
    assert ndcg({"q1": ["cats"], "q2": []}, QRELS) == 0.5
    assert ndcg({}, QRELS) == 0


# ---- what is told


def outcome(peer: Peer, **more: object) -> Outcome:
    result = {
        "build_seconds": 2.0,
        "without_ms": [1.0, 2.0, 3.0],
        "with_ms": [4.0, 5.0, 6.0],
        "embed_ms": [3.0],
        "rankings": {"q1": ["cats"], "q2": ["cats", "tax"]},
        "slow": False,
        "peak_mb": 200.4,
        "resident_mb": 100.0,
        "versions": {"numpy": "2"},
        "notes": {},
    }
    return Outcome(peer, {**result, **more})


def test_a_row_is_the_median_of_its_runs() -> None:
    peer = PEERS[1]
    runs = [outcome(peer), outcome(peer, build_seconds=4.0, without_ms=[11.0], peak_mb=300.0)]
    row = row_of(runs, QRELS)
    assert (row.runs, row.build_seconds, row.peak_mb, row.questions) == (2, 3.0, 300, 2)
    assert (row.without_ms, row.ndcg) == ({"p50": 6.5, "p95": 6.95}, pytest.approx((1 + 0.6309) / 2, abs=1e-4))
    (_, _, line) = table([row])
    assert line == f"| {peer.label} | 3.0 | 6.5 | 7.0 | 5.0 | 5.9 | 0.815 | 300 | 100 | 2 |"


def test_what_is_slow_and_what_failed_is_told() -> None:
    slow, late, broken = PEERS[2:5]
    rows = [
        row_of([outcome(slow, slow=True, notes={"went without reranker": 2})], QRELS),
        row_of([Outcome(late, None, "took more than 9 s")], QRELS),
        row_of([outcome(broken), Outcome(broken, None, "exit code 1: it said nothing")], QRELS),
    ]
    lines = table(rows)
    assert "| 0.815 (*) |" in lines[2]
    assert lines[3].startswith(f"| {late.label} | failed |")
    assert f"| {broken.label} | 2.0 |" in lines[4]
    assert f"- {late.label}: took more than 9 s." in lines
    assert f"- {slow.label}: 2 searches went without reranker." in lines
    assert f"- {broken.label}: exit code 1: it said nothing." in lines
    assert lines[-1].startswith("- (*)")


def test_every_row_has_as_many_cells_as_the_header() -> None:
    rows = [row_of([outcome(PEERS[0])], QRELS), row_of([Outcome(PEERS[1], None, "no")], QRELS)]
    assert len({line.count("|") for line in table(rows)[:4]}) == 1


def test_sizes_gather_in_one_file_and_fill_the_page(tmp_path: Path) -> None:
    page = tmp_path / "peers.md"
    page.write_text("before\n<!-- peers:begin -->\nold\n<!-- peers:end -->\nbehind\n")
    rows = [row_of([outcome(PEERS[0])], QRELS), row_of([Outcome(PEERS[1], None, "no")], QRELS)]
    for size in (100, 25, 100):
        report = add(tmp_path / "build" / "peers.json", size, rows, data="pets", repeats=1)
    write_page(page, report)
    told = page.read_text()
    assert told.startswith("before\n<!-- peers:begin -->\n25 chunks, judged on pets, runs of each peer: 1, ")
    assert told.endswith("<!-- peers:end -->\nbehind\n")
    assert (told.count("chunks, judged"), told.count(table(rows)[2]), "old" in told) == (2, 2, False)
    page.write_text("no marks")
    with pytest.raises(BadEvalData):
        write_page(page, report)


def test_peers_of_an_earlier_run_stay_and_are_told(tmp_path: Path) -> None:
    file = tmp_path / "peers.json"

    def measured(*peers: Peer, **about: object) -> list[dict[str, object]]:
        rows = [row_of([outcome(peer)], QRELS) for peer in peers]
        report = add(file, 25, rows, **{"data": "pets", "texts": 9, "repeats": 1, **about})
        return list(report["25"]["rows"])

    measured(PEERS[0], PEERS[1])
    kept = json.loads(file.read_text())
    kept["25"]["rows"][1]["measured"] = "2026-01-02 03:04"
    file.write_text(json.dumps(kept))
    assert [row["name"] for row in measured(PEERS[2], PEERS[0])] == [peer.name for peer in PEERS[:3]]
    told = "\n".join(lines(json.loads(file.read_text())))
    assert told.count("of an earlier run") == 1
    assert f"- {PEERS[1].label}: of an earlier run (2026-01-02 03:04)." in told
    assert [row["name"] for row in measured(PEERS[0], texts=10)] == [PEERS[0].name]  # of another corpus


def test_peers_are_chosen_by_name() -> None:
    assert [peer.name for peer in chosen("floor,grounded")] == ["floor", "grounded"]
    with pytest.raises(ArgumentTypeError, match="no peer is called flor"):
        chosen("flor")


def test_every_peer_has_a_recipe_and_exact_requirements() -> None:
    for peer in PEERS:
        assert importlib.util.find_spec(f"tests.peers.recipes.{peer.recipe}")
        if peer.requirements is not None:
            lines = (Path(__file__).parent / "requirements" / f"{peer.requirements}.txt").read_text().split()
            assert lines
            assert all(line.count("==") == 1 and "://" not in line for line in lines)


def test_runs_take_turns_and_a_failure_is_not_repeated() -> None:
    told: list[str] = []

    def run(peer: Peer) -> Outcome:
        told.append(peer.name)
        return outcome(peer) if peer.name != "haystack" else Outcome(peer, None, "no")

    found = in_turns(chosen("floor,haystack"), 3, run)
    assert told == ["floor", "haystack", "floor", "floor"]
    assert [len(outcomes) for outcomes in found.values()] == [3, 1]


# ---- peers that run


@pytest.mark.slow
def test_grounded_is_measured_through_its_own_code(
    folder: Path, tmp_path: Path, loop: asyncio.AbstractEventLoop
) -> None:
    row = row_of([runner(folder, tmp_path, loop).run(chosen("grounded")[0])], QRELS)
    assert row.failure is None
    assert (row.ndcg, row.questions, row.runs) == (1, 3, 1)
    assert row.with_ms is not None
    assert row.peak_mb >= row.resident_mb > 10
    assert not list(folder.glob("run-*"))  # what a run wrote goes with it


def test_the_floor_is_measured(folder: Path, tmp_path: Path, loop: asyncio.AbstractEventLoop) -> None:
    """In our own environment where its libraries are there, else in the one that a comparison has made."""
    ours = all(importlib.util.find_spec(library) for library in ("bm25s", "Stemmer"))
    if not ours and not is_made("floor", CACHE):
        pytest.skip("bm25s and PyStemmer are no libraries of the project; `make bench-peers` installs them")
    floor = Peer("floor", "floor", "floor", requirements=None if ours else "floor")
    row = row_of([Runner(folder, CACHE, 120, FakeEmbedder(), loop).run(floor)], QRELS)
    assert row.failure is None
    assert (row.ndcg, row.questions) == (1, 3)
    assert row.build_seconds >= 0


def test_a_peer_that_breaks_is_told(folder: Path, tmp_path: Path, loop: asyncio.AbstractEventLoop) -> None:
    found = runner(folder, tmp_path, loop).run(Peer("x", "x", "no_such_recipe"))
    assert found.result is None
    assert "exit code 1" in str(found.failure)
    assert "no_such_recipe" in str(found.failure)


def test_a_peer_that_is_late_is_ended(folder: Path, tmp_path: Path, loop: asyncio.AbstractEventLoop) -> None:
    found = runner(folder, tmp_path, loop, cap=0.05).run(chosen("grounded")[0])
    assert found == Outcome(chosen("grounded")[0], None, "took more than 0.05 s")


def test_an_environment_that_cannot_be_made_is_told(
    folder: Path, tmp_path: Path, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    found = runner(folder, tmp_path, loop).run(chosen("floor")[0])
    assert found.result is None
    assert "not installed: " in str(found.failure)
