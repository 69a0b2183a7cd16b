"""PDF files that want to harm their reader: loops, bombs, lies, and what is broken in ways that parsers do not expect."""

# ruff: noqa: E501 - an object of the format is a line

import base64
import zlib
from collections.abc import Iterator

from tests.ingest.reading import pdf, pdf_of_streams, placed

GOOD = pdf("A page of good text.", title="Good")
FONT = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def written(objects: dict[int, str | bytes], trailer: str = "/Root 1 0 R", head: bytes = b"%PDF-1.7\n") -> bytes:
    """A file of these objects, with a table of where they are."""
    body, offsets = head, {}
    for number, content in objects.items():
        offsets[number] = len(body)
        inner = content.encode("latin-1") if isinstance(content, str) else content
        body += f"{number} 0 obj\n".encode() + inner + b"\nendobj\n"
    table = "".join(f"{number} 1\n{offset:010} 00000 n \n" for number, offset in offsets.items())
    tail = f"xref\n0 1\n0000000000 65535 f \n{table}trailer\n<< /Size {max(objects) + 1} {trailer} >>\nstartxref\n{len(body)}\n%%EOF\n"
    return body + tail.encode()


def stream(data: bytes, entries: str = "") -> bytes:
    return f"<< /Length {len(data)} {entries} >>\nstream\n".encode() + data + b"\nendstream"


def book(page: str = "", **more: str | bytes) -> dict[int, str | bytes]:
    """Catalog, page tree, one page and its content; `more` replaces or adds objects, `o5=...`."""
    objects: dict[int, str | bytes] = {
        1: "<< /Type /Catalog /Pages 2 0 R >>",
        2: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        3: f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> {page} >>",
        4: stream(b"BT /F1 12 Tf 50 700 Td (good text) Tj ET"),
        5: FONT,
    }
    return objects | {int(name[1:]): content for name, content in more.items()}


def pdfs(*, bombs: bool = True) -> Iterator[tuple[str, bytes]]:
    """All of them; bombs take a while to pack."""
    for evil, data in (*_structure(), *(_streams() if bombs else ()), *_content(), *_damage()):
        yield f"{evil}.pdf", data


def _structure() -> Iterator[tuple[str, bytes]]:
    yield "pages of themselves", written(book(o2="<< /Type /Pages /Kids [2 0 R] /Count 1 >>"))
    yield (
        "pages in a ring",
        written(book(o2="<< /Type /Pages /Kids [6 0 R] /Count 9 >>", o6="<< /Type /Pages /Kids [2 0 R] /Count 9 >>")),
    )
    yield (
        "a page a million times",
        written(book(o2="<< /Type /Pages /Kids [" + "3 0 R " * 100_000 + "] /Count 100000 >>")),
    )
    yield "more pages than there are", written(book(o2="<< /Type /Pages /Kids [3 0 R] /Count 999999999 >>"))
    yield "fewer than no pages", written(book(o2="<< /Type /Pages /Kids [3 0 R] /Count -7 >>"))
    deep = {number: f"<< /Type /Pages /Kids [{number + 1} 0 R] /Count 1 >>" for number in range(10, 3000)}
    yield (
        "pages very deep",
        written(
            book(o2="<< /Type /Pages /Kids [10 0 R] /Count 1 >>") | deep | {3000: "<< /Type /Page /Parent 2999 0 R >>"}
        ),
    )
    yield "arrays in arrays", written(book(o6="[" * 100_000 + "]" * 100_000))
    yield "dictionaries in dictionaries", written(book("/A " + "<< /A " * 30_000 + ">> " * 30_000))
    yield "a reference to itself", written(book(o4="4 0 R", o5="5 0 R"))
    outline = "<< /Type /Catalog /Pages 2 0 R /Outlines 6 0 R >>"
    yield (
        "bookmarks in a ring",
        written(
            book(
                o1=outline,
                o6="<< /First 7 0 R /Last 7 0 R >>",
                o7="<< /Title (x) /Next 7 0 R /First 6 0 R /Parent 6 0 R /Dest [3 0 R /Fit] >>",
            )
        ),
    )
    marks = {
        number: f"<< /Title (x{number}) /Parent 6 0 R /Next {number + 1} 0 R /Dest [3 0 R /Fit] >>"
        for number in range(7, 20_000)
    }
    yield "many bookmarks", written(book(o1=outline, o6="<< /First 7 0 R /Last 19999 0 R >>") | marks)
    yield "a table before itself", written(book(), "/Root 1 0 R /Prev 20")
    ring = written(book(), "/Root 1 0 R /Prev 99999")
    yield "tables in a ring", ring.replace(b"/Prev 99999", b"/Prev %05d" % ring.rindex(b"xref\n0 1"))
    yield "size beyond all numbers", written(book(), "/Root 1 0 R /Size 99999999999999999999")
    yield "no root", written(book(), "")
    yield "a root that is a page", written(book(), "/Root 3 0 R")
    yield "encrypted by nobody", written(book(), "/Root 1 0 R /Encrypt << /Filter /Nobody /V 9 >>")
    yield (
        "encrypted with a long key",
        written(
            book(),
            f"/Root 1 0 R /Encrypt << /Filter /Standard /V 5 /R 6 /Length 999999 /O ({'x' * 127}) /U ({'x' * 127}) /P -1 >>",
        ),
    )
    yield "many objects", written(book() | dict.fromkeys(range(10, 60000), "null"))
    yield (
        "a script",
        written(book(o1="<< /Type /Catalog /Pages 2 0 R /OpenAction << /S /JavaScript /JS (while(1);) >> >>")),
    )
    yield (
        "a form of scripts",
        written(book(o1="<< /Type /Catalog /Pages 2 0 R /AcroForm << /XFA 4 0 R /Fields [3 0 R] >> >>")),
    )
    yield "launching", written(book(o1="<< /Type /Catalog /Pages 2 0 R /OpenAction << /S /Launch /F (/bin/sh) >> >>"))
    yield (
        "content in another file",
        written(book(o4="<< /Length 0 /F (/etc/passwd) /FFilter /FlateDecode >>\nstream\n\nendstream")),
    )
    yield "names of many letters", written(book("/" + "A" * 3_000_000 + " 1"))
    yield (
        "a title of many letters",
        written(book(o9=f"<< /Title ({'x' * 3_000_000}) /Author <{'41' * 900_000}> >>"), "/Root 1 0 R /Info 9 0 R"),
    )


