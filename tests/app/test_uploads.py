"""Uploaded files on disk: what is written when, and under which names."""

import asyncio
import os
import stat
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from app.errors import UnsupportedMediaType, ValidationFailed
from app.uploads import Upload, Uploads, safe_name
from ingest.errors import StorageFull, TooLarge
from ingest.model import document_id

COLLECTION = "c0ffee"


def uploads(tmp_path: Path, max_file: int = 1000) -> Uploads:
    return Uploads(tmp_path / "uploads", 0, max_file)


def keep(kept_by: Uploads, *names: str, text: str = "text", **also: Any) -> list[str]:
    sent = [Upload(name, BytesIO(text.encode()), also) for name in names]
    return list(asyncio.run(kept_by.keep(COLLECTION, sent)).document_ids)


def test_files_are_on_disk_before_their_names_and_names_before_the_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        done.append("name")
        return replace(self, target)

    stored = uploads(tmp_path)
    keep(stored, "a.md")
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    keep(stored, "a.md", "b.md")
    assert done == ["file"] * 4 + ["name"] * 4 + ["folder"]  # each has beside it what was sent along


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace"])
def test_one_that_fails_leaves_the_former_file_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    stored = uploads(tmp_path)
    keep(stored, "a.md", text="before")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(call, full)
        with pytest.raises(StorageFull):
            keep(stored, "a.md", "b.md", text="after")
    folder = stored.folder(COLLECTION)
    assert sorted(path.name for path in folder.iterdir()) == [".a.md.json", "a.md"]
    assert (folder / "a.md").read_text() == "before"


def test_a_file_that_is_too_large_stops_them_all(tmp_path: Path) -> None:
    stored = uploads(tmp_path, max_file=4)
    with pytest.raises(TooLarge):
        keep(stored, "a.md", text="12345")
    assert list(stored.folder(COLLECTION).iterdir()) == []
    keep(stored, "a.md", text="1234")


def test_a_document_is_found_by_its_id_and_set_aside_only_as_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        stored = uploads(tmp_path)
        (document,) = (await stored.keep(COLLECTION, [Upload("a.md", BytesIO(b"old"))])).document_ids
        assert document == document_id(COLLECTION, stored.folder(COLLECTION), "a.md")
        mark = await stored.mark(COLLECTION, document)
        await stored.keep(COLLECTION, [Upload("a.md", BytesIO(b"new"))])
        await stored.set_aside(COLLECTION, document, mark)
        assert await stored.names(COLLECTION, [document]) == ["a.md"]
        assert await stored.count(COLLECTION, document, mark) == 0
        mark = await stored.mark(COLLECTION, document)
        assert await stored.count(COLLECTION, document, mark) == 1
        await stored.set_aside(COLLECTION, document, mark)
        assert await stored.names(COLLECTION, [document]) == []
        assert await stored.count(COLLECTION, document, mark) == 1
        await stored.remove_aside(COLLECTION, document)
        assert list(stored.folder(COLLECTION).iterdir()) == []
        assert await stored.mark(COLLECTION, document) is None
        assert await stored.names("other", [document]) == []

    asyncio.run(main())


def test_other_metadata_is_a_change(tmp_path: Path) -> None:
    async def main() -> list[bool]:
        stored, known = uploads(tmp_path), {"metadata": {"a": "1"}}
        sent = [Upload("a.md", BytesIO(b"x"), also) for also in ({}, {}, known, known, {})]
        return [(await stored.keep(COLLECTION, [one])).metadata_changed for one in sent]

    assert asyncio.run(main()) == [False, False, True, False, True]


@pytest.mark.parametrize(
    ("sent", "media_type", "kept"),
    [
        ("note.md", None, "note.md"),
        ("../../note.md", None, "note.md"),
        ("..\\..\\note.md", None, "note.md"),
        ("note", "text/markdown; charset=utf-8", "note.md"),
        ("report.final", "application/pdf", "report.final.pdf"),
        (" spaced .md", None, "spaced .md"),
    ],
)
def test_names(sent: str, media_type: str | None, kept: str) -> None:
    assert safe_name(sent, media_type, "file") == kept


@pytest.mark.parametrize(
    "sent", ["", ".", "..", "a/", ".env", "a\x1b[31m.md", "a\u202e.md", "a\u2028.md", "x" * 201 + ".md"]
)
def test_names_that_cannot_be_kept(sent: str) -> None:
    with pytest.raises(ValidationFailed):
        safe_name(sent, None, "file")


def test_types_that_nobody_reads() -> None:
    refuse: Callable[..., Any] = safe_name
    for name, media_type in (("a.mp3", None), ("a", None), ("a", "image/png"), ("a.mp3", "audio/mpeg")):
        with pytest.raises(UnsupportedMediaType):
            refuse(name, media_type, "file")
