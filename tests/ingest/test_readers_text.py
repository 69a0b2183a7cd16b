"""Text formats: the stored text is the source, decoded and cleaned, and blocks lie on exact lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import Broken, EmptyText, NotText, Unsupported
from ingest.readers.registry import FORMATS, read, supported
from ingest.readers.text import clean
from tests.ingest.reading import SHARED, keeps_its_promises, outline, texts

MARKDOWN = """---
title: "The manual"
tags: [a]
---

# Start { #start }

Hello **world**.

## Install the `tool`

```python
# not a heading
x = 1
```

* one
* two

| a | b |
|---|---|
| 1 | 2 |

[ref]: http://example.org

Setext
------
> quoted
"""


def test_markdown_by_structure():
    parsed = read("guide/manual.md", MARKDOWN.encode())
    keeps_its_promises(parsed)
    assert parsed.title == "The manual"
    assert parsed.text == MARKDOWN
    kinds = ["code", "heading", "paragraph", "heading", "code", "list", "table", "paragraph", "heading", "quote"]
    assert [block.kind for block in parsed.blocks] == kinds
    assert outline(parsed) == [(), ("Start",), ("Start", "Install the tool"), ("Start", "Setext")]
    assert parsed.blocks[4].line == 12


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("# One\n\ntext", "One"),
        ("intro\n\n## Lower\n", ""),
        ("## Lower opens\n\ntext\n", "Lower opens"),
        ("## Lower opens\n\n# Higher\n", "Higher"),
        ("just text", ""),
        ("# A [link](http://x.y) and <b>tag</b>\n", "A link and tag"),
        ("---\nnever: closed\n\n# Real\n", "Real"),
    ],
)
def test_markdown_titles(source, title):
    assert read("my-file.md", source.encode()).title == title


def test_plain_paragraphs_and_lines():
    parsed = read("notes.txt", b"one\r\ntwo\r\n \r\n\r\nthree\r\n")
    keeps_its_promises(parsed)
    assert texts(parsed) == ["one\ntwo", "three"]
    assert [block.line for block in parsed.blocks] == [1, 5]
    assert parsed.title == "", "the content names none; the file's name is the caller's to show"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8-sig", "Grüße aus Köln."),
        ("utf-16", "Grüße aus Köln."),
        ("utf-16-le", "Plain enough to see."),
        ("utf-16-be", "Plain enough to see."),
        ("utf-32-le", "Plain enough to see."),
        ("iso2022_jp", "これは日本語の文章です。"),
        ("shift_jis", "これは日本語の文章です。東京は大きい都市です。" * 5),
        ("cp1251", "Это предложение написано по-русски, и его нужно прочитать правильно. " * 5),
        ("cp1252", "Größe, Straße, Übung, Äpfel, öffnen und müde: schöne Wörter für Prüfungen. " * 5),
    ],
)
def test_encodings(encoding, text):
    assert read("a.txt", text.encode(encoding)).text == text


@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.py", "a.rst", "a.html"])
@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        b"%PDF-1.7\n",
        b"PK\x03\x04abc",
        bytes(range(32)) * 50,
        b"\0\1\2\3" * 99,
    ],
)
def test_binary_is_not_text(name, data):
    with pytest.raises(NotText):
        read(name, data)


# An empty file of these is not an empty text: it is not what its name says.
NO_TEXT = {".pdf", ".docx", ".pptx", ".xlsx", ".xlsm", ".odt", ".ods", ".odp", ".epub", ".eml"}


@pytest.mark.parametrize("ending", sorted(NO_TEXT))
@pytest.mark.parametrize("data", [b"", b" \n", b"PK\x03\x04", b"text"])
def test_not_what_its_name_says(ending, data):
    with pytest.raises(Broken):
        read(f"a{ending}", data)


@pytest.mark.parametrize("ending", sorted(set(FORMATS) - NO_TEXT))
@pytest.mark.parametrize("data", [b"", b" \n\t\r\n", b"\xef\xbb\xbf", "\u200b\u2060".encode()])
def test_nothing_to_read(ending, data):
    with pytest.raises(EmptyText):
        read(f"a{ending}", data)


@pytest.mark.parametrize(
    ("dirty", "stored"),
    [
        ("a\0b\x07c", "abc"),
        ("in\u200bvisible\ufeff \u202eevil\u202c", "invisible evil"),
        ("tag\U000e0041\U000e0042s", "tags"),
        ("soft\u00adhyphen", "softhyphen"),
        ("a\u200db", "ab"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\x0cb\x85c", "a b c"),
        ("x\ud800y", "xy"),
    ],
)
def test_clean(dirty, stored):
    assert clean(dirty) == stored


@given(st.text())
def test_clean_is_final_and_keeps_lines(text):
    once = clean(text)
    assert clean(once) == once
    assert once.count("\n") == text.replace("\r\n", "\n").replace("\r", "\n").count("\n")
    once.encode()


@given(
    st.sampled_from(["a.md", "a.txt", "a.rst", "a.py", "a.go", "a.html"]),
    st.text(alphabet="ab \n\t#=-*`.:|+{}()>é漢", max_size=300),
)
def test_any_text_reads(name, text):
    try:
        parsed = read(name, text.encode())
    except EmptyText:
        return
    keeps_its_promises(parsed)
    if not name.endswith("html"):
        assert parsed.text == text


RST = """.. _intro:

=====
 Big
=====

Words with `a link <http://x>`_::

    literal
      block

Second
------

.. note::

   Careful.

- item

  more
- item two

==== ====
a    b
==== ====
1    2
==== ====

Third :ref:`thing <x>`
~~~~~~~~~~~~~~~~~~~~~~
.. include:: /etc/passwd
"""


def test_rst_title_of_marks_alone_is_no_title():
    """Back quotes mark text; a title of nothing else leaves nothing to put into a heading path."""
    parsed = read("doc.rst", b"```\n\n```\n```\n```\n\ntext here")
    assert parsed.title == ""
    assert all(block.heading_path == () for block in parsed.blocks)


def test_rst_by_structure():
    parsed = read("doc.rst", RST.encode())
    keeps_its_promises(parsed)
    assert parsed.text == RST
    assert parsed.title == "Big"
    assert outline(parsed) == [(), ("Big",), ("Big", "Second"), ("Big", "Second", "Third thing")]
    assert "root:" not in parsed.text
    blocks = texts(parsed)
    assert "    literal\n      block" in blocks
    assert ".. note::\n\n   Careful." in blocks
    assert "- item\n\n  more\n- item two" in blocks
    assert "==== ====\na    b\n==== ====\n1    2\n==== ====" in blocks


PYTHON = '''"""Module words."""
import os

# about foo
@cache
def foo():
    return 1

X = 2

class Bar(Base):
    """Doc."""
    y = 1

    async def baz(self):
        def inner(): ...
    z = 3
'''


def test_python_by_grammar():
    parsed = read("pkg/mod.py", PYTHON.encode())
    keeps_its_promises(parsed)
    assert parsed.title == ""
    assert parsed.media_type == "text/x-python"
    places = [(block.heading_path, block.line) for block in parsed.blocks]
    bar = ("class Bar",)
    assert places == [((), 1), (("def foo",), 4), ((), 9), (bar, 11), ((*bar, "def baz"), 15), (bar, 17)]


@pytest.mark.parametrize("source", ["def broken(:\n  x\n", "(" * 5000, "x = '\\d'\n", "print 'two'\n"])
def test_python_that_does_not_parse_is_still_text(source):
    parsed = read("a.py", source.encode())
    keeps_its_promises(parsed)
    assert parsed.text == source


def test_other_languages_by_definitions():
    go = "package main\n\n// Adds.\nfunc Add(a int) int {\n\n\treturn a\n}\nfunc Sub() {\n}\n"
    parsed = read("m.go", go.encode())
    keeps_its_promises(parsed)
    assert outline(parsed) == [(), ("func Add(a int) int",), ("func Sub()",)]
    assert [block.line for block in parsed.blocks] == [1, 3, 8]


@pytest.mark.parametrize(
    ("name", "answer"), [("a.MD", True), ("x/y.docx", True), ("a.exe", False), ("README", False), (".md", False)]
)
def test_supported(name, answer):
    assert supported(name) is answer


def test_unsupported_is_refused():
    with pytest.raises(Unsupported):
        read("a.exe", b"text")


@pytest.mark.shared
@pytest.mark.parametrize("folder", ["docs_fastapi", "docs_datasette", "ingest_encodings"])
def test_real_text_files(folder):
    if not (SHARED / folder).exists():
        pytest.skip(f"no evaluation data {folder} beside the checkout")
    for path in (SHARED / folder / "files").rglob("*"):
        if path.is_file() and supported(path.name):
            try:
                keeps_its_promises(read(path.name, path.read_bytes()))
            except (EmptyText, NotText):
                continue