def _streams() -> Iterator[tuple[str, bytes]]:
    flat = "/Filter /FlateDecode"
    spaces = b" " * 60_000_000
    yield "flat bomb", written(book(o4=stream(zlib.compress(spaces, 9), flat)))
    twice = zlib.compress(zlib.compress(b" " * 500_000_000, 9), 9)
    yield "bomb in a bomb", written(book(o4=stream(twice, "/Filter [/FlateDecode /FlateDecode]")))
    yield "packed ten times", written(book(o4=stream(b"x", f"/Filter [{'/FlateDecode ' * 10}]")))
    many = {number: stream(zlib.compress(bytes(3_000_000), 9), flat) for number in range(10, 40)}
    yield "many small bombs", written(book() | many)
    text = base64.a85encode(zlib.compress(b" " * 900_000_000, 9)) + b"~>"
    yield "bomb in letters", written(book(o4=stream(text, "/Filter [/ASCII85Decode /FlateDecode]")))
    runs = bytes([129, 32]) * 1_000_000
    yield "bomb of runs", written(book(o4=stream(runs, "/Filter /RunLengthDecode")))
    yield "bomb of codes", written(book(o4=stream(_lzw_bomb(), "/Filter /LZWDecode")))
    yield "a filter nobody knows", written(book(o4=stream(b"x", "/Filter /Nobody")))
    yield "a filter of itself", written(book(o4=stream(b"x", "/Filter 4 0 R")))
    yield (
        "wrong predictor",
        written(
            book(
                o4=stream(
                    zlib.compress(b"x" * 99), f"{flat} /DecodeParms << /Predictor 15 /Columns 2147483647 /Colors 99 >>"
                )
            )
        ),
    )
    yield "negative length", written(book(o4="<< /Length -5 >>\nstream\nBT ET\nendstream"))
    yield "length beyond the file", written(book(o4="<< /Length 999999999 >>\nstream\nBT ET\nendstream"))
    yield "length of itself", written(book(o4="<< /Length 4 0 R >>\nstream\nBT ET\nendstream"))
    yield (
        "objects in themselves",
        written(book(o6=stream(b"6 0 << >>", "/Type /ObjStm /N 99999999 /First 4 /Extends 6 0 R"))),
    )
    yield "damaged packing", written(book(o4=stream(zlib.compress(b"BT /F1 12 Tf (x) Tj ET" * 99)[:-9], flat)))


