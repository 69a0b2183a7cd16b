"""Notebooks, JSON and e-mail."""

import json
from email.message import EmailMessage

import pytest

from ingest.errors import Broken, EmptyText
from ingest.readers.registry import read
from tests.ingest.reading import keeps_its_promises, outline, texts


def _notebook(*cells: dict) -> bytes:
    return json.dumps({"nbformat": 4, "cells": list(cells)}).encode()


def _code(source: str, *outputs: dict) -> dict:
    return {"cell_type": "code", "source": source.splitlines(keepends=True), "outputs": list(outputs)}


def test_notebook_cells():
    parsed = read(
        "a.ipynb",
        _notebook(
            {
                "cell_type": "markdown",
                "source": ["# Top\n", "Text with [a link](http://x).\n", "\n", "- one\n", "- two"],
            },
            _code("x = 1\n\nx", {"output_type": "execute_result", "data": {"text/plain": ["1"], "image/png": "AAAA"}}),
            {"cell_type": "markdown", "source": "## Under\n\n| a | b |\n|---|---|\n| 1 | 2 |"},
            _code("1/0", {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "no", "traceback": ["x"]}),
            _code(
                "print(1)", {"output_type": "stream", "text": ["\u001b[31mred\u001b[0m\n"]}, {"output_type": "stream"}
            ),
        ),
    )
    keeps_its_promises(parsed)
    assert parsed.title == "Top"
    assert texts(parsed) == [
        *("Top", "Text with [a link](http://x).", "- one\n- two", "x = 1\n\nx", "Output:\n1", "Under"),
        *("| a | b |\n|---|---|\n| 1 | 2 |", "1/0", "Output:\nZeroDivisionError: no", "print(1)", "Output:\nred"),
    ]
    assert [block.cell for block in parsed.blocks] == list("11122334455")
    assert outline(parsed) == [("Top",), ("Top", "Under")]


def test_notebook_of_format_3_and_long_output():
    cells = [{"cell_type": "code", "input": "x", "outputs": [{"output_type": "stream", "text": "y" * 9000}]}]
    parsed = read("a.ipynb", json.dumps({"worksheets": [{"cells": cells}]}).encode())
    assert texts(parsed)[0] == "x"
    assert len(parsed.text) < 2100


@pytest.mark.parametrize(
    "data", [b"{}", b"[1]", b'"text"', b"{", b'{"cells": [1]}', b'{"cells": {"a": 1}}', b"[" * 99999]
)
def test_notebook_refused(data):
    with pytest.raises(Broken):
        read("a.ipynb", data)


def test_notebook_of_surprising_types():
    cells = [{"cell_type": "code", "source": 7, "outputs": "x"}, {"cell_type": "raw", "source": ["a", 1]}, {}]
    assert read("a.ipynb", _notebook(*cells)).text == "a"


@pytest.mark.parametrize(
    ("value", "blocks"),
    [
        ({"a": {"b": 1, "c": [1, 2]}, "d": None}, ["a.b: 1\na.c: 1, 2", "d: null"]),
        ([{"n": "x"}, {"n": "y", "on": True}], ["n: x", "n: y\non: true"]),
        ({"list": [{"n": 1}, {"n": 2}]}, ["list[1].n: 1", "list[2].n: 2"]),
        ([[1, 2], [3]], ["1, 2", "3"]),
        ("only", ["only"]),
        ([1, 2.5], ["1, 2.5"]),
        ({"e": [], "f": {}}, ["e: []", "f: {}"]),
        ({"a\nb": "c\nd"}, ["a b: c\nd"]),
        ({"lone": "\ud800x"}, ["lone: x"]),
        ({"nan": float("nan")}, ["nan: NaN"]),
    ],
)
def test_json_lines_are_readable(value, blocks):
    parsed = read("a.json", json.dumps(value).encode())
    keeps_its_promises(parsed)
    assert texts(parsed) == blocks


def test_json_knows_title_and_elements():
    assert read("a.json", b'{"title": "Named"}').title == "Named"
    assert [block.cell for block in read("a.json", b'[{"a": 1}, {"a": 2}]').blocks] == ["1", "2"]


