"""CSV and workbooks: every row says what its columns are. The guard that every zipped format passes first."""

import io
import random
import struct
import time
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from ingest.errors import Broken, EmptyText, Encrypted, FileError, NotText, TooLarge
from ingest.readers import archive as archive_module
from ingest.readers.archive import Archive, parse_xml
from ingest.readers.registry import read
from tests.ingest.reading import keeps_its_promises, texts


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


def test_csv_time_is_linear():
    def seconds(rows: int) -> float:
        data = b"name,age\n" + b"somebody,42\n" * rows
        start = time.process_time()
        read("a.csv", data)
        return time.process_time() - start

    seconds(100)
    assert seconds(40_000) < 20 * max(seconds(4_000), 0.01)


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
        (_zip({"a": ZEROS}), TooLarge),
        (_lying(_zip({"a": ZEROS})), Broken),
        (_zip({str(number): b"" for number in range(2001)}), TooLarge),
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
