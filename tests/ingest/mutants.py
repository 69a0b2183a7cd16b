"""Good files with something broken in them, drawn from a seed."""

import random
from collections.abc import Iterator

from tests.ingest.hostile_packages import GOOD, members, zipped
from tests.ingest.hostile_pdfs import book, stream, written
from tests.ingest.reading import pdf, pdf_of_streams, placed

FIGURES = [(x, y, f"{x * y % 997}") for x in (60, 200, 300, 400) for y in range(200, 700, 14)]
PDFS = (
    pdf("One page.", "And another one.", title="Two pages", outline_of={"One page.": 0, "And another one.": 1}),
    pdf_of_streams(placed(*FIGURES), placed((50, 700, "Prose."))),
    written(book(o6=stream(b"BT /F1 9 Tf (x) Tj ET", "/Type /XObject /Subtype /Form"))),
)
TEXTS = {
    "md": b"---\ntitle: T\ntags: [a, b]\n---\n# H\n\ntext [l](u)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nx\n```\n",
    "html": b"<html lang=en><title>T</title><body><h1 id=a>H</h1><p>text</p><table><tr><th>a<td>b</table><ul><li>x</ul>",
    "rst": b"=\nT\n=\n\n:author: A\n\ntext::\n\n  code\n\n== ==\na  b\n== ==\n",
    "json": b'{"title": "t", "list": [{"a": 1}, {"b": [1, 2, "x"]}], "n": null}',
    "ipynb": b'{"cells": [{"cell_type": "markdown", "source": ["# T"]}, {"cell_type": "code", "source": "x", "outputs": []}]}',
    "csv": b'name,born\nAda,1815\n"Bob, Jr",1900\n',
    "eml": b"Subject: =?utf-8?q?T?=\nFrom: a@b.c\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b--\n",
    "py": b"import os\n\nclass A:\n    def b(self):\n        return 1\n",
}
TOKENS = (
    b"<",
    b">",
    b"\x00",
    b"\xff",
    b"(",
    b"[",
    b"{",
    b"\n",
    b"0 R",
    b"obj",
    b"stream",
    b"99999999",
    b"-1",
    b"&x;",
    b"]]>",
)


def mutants(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Three of five are PDFs, whose parser is no Python."""
    drawn = random.Random(seed)
    for number in range(count):
        if number % 5 < 3:
            yield f"{number}.pdf", mutated(drawn, drawn.choice(PDFS))
        elif number % 5 == 3:
            kind = drawn.choice(sorted(GOOD))
            yield f"{number}.{kind}", _package(drawn, kind)
        else:
            kind = drawn.choice(sorted(TEXTS))
            yield f"{number}.{kind}", mutated(drawn, TEXTS[kind])


def mutated(drawn: random.Random, data: bytes) -> bytes:
    """One to eight faults."""
    for _ in range(drawn.randint(1, 8)):
        at = drawn.randrange(len(data) + 1)
        behind = min(len(data), at + drawn.randint(1, 64))
        match drawn.randrange(6):
            case 0 if data:
                bit = 1 << drawn.randrange(8)
                at = min(at, len(data) - 1)
                data = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            case 1:
                data = data[:at] + data[behind:]
            case 2:
                data = data[:behind] + data[at:behind] * drawn.randint(1, 50) + data[behind:]
            case 3:
                data = data[:at] + drawn.choice(TOKENS) * drawn.randint(1, 20) + data[at:]
            case 4:
                data = data[:at] + drawn.randbytes(behind - at) + data[behind:]
            case _:
                elsewhere = drawn.randrange(len(data) + 1)
                data = data[:at] + data[elsewhere : elsewhere + 200] + data[behind:]
    return data


def _package(drawn: random.Random, kind: str) -> bytes:
    """The package itself broken, or a member of a package that is whole."""
    good = members(kind)
    if drawn.random() < 0.3:
        return mutated(drawn, zipped(good))
    broken = drawn.choice(sorted(good))
    return zipped(good | {broken: mutated(drawn, good[broken])})
