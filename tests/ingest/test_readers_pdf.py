"""PDF: text with pages and places, tables with the names of their columns, and bombs that are counted before they burst."""

import random
import zlib

import pytest

from ingest.errors import ArchiveBomb, Broken, EmptyText, Encrypted, TooLarge
from ingest.readers import pdf as pdf_reader
from ingest.readers.pdf_page import Cell, Joiner, Line
from ingest.readers.registry import read
from tests.ingest.reading import SHARED, keeps_its_promises, pdf, pdf_of_streams, placed, texts


def test_pdf_pages_title_and_outline():
    first = "Chapter One\nThe first page says something.\nMore of it follows here."
    data = pdf(first, "Chapter Two\nThe second page.", title="A Book", outline_of={"Chapter One": 0, "Chapter Two": 1})
    parsed = read("b.pdf", data)
    keeps_its_promises(parsed)
    assert parsed.title == "A Book"
    assert parsed.pages == 2
    assert [(block.page, block.heading_path[-1:]) for block in parsed.blocks if block.kind == "heading"] == [
        (1, ("Chapter One",)),
        (2, ("Chapter Two",)),
    ]
    assert parsed.blocks[-1].page == 2


def test_pdf_running_lines_go():
    pages = [f"The Running Title\nBody of page {name} stands here.\n{number}" for number, name in enumerate("abcdef")]
    parsed = read("b.pdf", pdf(*pages))
    assert "Running" not in parsed.text
    assert texts(parsed)[0] == "Body of page a stands here."


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (pdf("", ""), EmptyText),
        (pdf("text")[:60], Broken),
        (b"no pdf at all", Broken),
        (b"", Broken),
    ],
)
def test_pdf_refused(data, error):
    with pytest.raises(error):
        read("b.pdf", data)


def test_pdf_with_too_many_pages():
    with pytest.raises(TooLarge):
        pdf_reader.read("b.pdf", pdf("a", "b", "c"), max_pages=2)


def _line(text: str) -> Line:
    return Line((Cell(text, (0.0, 0.0, 1.0, 1.0)),))


def test_pdf_hyphens_join_only_where_the_document_says_so():
    join = Joiner([[_line("A retrieval of well-known things.")]]).text
    assert join("retrie\ufffeval") == "retrieval"
    assert join("well\ufffeknown") == "well-known"
    assert join("un\ufffeseen") == "un-seen"


@pytest.mark.parametrize(
    ("title", "kept"), [("0000320193-22-000070", ""), ("Report.docx", ""), ("Q3", ""), ("Ein Buch", "Ein Buch")]
)
def test_pdf_title_is_one_that_people_gave(title, kept):
    assert read("b.pdf", pdf("text", title=title)).title == kept


def test_pdf_blocks_know_where_they_stand():
    parsed = read(
        "b.pdf", pdf_of_streams(placed((100, 700, "Above stands this."), (100, 640, "Below"), (300, 640, "aside")))
    )
    above, below = (block.box for block in parsed.blocks)
    assert above is not None
    assert below is not None
    assert above[0] == pytest.approx(100, abs=3)
    assert above[1] < 700 < above[3]
    assert below[1] < 640 < below[3] < above[1]
    assert below[2] > 300


def test_pdf_pages_of_pictures_are_told():
    picture = "0 0 200 200 re f"
    parsed = read("b.pdf", pdf_of_streams(picture, placed((50, 700, "text")), picture, picture, ""))
    assert parsed.metadata["pages_without_text"] == "1, 3-4"
    with pytest.raises(EmptyText) as raised:
        read("b.pdf", pdf_of_streams(picture, picture))
    assert "2 of its 2 pages are pictures" in raised.value.message


STATEMENT = [
    *((50, 760, "The figures of the year are these:"), (300, 745, "Three Months"), (460, 745, "Nine Months")),
    *((282, 732, "2023"), (362, 732, "2022"), (442, 732, "2023"), (522, 732, "2022"), (50, 720, "Sales:")),
    *((50, 708, "Products"), (250, 708, "$"), (280, 708, "1,200"), (335, 708, "$"), (362, 708, "900")),
    *((415, 708, "$"), (442, 708, "3,100"), (500, 708, "$"), (540, 708, "2")),
    *((50, 696, "Services"), (284, 696, "\\(20\\)"), (376, 696, "-"), (446, 696, "50"), (526, 696, "70")),
    (50, 650, "Prose goes on below the table and says that 2023 was a good year."),
]


