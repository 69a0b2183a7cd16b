"""What documents say of themselves comes under the same keys and in the same form, whatever their format."""

import json
from datetime import UTC, date, datetime

import pytest

from ingest.model import Parsed
from ingest.readers.metadata import LONGEST, METADATA_KEYS, MOST_KEYS, moment, named, said
from ingest.readers.registry import read
from tests.ingest.hostile_packages import links, members, zipped
from tests.ingest.hostile_pdfs import book, written
from tests.ingest.reading import keeps_its_promises, texts


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("2024-05-01", "2024-05-01"),
        ("20240501", "2024-05-01"),
        ("2024-05-01T10:00:00+02:00", "2024-05-01T08:00:00Z"),
        ("2024-05-01T10:00:00.123Z", "2024-05-01T10:00:00Z"),
        ("2024-05-01 10:00", "2024-05-01T10:00:00Z"),
        ("D:20220729060321-04'00'", "2022-07-29T10:03:21Z"),
        ("D:20220731", "2022-07-31"),
        ("Mon, 01 Jan 2024 10:00:00 +0100", "2024-01-01T09:00:00Z"),
        (date(2024, 5, 1), "2024-05-01"),
        (datetime(2024, 5, 1, 10, tzinfo=UTC), "2024-05-01T10:00:00Z"),
        *((value, "") for value in ("2024-13-01", "2024", "soon", "", "D:x", "9999-12-31T23:59:59-12:00", 7, None, [])),
    ],
)
def test_days_and_times(value, told):
    assert moment(value) == told


@pytest.mark.parametrize(
    ("fields", "metadata"),
    [
        ({"Authors": ["Ada", "Lovelace, A."], "Title": "t"}, {"author": "Ada; Lovelace, A."}),
        ({"author": [{"name": "Ada", "mail": "x"}]}, {"author": "Ada"}),
        ({"keywords": "a; b,a"}, {"tags": "a, b"}),
        ({"categories": ["a"], "tags": ["b"]}, {"tags": "a, b"}),
        ({"lang": "de_CH"}, {"language": "de-CH"}),
        ({"lang": "klingon, mostly", "date": "soon"}, {"language": "klingon, mostly", "created": "soon"}),
        ({"canonical": "/here", "url": "https://x.org/a"}, {"url": "https://x.org/a"}),
        ({"url": "javascript:alert(1)"}, {"url": "javascript:alert(1)"}),
        ({"date": "2024-05-01", "published": "2020-01-01"}, {"created": "2024-05-01"}),
        ({"draft": True, "weight": 3, "none": None}, {"draft": "true", "weight": "3"}),
        ({"nested": {"a": [1, "x"]}}, {"nested": '{"a": [1, "x"]}'}),
        ({"nested": ["x" * 600]}, {}),
        ({"a\0b": "c\u202ed\ne"}, {"ab": "cd e"}),
        ({"author": "python-docx"}, {}),
    ],
)
def test_fields_under_any_name(fields, metadata):
    assert named(fields) == metadata


def test_metadata_stays_small():
    many = named({f"key {number}": "x" * 9999 for number in range(99)})
    assert len(many) == MOST_KEYS
    assert max(map(len, many.values())) == LONGEST
    assert len(said([("tags", [f"tag{number}" for number in range(999)])])["tags"]) <= LONGEST


MATTER = """---
title: "A: title"
author: Ada
date: 2024-05-01
tags: [a, "b c"]
review:
  by: Bob
---

# Heading { #top }

text

## Lower {.x #low data=1}

more
"""


def test_markdown_front_matter_and_anchors():
    parsed = read("a.md", MATTER.encode())
    keeps_its_promises(parsed)
    assert parsed.title == "A: title"
    assert parsed.metadata == {"author": "Ada", "created": "2024-05-01", "tags": "a, b c", "review": '{"by": "Bob"}'}
    assert [block.anchor for block in parsed.blocks] == [None, "top", "top", "low", "low"]


@pytest.mark.parametrize(
    ("matter", "title", "metadata"),
    [
        ('+++\ntitle = "T"\ntags = ["a"]\ndate = 2024-05-01\n+++\n', "T", {"tags": "a", "created": "2024-05-01"}),
        ("---\ntitle: [a\n---\n", "", {}),
        ("---\n- a\n- b\n---\n", "", {}),
        ("---\ntitle: !!python/object/apply:os.getcwd []\n---\n", "", {}),
        ("---\na: &x [1, 1]\nb: [*x, *x]\n---\n", "", {}),
        ("---\na: " + "[" * 5000 + "\n---\n", "", {}),
        ("---\n2024: x\n---\n", "", {"2024": "x"}),
        ("---\n---\n", "", {}),
    ],
)
def test_front_matter_of_all_kinds(matter, title, metadata):
    parsed = read("a.md", f"{matter}text".encode())
    assert (parsed.title, parsed.metadata) == (title, metadata)


PAGE = """<html lang="en-GB"><head><title>T</title><link rel="canonical" href="https://x.org/page">
<meta name="author" content="Ada"><meta property="article:published_time" content="2024-05-01T10:00:00Z">
<meta property="article:tag" content="a"><meta property="article:tag" content="b"><meta name="viewport" content="x">
<meta name="generator" content="secret tool"></head><body><p>Before all.</p>
<section id="intro"><h1>Intro</h1><p>text</p><p id="own">own</p></section>
<a name="old"></a><h2>Old</h2><ul id="list"><li>x</li></ul><h2 id="a b">Bad</h2><table id="t"><tr><th>a<th>b<tr><td>1<td>2</table>
</body></html>"""


