"""CSV and workbooks: every row says what its columns are. The guard that every zipped format passes first."""

import datetime as dt
import io
import random
import struct
import time
import zipfile

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment
from openpyxl.styles import Font

from ingest.errors import ArchiveBomb, Broken, EmptyText, Encrypted, FileError, NotText, TooLarge, XmlEntities
from ingest.readers import archive as archive_module
from ingest.readers import xlsx as xlsx_reader
from ingest.readers.archive import Archive, parse_xml
from ingest.readers.registry import read
from tests.ingest.reading import keeps_its_promises, outline, texts


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ("name,born\nAda,1815\n\nBob,1900\n", ["name | born", "name: Ada | born: 1815", "name: Bob | born: 1900"]),
        ("name;note\nA;x, y\nB;\n", ["name | note", "name: A | note: x, y", "name: B"]),
        ("a\tb\tc\nd\te\tf\n", ["a | b | c", "a: d | b: e | c: f"]),
        ("1;2\n3;4\n", ["1 | 2", "3 | 4"]),
        ('say|"two\nlines"\nx|y\n', ["say | two lines", "say: x | two lines: y"]),
        ("city\nParis\nRome\n", ["city", "city: Paris", "city: Rome"]),
        ("a,b\n1,2,3\n", ["a | b", "a: 1 | b: 2 | 3"]),
        ("Region,2023,2024\nNorth,1,2\n", ["Region | 2023 | 2024", "Region: North | 2023: 1 | 2024: 2"]),
        ('open,"quote\nnever,closed\n', ["open | quote never,closed"]),
    ],
)
def test_csv_rows(data, rows):
    parsed = read("a.csv", data.encode())
    keeps_its_promises(parsed)
    assert texts(parsed) == rows
    assert parsed.text == "\n".join(rows)


def test_csv_knows_its_rows():
    parsed = read("a.tsv", b"name\tborn\n\nAda\t1815\n")
    assert [block.cell for block in parsed.blocks] == ["1", "3"]
    assert {block.kind for block in parsed.blocks} == {"table"}


def test_csv_in_a_legacy_encoding():
    assert "Grüße: Köln" in read("a.csv", "Ort;Grüße\nBonn;Köln\n".encode("cp1252")).text


@pytest.mark.parametrize(("data", "error"), [(b"", EmptyText), (b",,\n,,\n", EmptyText), (b"PK\x03\x04", NotText)])
def test_csv_refused(data, error):
    with pytest.raises(error):
        read("a.csv", data)


def test_csv_field_above_the_limit_of_the_library():
    assert "x" * 200_000 in read("a.csv", b'a,b\n1,"' + b"x" * 200_000 + b"\n").text


@given(st.lists(st.lists(st.text(max_size=8), max_size=5), max_size=6))
@settings(max_examples=60, deadline=None)
def test_csv_loses_no_cell(rows):
    data = "\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)
    try:
        parsed = read("a.csv", data.encode())
    except FileError:
        return
    keeps_its_promises(parsed)


def test_many_rows_are_read_in_one_pass():
    """Quadratic work on this many would take the better part of an hour; the bound is far from both."""
    start = time.process_time()
    read("a.csv", b"name,age\n" + b"somebody,42\n" * 40_000)
    assert time.process_time() - start < 60


def _zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as package:
        for name, data in members.items():
            package.writestr(name, data)
    return buffer.getvalue()


def _lying(data: bytes) -> bytes:
    """A package whose directory says that its one member is tiny."""
    at = data.rindex(b"PK\x01\x02") + 24
    return data[:at] + struct.pack("<I", 10) + data[at + 4 :]


def _locked(data: bytes) -> bytes:
    at = data.rindex(b"PK\x01\x02") + 8
    return data[:at] + b"\x01\x00" + data[at + 2 :]


ZEROS = bytes(30_000_000)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (_zip({"a": ZEROS}), ArchiveBomb),
        (_lying(_zip({"a": ZEROS})), Broken),
        (_zip({str(number): b"" for number in range(2001)}), ArchiveBomb),
        (_zip({"../a": b"x"}), Broken),
        (_zip({"a/../../b": b"x"}), Broken),
        (_zip({"/etc/passwd": b"x"}), Broken),
        (_zip({"C:\\x": b"x"}), Broken),
        (_locked(_zip({"a": b"text"})), Encrypted),
        (_zip({"a": b"text" * 99})[:-40], Broken),
        (b"", Broken),
        (b"no zip", Broken),
    ],
)
def test_archive_refused(data, error):
    with pytest.raises(error):
        Archive("a.zip", data, "ZIP")


def test_archive_counts_what_comes_out(monkeypatch):
    data = _zip({"a": random.Random(1).randbytes(70_000), "b": random.Random(2).randbytes(70_000)})
    Archive("a.zip", data, "ZIP")
    monkeypatch.setattr(archive_module, "LARGEST_UNPACKED", 100_000)
    with pytest.raises(TooLarge):
        Archive("a.zip", data, "ZIP")


def test_archive_member_that_is_not_there():
    with pytest.raises(Broken):
        Archive("a.zip", _zip({"a": b"x"}), "ZIP").read("b")


