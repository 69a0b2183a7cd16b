"""Markup, data, mail, code and text that want to harm their reader: by depth, by length, and by what patterns choke on."""

import json
from collections.abc import Iterator


def texts() -> Iterator[tuple[str, bytes]]:
    yield from (*_html(), *_markdown(), *_data(), *_mail(), *_code(), *_bytes())


def _html() -> Iterator[tuple[str, bytes]]:
    for tag in ("div", "b", "table", "ul", "blockquote", "font", "a", "p", "svg", "math", "select", "template"):
        yield f"deep {tag}.html", b"<%b>" % tag.encode() * 50_000 + b"x"
    yield "rows in rows.html", b"<table><tr><td>" * 3000 + b"x"
    yield "spans without end.html", b"<table><tr><td colspan=999999999 rowspan=999999999>x<td>y</table>" * 100
    yield "many attributes.html", b"<a " + b" ".join(b"b%d=c" % n for n in range(30_000)) + b">x</a>"
    yield "one long attribute.html", b"<a href='" + b"x" * 5_000_000 + b"'>x</a>"
    yield "never closed.html", b"<a href='" + b"<" * 1_000_000
    yield "self closed.html", b"<?xml version='1.0'?>" + b"<title " * 100_000
    yield "many styles.html", b"<p style='display:'>x</p>" * 50_000 + b"<p style='" + b"display " * 200_000 + b"'>y</p>"
    yield "many entities.html", b"&amp" * 500_000 + b"&#1114112;&#0;&#xd800;" * 1000
    yield (
        "entities of its own.xhtml",
        b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><p>&x;</p>",
    )
    yield "comments.html", b"<!--" * 300_000 + b"-->x"
    yield "charsets.html", b"<meta " + b"charset= " * 100_000 + b"><p>x"
    yield "a script.html", b"<script>" + b"while(1);" * 100_000 + b"</script><p>x"
    yield (
        "elsewhere.html",
        b"<base href='http://127.0.0.1:9/'><link rel=stylesheet href=a.css><img src=file:///etc/passwd>x",
    )
    yield "frames.html", b"<iframe src=file:///etc/passwd></iframe><object data=/etc/passwd></object>x"
    yield "many lists.html", b"<ol>" + b"<li>x" * 100_000
    yield "broken tags.html", b"< <a< b=<c d='<e>'' f>" * 50_000


def _markdown() -> Iterator[tuple[str, bytes]]:
    yield "quotes in quotes.md", b">" * 50_000 + b"x"
    yield "lists in lists.md", b"\n".join(b"  " * n + b"- x" for n in range(1000))
    yield "open brackets.md", b"[" * 100_000
    yield "links in links.md", b"[a](" * 50_000
    yield "pictures in pictures.md", b"![" * 50_000 + b"](" * 50_000
    yield "stars.md", b"*a " * 100_000 + b"**a" * 100_000
    yield "ticks.md", b"".join(b"`" * n for n in range(1000))
    yield "fence never closed.md", b"```" + b"\nx" * 200_000
    yield "a wide table.md", b"|a" * 20_000 + b"|\n" + b"|-" * 20_000 + b"|\n" + b"|b" * 20_000 + b"|\n"
    yield "matter never closed.md", b"---\n" + b"title: x\n" * 100_000
    yield (
        "matter of anchors.md",
        b"---\na: &a [x]\n" + b"".join(b"b%d: &b%d [*a,*a]\n" % (n, n) for n in range(300)) + b"---\nx",
    )
    yield "matter of objects.md", b"---\n!!python/object/apply:os.system ['true']\n---\nx"
    yield "a heading of many marks.md", b"# " + b"<" * 100_000 + b"[" * 100_000 + b"{" * 1000
    yield "definitions.md", b"[a]: " * 100_000
    yield "tags.md", b"<a " * 100_000
    yield "adorned.rst", b"=" * 200_000 + b"\n" + b"x\n=\n" * 50_000
    yield "roles.rst", b":a:`" * 50_000 + b"\n===="
    yield "links.rst", b"x `a <" * 50_000 + b"\n" + b"=" * 300_000
    yield "simple tables.rst", b"== ==\n\n" * 20_000
    yield (
        "included.rst",
        b".. include:: /etc/passwd\n\n.. raw:: html\n   :url: http://127.0.0.1:9/\n\n.. csv-table::\n   :file: /etc/passwd\n",
    )
    yield "blank lines.rst", b"- x\n" + b"\n" * 200_000 + b"- y"


def _data() -> Iterator[tuple[str, bytes]]:
    for depth in (900, 100_000):
        yield f"objects {depth} deep.json", b'{"a":' * depth + b"1" + b"}" * depth
        yield f"arrays {depth} deep.json", b"[" * depth + b"]" * depth
    yield "a number of many digits.json", b'{"a":' + b"9" * 1_000_000 + b"}"
    yield "the same key often.json", b"{" + b'"a":1,' * 200_000 + b'"a":2}'
    yield "long keys.json", json.dumps({"k" * 1_000_000: "x"}).encode()
    yield "escapes.json", b'["' + b"\\ud800" * 300_000 + b'"]'
    yield "not a number.json", b'{"a": NaN, "b": -Infinity, "c": 1e999999}'
    yield "long paths.json", b'{"k":' * 500 + b"[" + b"{}," * 20_000 + b"1]" + b"}" * 500
    yield "records in records.jsonl", (b'{"a":' * 500 + b"1" + b"}" * 500 + b"\n") * 500
    cell = {"cell_type": "code", "source": "x", "outputs": [{"output_type": "stream", "text": "y" * 3_000_000}]}
    yield "a long output.ipynb", json.dumps({"cells": [cell]}).encode()
    yield "many cells.ipynb", json.dumps({"cells": [{"cell_type": "markdown", "source": "> " * 500}] * 500}).encode()
    yield "a notebook of itself.ipynb", b'{"worksheets":' + b'[{"cells":' * 400 + b"1" + b"}]" * 400 + b"}"
    yield "a quote never closed.csv", b'a,b\n"' + b"x,y\n" * 200_000
    yield "quotes.csv", b'"' * 1_000_001
    yield "many columns.csv", b",".join(b"c%d" % n for n in range(50_000)) + b"\n" + b"1," * 50_000
    yield "delimiters.csv", b",;|\t" * 300_000
    yield "empty rows.csv", b"\n" * 1_000_000 + b"x"


