"""What the tests of readers share: small files built by hand, and the promises every parsed file keeps."""

import datetime as dt
from pathlib import Path

from ingest.model import Document, Parsed, Source

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def source(name: str, size: int = 0) -> Source:
    return Source(Path("/corpus"), name, size, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))


def document(parsed: Parsed, name: str = "a.md") -> Document:
    return Document("d", "c", source(name), "0" * 64, parsed)


def texts(parsed: Parsed) -> list[str]:
    """The text of each block."""
    return [parsed.text[block.start : block.end] for block in parsed.blocks]


def outline(parsed: Parsed) -> list[tuple[str, ...]]:
    """Heading paths in order, each once."""
    return list(dict.fromkeys(block.heading_path for block in parsed.blocks))


def keeps_its_promises(parsed: Parsed) -> None:
    """Blocks ascend, are not blank, hold all text but white space, and lines are those of the stored text."""
    end, line = 0, 1
    for block in parsed.blocks:
        line += parsed.text.count("\n", end, block.start)
        assert end <= block.start < block.end <= len(parsed.text)
        assert not parsed.text[end : block.start].strip()
        assert parsed.text[block.start : block.end].strip()
        assert block.line is None or block.line == line
        line += parsed.text.count("\n", block.start, block.end)
        end = block.end
    assert not parsed.text[end:].strip()
    assert "\0" not in parsed.text
    assert "\r" not in parsed.text
    parsed.text.encode()


def pdf(*pages: str, title: str = "", outline_of: dict[str, int] | None = None) -> bytes:
    """A PDF written by hand: one text line per line, and bookmarks by page (from 0)."""
    return pdf_of_streams(*(_stream(page) for page in pages), title=title, outline_of=outline_of)


def _stream(page: str) -> str:
    lines = " ".join(f"({line}) Tj 0 -14 Td" for line in page.split("\n"))
    return f"BT /F1 11 Tf 50 760 Td {lines} ET" if page else ""


def placed(*words: tuple[int, int, str]) -> str:
    """The content of a page with text at places: points from the left and from the bottom."""
    return "BT /F1 10 Tf " + " ".join(f"1 0 0 1 {x} {y} Tm ({word}) Tj" for x, y, word in words) + " ET"


def pdf_of_streams(*pages: str, title: str = "", outline_of: dict[str, int] | None = None, info: str = "") -> bytes:
    """A PDF of pages with this content, in the operators of the format; `info` goes to its properties."""
    marks = list((outline_of or {}).items())
    first_page, first_mark = 4, 4 + 2 * len(pages)
    kids = " ".join(f"{first_page + 2 * n} 0 R" for n in range(len(pages)))
    outlines = (
        f"<< /Type /Outlines /First {first_mark + 1} 0 R /Last {first_mark + len(marks)} 0 R /Count {len(marks)} >>"
    )
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R /Outlines {first_mark} 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, page in enumerate(pages):
        font = "/Resources << /Font << /F1 3 0 R >> >>"
        at = first_page + 2 * number
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] {font} /Contents {at + 1} 0 R >>")
        objects.append(f"<< /Length {len(page)} >>\nstream\n{page}\nendstream")
    objects.append(outlines if marks else "<< /Type /Outlines /Count 0 >>")
    for number, (label, page) in enumerate(marks):
        following = f"/Next {first_mark + number + 2} 0 R" if number + 1 < len(marks) else ""
        target = f"/Dest [{first_page + 2 * page} 0 R /Fit]"
        objects.append(f"<< /Title ({label}) /Parent {first_mark} 0 R {target} {following} >>")
    objects.append(f"<< /Title ({title}) {info} >>")
    return _file(objects)


def _file(objects: list[str]) -> bytes:
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>"
    tail = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n{trailer}\nstartxref\n{len(body)}\n%%EOF\n"
    )
    return body + tail.encode()
