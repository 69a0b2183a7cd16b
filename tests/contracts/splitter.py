"""What every splitter must do. Inherit, and give a `splitter` fixture."""

from dataclasses import replace

import pytest

from ingest.model import Parsed
from ingest.ports import Splitter
from tests.ingest.reading import document

TEXTS = [
    "x",
    "# A\n\nOne line.\n\n## B\n\n- item\n- another\n",
    "\n\n  indented\n\tand tabbed  \n\n",
    "naïve 🙂 e\u0301 text. " * 60,
    "one\n" * 400,
    "x" * 5000,
    "漢字です。" * 300,
]


class SplitterContract:
    """Every character but white space lies in exactly one chunk, or in some where they overlap; chunks stand in reading
    order, and each says its text byte for byte where it says it stands. The same document is cut the same way, and ids
    tell what was cut by whom."""

    overlaps = False

    @pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:12]))
    def test_chunks_cover_the_text_in_order(self, splitter: Splitter, text: str) -> None:
        end = 0
        chunks = splitter.split(document(Parsed("t", text, (), "text/plain")))
        for ordinal, chunk in enumerate(chunks):
            assert (chunk.ordinal, chunk.document_id) == (ordinal, "d")
            assert text[chunk.start : chunk.end] == chunk.text
            assert chunk.text.strip()
            assert end <= chunk.start or (self.overlaps and end < chunk.end)
            assert not text[end : chunk.start].strip()
            assert chunk.tokens > 0
            end = chunk.end
        assert not text[end:].strip()
        assert len({chunk.id for chunk in chunks}) == len(chunks) > 0

    def test_no_text_no_chunks(self, splitter: Splitter) -> None:
        assert splitter.split(document(Parsed("t", " \n", (), "text/plain"))) == ()

    def test_twice_is_the_same_and_ids_follow_content_and_splitter(self, splitter: Splitter) -> None:
        doc = document(Parsed("t", "one\n\ntwo\n" * 200, (), "text/plain"))
        chunks = splitter.split(doc)
        assert chunks == splitter.split(doc)
        fingerprint = splitter.fingerprint_for(doc.source.name)
        assert 0 < len(fingerprint) <= 64
        others = splitter.split(replace(doc, sha256="1" * 64))
        assert not {chunk.id for chunk in others} & {chunk.id for chunk in chunks}