def test_jsonl_records_and_damaged_lines():
    parsed = read("a.jsonl", b'{"text": "one", "id": 1}\n\n{"text": \n"three"\n')
    assert texts(parsed) == ["text: one\nid: 1", '{"text":', "three"]
    assert [block.cell for block in parsed.blocks] == ["1", "3", "4"]


def test_json_with_long_text_is_cut_by_sentences():
    assert read("a.json", json.dumps({"body": "A sentence. " * 50}).encode()).blocks[0].kind == "paragraph"


def test_json_with_comments_is_read_as_code():
    parsed = read("tsconfig.json", b'{\n  // why\n  "a": 1\n}')
    assert '// why\n  "a": 1' in parsed.text
    assert parsed.blocks[0].line == 1


@pytest.mark.parametrize("depth", [900, 200_000])
def test_json_nested_deep(depth):
    keeps_its_promises(read("a.json", b'{"k":' * depth + b"1" + b"}" * depth))


def _mail(**headers: str) -> EmailMessage:
    message = EmailMessage()
    for key, value in ({"Subject": "Lünch", "From": "Ada <ada@x.org>", "To": "bob@x.org"} | headers).items():
        message[key] = value
    return message


def test_email_prefers_plain_text_and_names_attachments():
    message = _mail(Date="Mon, 01 Jan 2024 10:00:00 +0000")
    message.set_content("Hello Bob,\n\nat noon?\n\n> earlier\n> words\n")
    message.add_alternative("<p>not this</p>", subtype="html")
    message.add_attachment(b"secret", maintype="application", subtype="pdf", filename="menu.pdf")
    inner = _mail(Subject="Forwarded")
    inner.set_content("inner text")
    message.add_attachment(inner)
    parsed = read("a.eml", message.as_bytes())
    keeps_its_promises(parsed)
    assert parsed.title == "Lünch"
    assert texts(parsed) == [
        "Lünch",
        "From: Ada <ada@x.org>\nTo: bob@x.org\nDate: Mon, 01 Jan 2024 10:00:00 +0000",
        *("Hello Bob,", "at noon?", "> earlier\n> words", "Attachments: menu.pdf, Forwarded"),
    ]
    assert parsed.blocks[4].kind == "quote"
    assert "secret" not in parsed.text


def test_email_of_html_only():
    message = _mail()
    message.set_content("<h1>News</h1><p>It rains.</p><script>evil()</script>", subtype="html")
    parsed = read("a.eml", message.as_bytes())
    assert texts(parsed)[2:] == ["News", "It rains."]
    assert parsed.blocks[-1].heading_path == ("Lünch", "News")


def test_email_in_a_legacy_or_unknown_encoding():
    head = b"Subject: =?iso-8859-1?q?Gr=FC=DFe?=\nFrom: a@b.c\nContent-Type: text/plain; charset=%s\n\n"
    assert "Grüße" in read("a.eml", head % b"iso-8859-1" + "Grüße".encode("latin-1")).text
    assert "Grüße" in read("a.eml", head % b"no-such-charset" + "Grüße".encode()).text
    assert read("a.eml", head % b"utf-8" + b"x").title == "Grüße"


def _nested(depth: int) -> bytes:
    parts = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n' for n in range(depth))
    return f"Subject: deep\n{parts}Content-Type: text/plain\n\nx".encode()


@pytest.mark.parametrize("data", [b"just words", b"\x00\x01", _nested(5000)])
def test_email_refused(data):
    with pytest.raises(Broken):
        read("a.eml", data)


def test_email_with_broken_headers():
    data = b"Subject: =?utf-8?b?!!!?= =?nope?q?x?=\nFrom: \xff\xfe <\nContent-Type: text/plain; charset*=x'y\n\nbody"
    assert "body" in read("a.eml", data).text


def test_data_without_anything():
    for name in ("a.json", "a.jsonl", "a.ipynb"):
        with pytest.raises(EmptyText):
            read(name, b" \n")