def _mail() -> Iterator[tuple[str, bytes]]:
    parts = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(5000))
    yield "parts in parts.eml", b"Subject: x\n" + parts + b"\nx"
    yield "messages in messages.eml", b"Subject: x\nContent-Type: message/rfc822\n\n" * 3000 + b"x"
    yield "many headers.eml", b"Subject: x\n" + b"".join(b"X-%d: y\n" % n for n in range(50_000)) + b"\nx"
    yield "a folded header.eml", b"Subject: x" + b"\n y" * 100_000 + b"\n\nx"
    yield "encoded words.eml", b"Subject: " + b"=?utf-8?q?=41?= " * 50_000 + b"\n\nx"
    yield "open words.eml", b"Subject: " + b"=?" * 100_000 + b"\nFrom: " + b"(" * 50_000 + b"\n\nx"
    yield "addresses.eml", b"From: " + b"<" * 50_000 + b'"' * 50_000 + b"\nTo: a" + b",a" * 50_000 + b"\n\nx"
    yield "many boundaries.eml", b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 50_000
    yield (
        "a charset of many letters.eml",
        b"Subject: x\nContent-Type: text/plain; charset=" + b"x" * 100_000 + b"\n\n\xff\xfe",
    )
    yield (
        "parameters.eml",
        b"Subject: x\nContent-Type: text/plain; " + b"".join(b"a*%d*=b;" % n for n in range(5000)) + b"\n\nx",
    )
    yield "base64 that is none.eml", b"Subject: x\nContent-Transfer-Encoding: base64\n\n" + b"====!!!!" * 50_000
    yield "quoted.eml", b"Subject: x\n\n" + b">" * 500_000 + b"\n" + b"> x\n" * 50_000
    yield "uuencoded.eml", b"Subject: x\nContent-Transfer-Encoding: uuencode\n\nbegin 644 x\n" + b"M" * 100_000


def _code() -> Iterator[tuple[str, bytes]]:
    yield "brackets.py", b"(" * 100_000
    yield "operators.py", b"x = " + b"-" * 100_000 + b"1"
    yield "sums.py", b"x = " + b"1+" * 50_000 + b"1"
    yield "attributes.py", b"a" + b".a" * 50_000
    yield "indented.py", b"".join(b" " * n + b"if x:\n" for n in range(200)) + b" " * 200 + b"pass"
    yield "classes in classes.py", b"".join(b" " * n + b"class A:\n" for n in range(99)) + b" " * 99 + b"pass"
    yield "a string never closed.py", b"'''" + b"x\n" * 200_000
    yield "strings of strings.py", b"f'" + b"{f'" * 5000
    yield "escapes.py", b'x = "' + b"\\N{DASH}\\d" * 20_000 + b'"'
    yield "numbers of many digits.py", b"x = " + b"9" * 100_000
    yield "another encoding.py", b"# coding: utf-7\n+ACI-x\n"
    yield "words that define.go", b"export default pub public private " * 50_000 + b"\nfunc " * 50_000
    yield "braces.js", b"{" * 500_000
    yield "margins.c", b"x\n\n" * 200_000
    yield "a long line.sql", b"CREATE TABLE " * 100_000


def _bytes() -> Iterator[tuple[str, bytes]]:
    yield "a long line.txt", b"x" * 10_000_000
    yield "spaces.txt", b" " * 5_000_000 + b"x"
    yield "line feeds.txt", b"\n" * 5_000_000 + b"x"
    yield "half characters.txt", "\ud83d".encode("utf-8", "surrogatepass") * 100_000
    yield "marks.txt", "\u0300".encode() * 500_000
    yield "right to left.txt", "\u202e\u2066".encode() * 200_000 + b"x"
    yield "joiners.txt", "\u200d".encode() * 500_000 + "\u0e01\u200d".encode() * 100_000
    yield "escapes.txt", b"\x1b[" * 200_000 + b"x" + b"\x1b[" + b"1;" * 200_000
    yield "shifts.txt", b"\x1b$B" * 100_000 + b"x"
    yield "any byte.txt", bytes(range(256)) * 4000
    yield "high bytes.txt", bytes(range(128, 256)) * 2000
    yield "marks of order.txt", b"\xff\xfe" * 100_000
    yield "four bytes each.txt", "x".encode("utf-32-le") * 100_000 + b"\x00"
    yield "seven bits.txt", b"+ADw-script+AD4-" * 20_000
    yield "a declared encoding.txt", b"<?xml version='1.0' encoding='rot13'?>" + b"\xe9" * 100
    yield "nothing.txt", b""