def _lzw_bomb() -> bytes:
    """Codes that each stand for a longer run than the one before."""
    bits = "".join(f"{code:09b}" for code in (256, 32, *range(258, 500))) * 200
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def _content() -> Iterator[tuple[str, bytes]]:
    form = "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << {} >> >>"
    uses = "/Resources << /XObject << /X 10 0 R >> /Font << /F1 5 0 R >> >>"
    itself = stream(b"/X Do", form.format("/X 10 0 R"))
    yield (
        "a form of itself",
        written(book(o3=f"<< /Type /Page /Parent 2 0 R /Contents 4 0 R {uses} >>", o4=stream(b"/X Do"), o10=itself)),
    )
    laughs = {10 + level: stream(b"/X Do " * 10, form.format(f"/X {11 + level} 0 R")) for level in range(9)} | {
        19: stream(b"BT /F1 1 Tf (ha) Tj ET", form.format(""))
    }
    yield (
        "a billion forms",
        written(book(o3=f"<< /Type /Page /Parent 2 0 R /Contents 4 0 R {uses} >>", o4=stream(b"/X Do")) | laughs),
    )
    yield "states never left", written(book(o4=stream(b"q " * 500_000)))
    yield "states never entered", written(book(o4=stream(b"Q " * 500_000)))
    yield "many texts", written(book(o4=stream(b"BT /F1 1 Tf " + b"(x) Tj 1 0 Td " * 200_000 + b"ET")))
    yield "all at one place", written(book(o4=stream(b"BT /F1 9 Tf 50 50 Td " + b"(xxxxxxxxxx) Tj " * 20_000 + b"ET")))
    yield "strings in strings", written(book(o4=stream(b"BT /F1 9 Tf " + b"(" * 200_000 + b")" * 200_000 + b" Tj ET")))
    yield "arrays without end", written(book(o4=stream(b"BT /F1 9 Tf " + b"[" * 200_000 + b" TJ ET")))
    yield "numbers of many digits", written(book(o4=stream(b"BT /F1 9 Tf " + b"9" * 500_000 + b" 0 Td (x) Tj ET")))
    yield "text far away", written(book(o4=stream(b"BT /F1 9 Tf 1e38 -1e38 Td (x) Tj 1e38 0 0 1e38 0 0 Tm (y) Tj ET")))
    yield "text of no size", written(book(o4=stream(b"BT /F1 0 Tf 50 50 Td (x y) Tj 0 0 0 0 0 0 Tm (z) Tj ET")))
    yield "a picture never ended", written(book(o4=stream(b"BI /W 99999 /H 99999 /BPC 8 /CS /RGB ID " + b"x" * 999)))
    yield "a page of no size", written(book("/MediaBox [0 0 0 0]"))
    yield "a page beyond all size", written(book("/MediaBox [-1e30 -1e30 1e30 1e30]"))
    everything = (
        b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <0000> <ffff> endcodespacerange\n"
    )
    ranges = everything + b"1 beginbfrange <0000> <ffff> <0041> endbfrange\n" * 20_000 + b"endcmap"
    mapped = (
        "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /ToUnicode 6 0 R /DescendantFonts [7 0 R] >>"
    )
    cid = "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /CIDSystemInfo << /Registry (A) /Ordering (I) /Supplement 0 >> /W 8 0 R >>"
    yield (
        "letters mapped without end",
        written(book(o5=mapped, o6=stream(ranges), o7=cid, o8=f"[{'0 65535 500 ' * 20_000}]")),
    )
    yield (
        "a font of itself",
        written(
            book(
                o5="<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding 5 0 R /DescendantFonts [5 0 R] /ToUnicode 5 0 R >>"
            )
        ),
    )
    yield (
        "letters drawn by letters",
        written(
            book(
                o5="<< /Type /Font /Subtype /Type3 /FontBBox [0 0 9 9] /FontMatrix [1 0 0 1 0 0] /CharProcs << /a 4 0 R >> /Encoding << /Differences [0 /a] >> /FirstChar 0 /LastChar 255 /Widths [1] /Resources << /Font << /F1 5 0 R >> >> >>",
                o4=stream(b"BT /F1 9 Tf (\x00\x00) Tj ET"),
            )
        ),
    )
    words = [(x, y, "9") for x in range(10, 600, 12) for y in range(10, 780, 6)]
    yield "a page of figures", pdf_of_streams(placed(*words))
    yield "the same page often", pdf_of_streams(*[placed(*[(x, 50, "word") for x in range(0, 600, 3)])] * 300)


def _damage() -> Iterator[tuple[str, bytes]]:
    yield "head alone", GOOD[:9]
    yield "half of it", GOOD[: len(GOOD) // 2]
    yield "without its end", GOOD[:-60]
    yield "end alone", GOOD[-200:]
    yield "twice", GOOD + GOOD
    yield "behind rubbish", bytes(2000) + GOOD
    yield "before rubbish", GOOD + bytes(100_000)
    yield "wrong places", GOOD.replace(b"00000 n", b"99999 n").replace(b"0000000", b"0000900")
    yield "words for numbers", GOOD.replace(b" 0 R", b" x R")
    yield "all ones", GOOD[:200] + b"\xff" * 5000 + GOOD[200:]
    yield "other line ends", GOOD.replace(b"\n", b"\r")
    yield "a package too", GOOD + b"PK\x05\x06" + bytes(18)
