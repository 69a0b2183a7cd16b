"""Contexts over the real catalog: what was cut becomes whole, exact to the character, and only while its version is live."""

import asyncio
from pathlib import Path

import pytest

from app.pipeline import Question
from app.settings import ConfigurationError
from app.wiring import Grounded
from generation.adapters.token_counters import counter_for
from generation.events import ClaimJudged, SourcesFound
from generation.prompt import load_prompt
from ingest.adapters.sql_surroundings import SqlSurroundings
from ingest.ports import Span
from retrieval.adapters.model_folder import package_folder
from retrieval.model import Context
from tests.app.serving import answer, fake_embedder, ingest, product, write

pytestmark = pytest.mark.usefixtures("silent")

ITEMS = [f"- Format {n} 🙂 is read by the reader of format {n} and by no other reader of any kind." for n in range(40)]
GUIDE = (
    "# Guide\n\n## Formats\n\nThese formats are read:\n\n" + "\n".join(ITEMS) + "\n\n## Limits\n\nA file has 50 MB.\n"
)
OTHER = "# Cats\n\nCats sleep most of the day. A cat has four legs.\n"
ASKED = "By which reader is format 7 read?"


async def context_of(grounded: Grounded, question: str, **more: int) -> Context:
    scope = await grounded.pipeline.scope("default")
    return (await grounded.pipeline.retrieve(Question(question, **more), scope))[1]  # type: ignore[arg-type]


def test_a_list_that_was_cut_is_whole_and_exact(tmp_path: Path) -> None:
    async def main() -> None:
        files = {"guide.md": GUIDE, "cats.md": OTHER}
        async with product(tmp_path, files, context={"token_budget": 4000}) as grounded:
            context = await context_of(grounded, ASKED, top_k=1)
            (whole,) = context.passages
            text = await grounded.catalog.text(whole.document_id)
            assert text is not None
            assert whole.text == text[whole.start : whole.end]
            assert len(whole.parts) > 1
            chunks = await grounded.catalog.live_ids(whole.document_id)
            live = await grounded.catalog.live_chunks(whole.collection_id, chunks)
            spans = {(entry.chunk.start, entry.chunk.end) for entry in live.values()}
            assert {(whole.start + p.start, whole.start + p.end) for p in whole.parts} <= spans
            assert "50 MB" not in whole.text
            assert all(part.bits is not None for part in whole.parts)
            joined = {left.passage.id for left in context.left_out if left.reason == "joined"}
            assert whole.id not in joined

    with fake_embedder() as embedder:
        asyncio.run(main())
        embedded = len(embedder.embedded)
        assert embedded == len(set(embedder.embedded)), "nothing is embedded at question time"


def test_quotes_of_what_joined_are_exact(tmp_path: Path) -> None:
    async def main() -> None:
        async with product(tmp_path, {"guide.md": GUIDE, "cats.md": OTHER}, context={"token_budget": 4000}) as grounded:
            events = await answer(grounded, ASKED, top_k=1)
            sources = {p.id: p for e in events if isinstance(e, SourcesFound) for p in e.passages}
            citations = [c for e in events if isinstance(e, ClaimJudged) for c in e.claim.citations]
            assert citations
            for citation in citations:
                text = await grounded.catalog.text(sources[citation.source].document_id) or ""
                assert text[citation.start : citation.end] == citation.cited_text

    with fake_embedder():
        asyncio.run(main())


@pytest.mark.parametrize(("widen", "budget"), [("off", 4000), ("blocks", 64)])
def test_nothing_joins_when_it_is_off_or_nothing_is_left_of_the_budget(tmp_path: Path, widen: str, budget: int) -> None:
    async def main() -> None:
        context = {"widen": widen, "token_budget": budget}
        async with product(tmp_path, {"guide.md": GUIDE}, context=context) as grounded:
            found = await context_of(grounded, ASKED, top_k=1)
            assert found.passages[0].parts == ()

    with fake_embedder():
        asyncio.run(main())


