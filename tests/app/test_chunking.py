"""Rules of grounded.toml through the real wiring: which file is cut how, and what a changed rule cuts again."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.chunking import ChunkingRule
from app.evals.beir import chunking_rule
from app.settings import ConfigurationError, load
from app.wiring import Grounded
from tests.app.serving import fake_embedder, ingest, product, write
from tests.fakes import FakeEmbedder

PROSE = "Refunds are issued within fourteen days. Opened software is never taken back. Cats sleep most of the day. "
TOPICS = "Refunds are issued within fourteen days. " * 12 + "Cats sleep most of the day. " * 12
FILES = {"faq/a.md": PROSE * 12, "notes/b.txt": TOPICS, "c.md": PROSE * 12}
FAQ = {"glob": "faq/*.md", "target_tokens": 40}


async def lengths(grounded: Grounded) -> dict[str, int]:
    """Chunks of each document by its name."""
    scope = await grounded.pipeline.scope("default")
    rows = await grounded.catalog.documents(scope.collection_id, 100)
    return {row.name: row.chunks for row in rows}


def run(tmp_path: Path, *rules: dict[str, Any]) -> tuple[dict[str, int], dict[str, str], FakeEmbedder]:
    """One ingest by these rules: chunks and status of each file, and what was embedded."""

    async def main() -> tuple[dict[str, int], dict[str, str]]:
        write(tmp_path / "docs", FILES)
        async with product(tmp_path, ingest={"min_free_mb": 0, "chunking": rules}) as grounded:
            reports = await ingest(grounded, tmp_path / "docs")
            return await lengths(grounded), {report.path: report.status for report in reports}

    with fake_embedder() as embedder:
        return *asyncio.run(main()), embedder


def test_each_file_is_cut_by_the_first_rule_that_matches_it(tmp_path: Path) -> None:
    chunks, _, _ = run(tmp_path, FAQ, {"glob": "*.md", "strategy": "fixed", "target_tokens": 80, "overlap_tokens": 40})
    assert chunks["faq/a.md"] > chunks["c.md"] > chunks["notes/b.txt"] > 0


def test_a_changed_rule_cuts_its_own_files_again_and_no_others(tmp_path: Path) -> None:
    run(tmp_path)
    chunks, again, embedder = run(tmp_path, FAQ)
    assert again == {"faq/a.md": "updated", "notes/b.txt": "unchanged", "c.md": "unchanged"}
    assert chunks["faq/a.md"] > chunks["c.md"]
    assert 0 < len(embedder.embedded) <= chunks["faq/a.md"]
    assert set(run(tmp_path, FAQ)[1].values()) == {"unchanged"}


def test_a_topic_is_found_on_the_loop_that_serves(tmp_path: Path) -> None:
    chunks, _, embedder = run(tmp_path, {"glob": "*.txt", "strategy": "semantic"})
    assert chunks["notes/b.txt"] == 2
    assert "Cats sleep most of the day." in embedder.embedded  # a sentence by itself, to tell topics apart


def test_rules_are_read_from_the_file_and_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grounded.toml"
    path.write_text('[[ingest.chunking]]\nglob = "a/**"\nstrategy = "code"\n\n[[ingest.chunking]]\nglob = "*.md"\n')
    monkeypatch.setenv("GROUNDED_CONFIG", str(path))
    assert load().ingest.chunking == (ChunkingRule(glob="a/**", strategy="code"), ChunkingRule(glob="*.md"))
    monkeypatch.setenv("GROUNDED_INGEST__CHUNKING", '[{"glob": "*", "strategy": "fixed", "overlap_tokens": 8}]')
    assert load().ingest.chunking == (ChunkingRule(glob="*", strategy="fixed", overlap_tokens=8),)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('strategy = "code"', "glob"),
        ('glob = ""', "glob"),
        ('glob = "*"\nstrategy = "magic"', "'structure'"),
        ('glob = "*"\ntarget_tokens = 3', "at least 16"),
        ('glob = "*"\noverlap_tokens = 8', "only the strategy fixed"),
        ('glob = "*"\nsize = 8', "size"),
    ],
)
def test_a_rule_that_makes_no_sense_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str, said: str
) -> None:
    path = tmp_path / "grounded.toml"
    path.write_text(f"[[ingest.chunking]]\n{rule}\n")
    monkeypatch.setenv("GROUNDED_CONFIG", str(path))
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert said in caught.value.message
    assert "ingest.chunking.0" in caught.value.message
    assert "Did you mean" not in caught.value.message


def test_a_rule_said_on_the_command_line() -> None:
    assert chunking_rule(None) is None
    assert chunking_rule("recursive") == ChunkingRule(glob="*", strategy="recursive")
    assert chunking_rule("structure:96") == ChunkingRule(glob="*", target_tokens=96)