def test_xml_reaches_for_nothing(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    root = parse_xml(f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{secret}">]><a>&x;</a>'.encode())
    assert "hunter2" not in "".join(root.itertext())


def test_xml_bomb():
    entities = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
    with pytest.raises(etree.XMLSyntaxError):
        parse_xml(f'<!DOCTYPE a [<!ENTITY e0 "ha">{entities}]><a>&e9;</a>'.encode())


def _xlsx(*sheets: list[list[object]], bold: bool = False, **formats: str) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets, start=1):
        sheet = book.create_sheet(f"Sheet {number}")
        for row in rows:
            sheet.append(row)
        for cell in sheet[1] if bold else ():
            cell.font = Font(bold=True)
        for place, style in formats.items():
            sheet[place].number_format = style
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("rows", "bold", "lines"),
    [
        ([["name", "born"], ["Ada", 1815]], False, ["name | born", "name: Ada | born: 1815"]),
        ([["Term", "Meaning"], ["RAG", "retrieval"]], True, ["Term | Meaning", "Term: RAG | Meaning: retrieval"]),
        ([["Name", "Ada"], ["City", "London"]], False, ["Name | Ada", "City | London"]),
        ([["Sales"], ["Region", 2024], ["North", 7]], False, ["Sales", "Region | 2024", "Region: North | 2024: 7"]),
        ([["a", "b"], ["x", 1], [], ["y", 2]], False, ["a | b", "a: x | b: 1", "a: y | b: 2"]),
        ([["a", "b"], ["x", 1], [], ["Total"]], False, ["a | b", "a: x | b: 1", "Total"]),
        ([["line\nbreak", "v"], ["x", 1]], False, ["line break | v", "line break: x | v: 1"]),
    ],
)
def test_xlsx_rows(rows, bold, lines):
    parsed = read("a.xlsx", _xlsx(rows, bold=bold))
    keeps_its_promises(parsed)
    assert texts(parsed) == ["Sheet 1", *lines]


def test_xlsx_values_as_shown():
    row = ["x", dt.date(2024, 5, 1), dt.datetime.fromisoformat("2024-05-01T09:30"), 0.25, 0.1 + 0.2, True, 10**15]
    assert texts(read("a.xlsx", _xlsx([row], D1="0%")))[1] == (
        "x | 2024-05-01 | 2024-05-01 09:30:00 | 25% | 0.3 | TRUE | 1000000000000000"
    )


def test_xlsx_sheets_are_headings_and_rows_have_numbers():
    parsed = read("a.xlsx", _xlsx([["a", "b"], [], [1, 2]], [["c"]]))
    assert outline(parsed) == [("Sheet 1",), ("Sheet 2",)]
    assert [block.cell for block in parsed.blocks] == [None, "1", "3", None, "1"]


def test_xlsx_leaves_hidden_sheets_and_formulas_out():
    book = openpyxl.load_workbook(io.BytesIO(_xlsx([["shown", "=1+1"]], [["secret"]])))
    book["Sheet 2"].sheet_state = "hidden"
    buffer = io.BytesIO()
    book.save(buffer)
    assert read("a.xlsx", buffer.getvalue()).text == "Sheet 1\n\nshown"


def test_xlsx_chart_and_comment():
    book = openpyxl.load_workbook(io.BytesIO(_xlsx([["year", "ducks"], [2023, 5], [2024, 7]])))
    sheet = book.active
    sheet["B2"].comment = Comment("Counted twice", "Ada")
    chart = BarChart()
    chart.title = "Ducks seen"
    chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=3), titles_from_data=True)
    sheet.add_chart(chart)
    buffer = io.BytesIO()
    book.save(buffer)
    parsed = read("a.xlsx", buffer.getvalue())
    keeps_its_promises(parsed)
    assert "Ducks seen" in texts(parsed)
    assert "Comment on B2: Counted twice" in texts(parsed)


def _with(data: bytes, **members: bytes) -> bytes:
    """The package with members replaced whose path ends so."""
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    for ending, content in members.items():
        parts |= {name: content for name in parts if name.endswith(f"{ending}.xml")}
    return _zip(parts)


def _sheet(rows: str) -> bytes:
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<worksheet xmlns="{space}"><sheetData>{rows}</sheetData></worksheet>'.encode()


BOOK = _xlsx([["x"]])
ENTITY = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><worksheet>&x;</worksheet>'


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"PK\x03\x04", Broken),
        (BOOK[:900], Broken),
        (_zip({"a": b"x"}), Broken),
        (_with(BOOK, sheet1=b"<worksheet>"), Broken),
        (_with(BOOK, sheet1=ENTITY), XmlEntities),
        (_with(BOOK, workbook=ENTITY), XmlEntities),
        (_with(BOOK, workbook=ENTITY.decode().encode("utf-16")), XmlEntities),
        (_with(BOOK, sheet1=_sheet('<row r="1"><c r="A1" t="s"><v>99</v></c></row>')), Broken),
        (_xlsx([[]]), EmptyText),
    ],
)
def test_xlsx_refused(data, error):
    with pytest.raises(error):
        read("a.xlsx", data)


def test_xlsx_with_a_row_at_the_end_of_the_world(monkeypatch):
    monkeypatch.setattr(xlsx_reader, "MOST_CELLS", 10_000)
    with pytest.raises(TooLarge):
        read("a.xlsx", _with(BOOK, sheet1=_sheet('<row r="99999999999"><c r="A99999999999"><v>1</v></c></row>')))