def test_surroundings_are_those_of_the_live_version_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with product(tmp_path, {"guide.md": GUIDE}) as grounded:
            around = SqlSurroundings(grounded.catalog)  # type: ignore[arg-type]
            (row,) = await grounded.catalog.documents(await scope_id(grounded), 10)
            text = await grounded.catalog.text(row.id) or ""
            ids = await grounded.catalog.live_ids(row.id)
            live = await grounded.catalog.live_chunks(row.collection_id, ids)
            found = await around.around([Span(row.id, row.version, 0, 2), Span(row.id, row.version, 1, 99)])
            assert {chunk.chunk.id: chunk for chunk in found} == live
            assert len(found) == len(live) > 2
            assert await around.around([Span(row.id, row.version, -3, 1)]) == [live[ids[0]]]
            assert await around.around([]) == []
            spans = [Span(row.id, row.version, 3, 40), Span(row.id, row.version, 0, len(text)), Span("x", 1, 0, 9)]
            assert await around.excerpts(spans) == [text[3:40], text, None]
            assert await around.excerpts([]) == []
            await ingest(grounded, write(tmp_path / "docs", {"guide.md": GUIDE + "\nMore.\n"}))
            assert await around.around([Span(row.id, row.version, 0, 99)]) == []
            assert await around.excerpts([Span(row.id, row.version, 0, 9)]) == [None]

    with fake_embedder():
        asyncio.run(main())


async def scope_id(grounded: Grounded) -> str:
    return (await grounded.pipeline.scope("default")).collection_id


def test_of_two_versions_the_newer_is_answered_from(tmp_path: Path) -> None:
    def terms(year: int, days: int) -> str:
        rule = f"Refunds are issued within {days} days of the order, to the card that was charged, and never in cash."
        return f"---\ntitle: Terms {year}\nmodified: {year}-03-01\n---\n{rule}\n"

    async def main() -> None:
        files = {"old.md": terms(2023, 30), "new.md": terms(2024, 14), "cats.md": OTHER}
        async with product(tmp_path, files) as grounded:
            context = await context_of(grounded, "Within how many days are refunds issued?")
            assert "new.md" in [p.name for p in context.passages]
            assert [(left.passage.name, left.reason) for left in context.left_out] == [("old.md", "superseded")]
            asked = await context_of(grounded, "Within how many days were refunds issued in 2023?")
            assert {"new.md", "old.md"} <= {p.name for p in asked.passages}

    with fake_embedder():
        asyncio.run(main())


CHAT = {
    "backend": "openai_chat",
    "base_url": "http://127.0.0.1:9/v1",
    "model": "m",
    "price_input": 1,
    "price_output": 2,
}


def test_the_budget_counts_tokens_of_the_model_that_answers(tmp_path: Path) -> None:
    async def main() -> None:
        for tokenizer in ("estimate", str(package_folder())):
            context = {"tokenizer": tokenizer, "token_budget": 300}
            async with product(
                tmp_path / str(len(tokenizer)), {"guide.md": GUIDE}, generation=CHAT, context=context
            ) as grounded:
                found = await context_of(grounded, ASKED)
                shown = [load_prompt().quoted(passage) for passage in found.passages]
                counter = counter_for(tokenizer, "", "")
                assert [passage.tokens for passage in found.passages] == await counter.count(shown)
                assert found.tokens <= max(300, found.passages[0].tokens)
                assert {left.reason for left in found.left_out} == {"token_budget"}

    with fake_embedder():
        asyncio.run(main())


def test_a_tokenizer_that_cannot_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    async def main() -> None:
        async with product(tmp_path, generation=CHAT, context={"tokenizer": str(tmp_path / "nothing.json")}):
            pass

    with fake_embedder(), pytest.raises(ConfigurationError, match=r"context\.tokenizer"):
        asyncio.run(main())