def test_pdf_tables_have_their_heads_in_one_line():
    parsed = read("b.pdf", pdf_of_streams(placed(*STATEMENT)))
    keeps_its_promises(parsed)
    assert texts(parsed) == [
        "The figures of the year are these:",
        *("Three Months 2023 | Three Months 2022 | Nine Months 2023 | Nine Months 2022", "Sales:"),
        *("Products | $ 1,200 | $ 900 | $ 3,100 | $ 2", "Services | (20) | - | 50 | 70"),
        "Prose goes on below the table and says that 2023 was a good year.",
    ]
    assert [block.kind for block in parsed.blocks] == ["paragraph", *["table"] * 4, "paragraph"]


def test_pdf_long_tables_tell_their_heads_again():
    rows = [
        (x, 700 - 12 * n, word) for n in range(25) for x, word in ((50, f"City {n}"), (300, f"{n}00"), (400, f"{n}"))
    ]
    parsed = read(
        "b.pdf", pdf_of_streams(placed((50, 712, "\\(in tons\\)"), (300, 712, "Rome"), (400, 712, "Oslo"), *rows))
    )
    lines = texts(parsed)
    assert [number for number, line in enumerate(lines) if line == "(in tons) | Rome | Oslo"] == [0, 11, 22]
    assert lines[1] == "City 0 | 000 | 0"
    assert len(lines) == 28


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ([(50, 700, "Rome"), (200, 700, "3"), (50, 688, "Oslo"), (200, 688, "1")], ["Rome | 3", "Oslo | 1"]),
        (
            [(50, 712, "Year ended"), (200, 712, "2023"), (50, 700, "Rome"), (200, 700, "3"), (50, 688, "Oslo"), (200, 688, "1")],
            ["Year ended 2023", "Rome | 3", "Oslo | 1"],
        ),
        ([(50, 700, "one column of text"), (300, 700, "and another one"), (50, 688, "goes on"), (300, 688, "so too")],
         ["one column of text and another one\ngoes on so too"]),
    ],
)  # fmt: skip
def test_pdf_tables_without_heads_and_columns_that_are_none(words, lines):
    assert texts(read("b.pdf", pdf_of_streams(placed(*words)))) == lines


def _packed(content: bytes, layers: int = 1) -> bytes:
    """A PDF with a stream that nothing refers to, packed so many times over."""
    for _ in range(layers):
        content = zlib.compress(content, 9)
    filters = "/FlateDecode " * layers
    stream = f"99 0 obj\n<< /Length {len(content)} /Filter [{filters}] >>\nstream\n".encode() + content
    return pdf("text").replace(b"xref\n", stream + b"\nendstream\nendobj\nxref\n", 1)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (_packed(bytes(30_000_000)), ArchiveBomb),
        (_packed(bytes(300_000_000), 2), ArchiveBomb),
        (_packed(b"x", 4), ArchiveBomb),
        (_packed(bytes(3_000_000)) * 8, ArchiveBomb),
        (_packed(bytes(220_000_000)) + random.Random(1).randbytes(3_000_000), TooLarge),
    ],
)
def test_pdf_streams_are_counted_together(data, error):
    with pytest.raises(error):
        read("b.pdf", data)


def test_pdf_with_streams_of_no_weight_is_read():
    assert read("b.pdf", _packed(bytes(3_000_000))).text == "text"


@pytest.mark.shared
def test_encrypted_pdf():
    path = SHARED / "ingest_pypdf/files/libreoffice-writer-password.pdf"
    found = list((SHARED / "ingest_pypdf").rglob(path.name))
    if not found:
        pytest.skip("no evaluation data ingest_pypdf beside the checkout")
    with pytest.raises(Encrypted):
        read(path.name, found[0].read_bytes())