def test_html_head_and_anchors():
    parsed = read("a.html", PAGE.encode())
    assert parsed.metadata == {
        "url": "https://x.org/page",
        "language": "en-GB",
        "author": "Ada",
        "created": "2024-05-01T10:00:00Z",
        "tags": "a, b",
    }
    anchors = {text: block.anchor for text, block in zip(texts(parsed), parsed.blocks, strict=True)}
    assert anchors == {
        "Before all.": None,
        "Intro": "intro",
        "text": "intro",
        "own": "own",
        "Old": "old",
        "- x": "list",
        "Bad": "list",
        "a | b\n1 | 2": "t",
    }


def test_rst_fields():
    source = ":Author: Ada\n:Date: 2024-05-01\n:unknown: x\n:Keywords: a,\n   b\n\nTitle\n=====\n\n"
    source += ".. meta::\n   :language: de\n\ntext"
    parsed = read("a.rst", source.encode())
    assert parsed.metadata == {"author": "Ada", "created": "2024-05-01", "tags": "a, b", "language": "de"}
    assert parsed.text == source


def test_email_headers():
    mail = b"From: =?utf-8?q?J=C3=B6rg?= <j@x.org>\nSubject: Hi\nDate: Mon, 01 Jan 2024 10:00:00 +0100\nKeywords: a, b\n\ntext"
    assert read("a.eml", mail).metadata == {
        "author": "Jörg <j@x.org>",
        "created": "2024-01-01T09:00:00Z",
        "tags": "a, b",
    }


def test_notebook_metadata():
    about = {"title": "Own", "authors": [{"name": "Ada"}], "kernelspec": {"name": "python3"}, "tags": ["a"]}
    data = json.dumps({"cells": [{"cell_type": "markdown", "source": "# Heading"}], "metadata": about}).encode()
    parsed = read("a.ipynb", data)
    assert (parsed.title, parsed.metadata) == ("Own", {"author": "Ada", "tags": "a"})


CORE = """<c:coreProperties xmlns:c="x" xmlns:dc="y" xmlns:dcterms="z"><dc:title>Own</dc:title><dc:creator>Ada; Bob</dc:creator>
<c:keywords>a; b</c:keywords><dc:language>de-DE</dc:language><dcterms:created>2024-05-01T10:00:00Z</dcterms:created>
<dcterms:modified>2024-06-01T10:00:00Z</dcterms:modified><c:revision>3</c:revision></c:coreProperties>"""
TOLD = {
    "author": "Ada; Bob",
    "tags": "a, b",
    "language": "de-DE",
    "created": "2024-05-01T10:00:00Z",
    "modified": "2024-06-01T10:00:00Z",
}


def _with_core(kind: str) -> Parsed:
    good = members(kind)
    relations = good["_rels/.rels"].replace(
        b"</Rel", b'<Relationship Id="c" Type="x/core-properties" Target="c.xml"/></Rel'
    )
    return read(f"a.{kind}", zipped(good | {"_rels/.rels": relations, "c.xml": CORE.encode()}))


@pytest.mark.parametrize("kind", ["docx", "pptx", "xlsx"])
def test_office_properties(kind):
    parsed = _with_core(kind)
    assert (parsed.title, parsed.metadata) == ("Own", TOLD)


def test_a_package_that_says_nothing_of_itself():
    assert read("a.docx", zipped(members("docx") | {"_rels/x.rels": links()})).metadata == {}


def test_open_document_properties():
    meta = (
        "<m><title>Own</title><initial-creator>Ada</initial-creator><creation-date>2024-05-01T10:00:00</creation-date>"
    )
    meta += "<date>2024-06-01T10:00:00</date><language>de-DE</language><keyword>a</keyword><keyword>b</keyword></m>"
    parsed = read("a.odt", zipped(members("odt") | {"meta.xml": meta.encode()}))
    assert (parsed.title, parsed.metadata) == ("Own", TOLD | {"author": "Ada"})


def test_epub_properties():
    about = "<metadata><title>Own</title><creator>Ada; Bob</creator><subject>a</subject><subject>b</subject>"
    about += "<language>de-DE</language>"
    about += '<date>2024-05-01T10:00:00Z</date><meta property="dcterms:modified">2024-06-01T10:00:00Z</meta>'
    about += "<identifier>urn:x</identifier><source>https://x.org/a</source></metadata>"
    good = members("epub")
    opf = good["b.opf"].replace(b"<manifest>", about.encode() + b"<manifest>")
    parsed = read("a.epub", zipped(good | {"b.opf": opf}))
    assert (parsed.title, parsed.metadata) == ("Own", TOLD | {"url": "https://x.org/a"})


def test_pdf_information():
    dates = "/CreationDate (D:20240501120000+02'00') /ModDate (D:20240601100000Z)"
    info = f"<< /Title (Own) /Author (Ada; Bob) /Keywords (a; b) {dates} >>"
    catalog = "<< /Type /Catalog /Pages 2 0 R /Lang (de-DE) >>"
    parsed = read("a.pdf", written(book(o1=catalog, o9=info), "/Root 1 0 R /Info 9 0 R"))
    assert (parsed.title, parsed.metadata) == ("Own", TOLD)


def test_every_shared_key_is_told_by_some_reader():
    pages = {"pages_without_text"}
    assert set(METADATA_KEYS) == set(TOLD) | {"url"} | pages
