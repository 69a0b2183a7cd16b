"""A corpus that is made large: copies that differ, measured through the same stores; tables and plot of what came out."""

import asyncio
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import structlog

from app import cli
from app.evals.copies import Copies, Original, originals
from app.evals.growth import disk_mb, grow, sizes_of
from app.evals.growth_table import growth_lines
from app.evals.plot import log_plot
from app.evals.searches import measured
from app.settings import ConfigurationError
from generation.events import Finished
from tests.app.serving import answer, fake_embedder, product, write
from tests.fakes import FakeEmbedder

SENTENCE = "Refunds number {n} are issued within {n} days. "
FILES = {
    f"guide-{n}.md": f"# Guide {n}\n\n" + "\n\n".join(SENTENCE.format(n=10 * n + k) * 4 for k in range(4))
    for n in range(4)
}
QUESTIONS = ["When are refunds number 12 issued?", "What does guide 3 say?"]


@pytest.fixture
def grown(tmp_path: Path) -> Iterator[tuple[Path, list[Original]]]:
    async def main() -> list[Original]:
        async with product(tmp_path, FILES) as grounded:
            scope = await grounded.pipeline.scope("default")
            return (await originals(grounded.catalog, grounded.vectors, scope.collection_id))[0]

    with fake_embedder(), structlog.testing.capture_logs():
        yield tmp_path, asyncio.run(main())


def test_a_copy_differs_and_keeps_its_places(grown: tuple[Path, list[Original]]) -> None:
    _, known = grown
    copies = list(islice(Copies(known, FakeEmbedder(), seed=1), 12))
    texts = {copy.chunked.document.text for copy in copies} | {o.chunked.document.text for o in known}
    assert len(texts) == len(copies) + len(known)
    chunks = [chunk for copy in copies for chunk in copy.chunked.chunks]
    assert len({chunk.id for chunk in chunks}) == len({chunk.digest for chunk in chunks}) == len(chunks)
    for copy, original in zip(copies, known * 3, strict=True):
        assert len(copy.chunked.document.text) == len(original.chunked.document.text)
        for chunk, old in zip(copy.chunked.chunks, original.chunked.chunks, strict=True):
            assert (chunk.start, chunk.end, chunk.heading_path) == (old.start, old.end, old.heading_path)
            assert chunk.text == copy.chunked.document.text[chunk.start : chunk.end]


def test_vectors_of_a_copy_are_near_those_of_the_original(grown: tuple[Path, list[Original]]) -> None:
    _, known = grown
    for copy, original in zip(islice(Copies(known, FakeEmbedder(), seed=1), len(known)), known, strict=True):
        texts = [chunk.embedded for chunk in copy.chunked.chunks]
        assert [len(made.bits) for made in copy.vectors] == [len(spans) for spans in FakeEmbedder().offsets(texts)]
        for made, old in zip(copy.vectors, original.vectors, strict=True):
            assert np.linalg.norm(made.vector) == pytest.approx(1, abs=1e-5)
            assert 0.8 < float(made.vector @ old.vector) < 0.95
            both = min(len(made.bits), len(old.bits))
            assert 0 < np.unpackbits(made.bits[:both] ^ old.bits[:both]).mean() < 0.15


def test_the_same_seed_makes_the_same_copies(grown: tuple[Path, list[Original]]) -> None:
    _, known = grown
    one, same, other = (next(iter(Copies(known, FakeEmbedder(), seed=seed))) for seed in (1, 1, 2))
    assert one.chunked == same.chunked != other.chunked


def test_a_state_grows_to_its_size_and_goes_on_later(tmp_path: Path) -> None:
    async def main() -> None:
        folder = write(tmp_path / "docs", FILES)
        async with product(tmp_path) as grounded:
            await grow(grounded, folder, 30, seed=0)
            scope = await grounded.pipeline.scope("default")
            documents, chunks = await grounded.catalog.count_live(scope.collection_id)
            assert 30 <= chunks < 40
            await grow(grounded, folder, 60, seed=0)
            more, after = await grounded.catalog.count_live(scope.collection_id)
            assert after >= 60
            assert await grounded.points.count() == await grounded.vectors.count() == after
            assert more > documents
            events = await answer(grounded, "When are refunds number 12 issued?")
            assert isinstance(events[-1], Finished)
            found = await measured(grounded, QUESTIONS * 20)
            assert found["chunks"] == after
            assert min(found[part]["p50"] for part in ("answer_ms", "embed_ms", "retrieval_ms", "bm25")) > 0
            assert {"dense", "bm25", "read", "rerank"} <= set(found["stages_ms"])
        assert min(disk_mb(tmp_path / "state").values()) > 0

    with fake_embedder(), structlog.testing.capture_logs():
        asyncio.run(main())


def test_the_command_prints_a_row_for_each_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GROUNDED_INGEST__MIN_FREE_MB", "0")
    folder = write(tmp_path / "docs", FILES)
    (tmp_path / "asked.jsonl").write_text("\n".join(json.dumps({"question": q}) for q in QUESTIONS * 20))
    words = ["eval", "growth", str(folder), "--questions", "asked.jsonl", "--sizes", "40,20", "--clients", "0"]
    with fake_embedder(), pytest.raises(SystemExit) as end:
        cli.app(words)
    structlog.reset_defaults()
    assert end.value.code == 0
    report = json.loads(capfd.readouterr().out)
    assert [row["chunks"] >= size for row, size in zip(report["growth"], (20, 40), strict=True)] == [True, True]
    lines = growth_lines([report], tmp_path / "performance.md")
    assert sum(line.startswith("| ") for line in lines) == 4
    apart = [
        report | {"growth": [row]} for row in reversed(report["growth"])
    ]  # the larger one was measured another day
    assert growth_lines(apart, tmp_path / "performance.md") == lines
    assert ET.parse(tmp_path / "growth.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize("said", ["", "many", "10,", "0", "-5,10"])
def test_sizes_that_are_none_are_told(said: str) -> None:
    with pytest.raises(ConfigurationError, match="--sizes"):
        sizes_of(said)


def test_a_plot_shows_every_point_within_its_frame() -> None:
    picture = log_plot("T <1>", "chunks", "ms", {"one": [(10_000, 3), (1_000_000, 9.5)], "other": [(100_000, 0.5)]})
    root = ET.fromstring(picture)
    spots = [(float(e.get("cx", 0)), float(e.get("cy", 0))) for e in root.iter() if e.tag.endswith("circle")]
    assert len(spots) == 3
    assert spots[0][0] < spots[2][0] < spots[1][0]  # more chunks stand further right
    assert spots[1][1] < spots[0][1] < spots[2][1]  # more milliseconds stand higher
    assert all(0 < x < 720 and 0 < y < 420 for x, y in spots)
    with pytest.raises(ValueError, match="above 0"):
        log_plot("T", "x", "y", {"one": [(1, 0)]})
