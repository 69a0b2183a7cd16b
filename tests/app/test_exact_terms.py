"""Golden cases: what is asked for as it is written is found where it stands, on a real index, before what only shares
its words. Some of it stands nowhere but in a document's name."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.wiring import Grounded
from ingest.run import Request
from retrieval.adapters import qdrant_edge
from retrieval.model import Query
from tests.app.serving import fake_embedder, ingest, product
from tests.ingest.reading import pdf

# What is asked, the file in which it stands, and texts with the same words, more often and in less text.
IN_TEXT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ERR_CONN_REFUSED_443": (
        "When the gateway is closed, the client logs ERR_CONN_REFUSED_443 and tries again.",
        ("Err 443: conn refused. Err 443: conn refused.", "ERR_CONN_REFUSED_80, port 443"),
    ),
    "--max-num-seqs": (
        "Lower --max-num-seqs=16 if the card runs out of memory while many requests are open.",
        ("Max num seqs: num seqs, max num.", "--max-num-batched-tokens and num seqs"),
    ),
    "app.add_middleware": (
        "The boundary is set up by app.add_middleware(Boundary) before the first request.",
        ("App middleware: add middleware, add an app.", "router.add_middleware of the app"),
    ),
    "v2.13.0": (
        "The weights were checked with release v2.13.0 of the library and with no other.",
        ("v2 13 0, v2 13 0", "v2.0.13 and v2.13.1 and 0"),
    ),
    "E0308": (
        "The compiler stops here with error[E0308] since both arms differ in type.",
        ("Error 0308: e 0308 e 0308", "E0309 E0307"),
    ),
    "CVE-2024-3094": (
        "The archive of the compression library was tampered with, see CVE-2024-3094 for the affected ones.",
        ("CVE 2024, CVE 3094, 2024 3094", "CVE-2024-3095 and 3094"),
    ),
    "C++": ("Parts of the engine are written in C++ and called from here.", ("C, C, C#, C and C", "c c c")),
}
BY_NAME = ("2023 Q3 AAPL.pdf", "deploy_guide.md", "hr/leave-policy_v2.md")
OTHERS = (
    "2023 Q2 AAPL.pdf",
    "2022 Q3 AAPL.pdf",
    "2023 Q3 MSFT.pdf",
    "deploy_notes.md",
    "guide.md",
    "hr/leave-policy_v1.md",
)


def corpus() -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {}
    for n, (text, decoys) in enumerate(IN_TEXT.values()):
        files[f"right-{n}.md"] = f"{text}\n"
        files |= {f"wrong-{n}-{m}.md": f"{decoy}\n" for m, decoy in enumerate(decoys)}
    for name in (*BY_NAME, *OTHERS):
        text = f"Nothing here tells what this file is called, number {sum(map(ord, name))}."
        files[name] = pdf(text) if name.endswith(".pdf") else f"# A heading\n\n{text}\n"
    return files


async def best(grounded: Grounded, question: str) -> list[str]:
    """Names of the documents in the order of BM25."""
    scope = await grounded.pipeline.scope("default")
    found = await grounded.search.search(Query(question, scope, wanted=50))
    placed = sorted((p for p in found.passages if "bm25" in p.hit.places), key=lambda p: p.hit.places["bm25"].rank)
    return [passage.name for passage in placed]


@pytest.mark.parametrize("lexical", ["engine", "rank_bm25"])
def test_what_is_asked_for_as_it_is_written_comes_first(tmp_path: Path, lexical: str) -> None:
    async def main() -> None:
        async with product(tmp_path, corpus(), retrieval={"lexical": lexical}) as grounded:
            for n, exact in enumerate(IN_TEXT):
                for question in (exact, f"What does {exact} mean?", f"Where is `{exact}`, and why?"):
                    assert (await best(grounded, question))[0] == f"right-{n}.md", question
            for name in BY_NAME:
                base = name.rpartition("/")[2]
                for question in (base, f"What does {base} say?", f'"{base}"'):
                    assert (await best(grounded, question))[0] == name, question

    with fake_embedder():
        asyncio.run(main())


def test_the_name_is_for_finding_alone(tmp_path: Path) -> None:
    """Neither embedded nor shown: a renamed file keeps its vectors, and a quote is what the document says."""

    async def main() -> None:
        async with product(tmp_path, {"deploy_guide.md": "Otters swim.\n"}) as grounded:
            scope = await grounded.pipeline.scope("default")
            found = await grounded.search.search(Query("deploy_guide.md", scope))
            assert [passage.text for passage in found.passages] == ["Otters swim."]
            assert not any("deploy" in text for text in embedder.embedded)

    with fake_embedder() as embedder:
        asyncio.run(main())


def test_an_index_of_an_earlier_release_is_filled_again_without_embedding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"deploy_guide.md": "Otters swim.\n", "b.md": "Owls fly.\n"}

    async def first() -> None:
        async with product(tmp_path, files):
            pass

    async def second() -> None:
        async with product(tmp_path) as grounded:
            await grounded.settled()
            assert (await best(grounded, "deploy_guide.md"))[0] == "deploy_guide.md"
            reports = await ingest(grounded, tmp_path / "docs")
            assert {report.status for report in reports} == {"unchanged"}
            assert await grounded.ingest.plan(Request(tmp_path / "docs"))

    with fake_embedder() as embedder:
        with monkeypatch.context() as earlier:
            earlier.setattr(qdrant_edge, "FORMAT", 1)
            asyncio.run(first())
        made = len(embedder.embedded)
        asyncio.run(second())
        assert len(embedder.embedded) == made
