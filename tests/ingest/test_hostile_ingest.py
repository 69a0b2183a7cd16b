"""A folder in which every other file wants to do harm: the good ones are ingested, the others told by name."""

import asyncio
from contextlib import aclosing
from pathlib import Path

from ingest.adapters.sql_catalog import SqlCatalog
from ingest.pipeline import Ingest, Limits
from ingest.readers.pool import ReaderPool
from ingest.readers.registry import supported
from ingest.run import FileReport, Request, Summary
from tests.ingest.hostile_packages import members, overlapping, zipped
from tests.ingest.hostile_pdfs import book, stream, written
from tests.ingest.memory import LineSplitter, MemoryIndex
from tests.ingest.reading import pdf
from tests.ingest.verdicts import Lenient

HOSTILE = {
    "bomb.docx": (zipped(members("docx") | {"bomb": bytes(25_000_000)}), "archive_bomb"),
    "overlap.odt": (overlapping(members("odt")), "archive_bomb"),
    "packed.pdf": (written(book(o4=stream(b"x", "/Filter [" + "/FlateDecode " * 9 + "]"))), "archive_bomb"),
    "laughs.pptx": (
        zipped(members("pptx") | {"s.xml": b'<!DOCTYPE s [<!ENTITY a "b">]><s>&a;</s>'}),
        "xml_entities",
    ),
    "slow.pdf": (
        written(book(o4=stream(b"BT /F1 9 Tf 50 50 Td " + b"(xxxxxxxxxx) Tj " * 45_000 + b"ET"))),
        "reader_timeout",
    ),
    "cut off.pdf": (pdf("text")[:99], "broken_file"),
    "picture.txt": (b"\x89PNG\r\n\x1a\n" + bytes(99), "not_text"),
}
QUARANTINED = {"archive_bomb", "xml_entities", "reader_timeout"}


async def _reports(folder: Path, state: Path) -> list[FileReport]:
    catalog, pool = SqlCatalog(f"sqlite:///{state / 'catalog.sqlite'}"), ReaderPool(Lenient(), children=2)
    try:
        ingest = Ingest(catalog, MemoryIndex(), pool, LineSplitter(), supported, state, Limits(min_free=0))
        request = Request(folder)
        async with aclosing(ingest.run(request, await ingest.plan(request), Summary())) as run:
            return [report async for report in run]
    finally:
        await pool.close()
        await catalog.close()


def test_good_files_are_ingested_and_bad_ones_told(tmp_path):
    folder, state = tmp_path / "docs", tmp_path / "state"
    folder.mkdir()
    state.mkdir()
    for number, (name, (data, _)) in enumerate(HOSTILE.items()):
        (folder / f"{number} {name}").write_bytes(data)
        (folder / f"{number} good.md").write_text(f"# Good {number}\n\nread whatever its neighbours do")
    reports = asyncio.run(_reports(folder, state))
    found = {report.path: report for report in reports}
    assert len(found) == 2 * len(HOSTILE)
    assert {report.status for name, report in found.items() if name.endswith("good.md")} == {"added"}
    for number, (name, (_, code)) in enumerate(HOSTILE.items()):
        report = found[f"{number} {name}"]
        assert report.error is not None
        assert report.error.code == code
        assert report.status == ("quarantined" if code in QUARANTINED else "failed")
