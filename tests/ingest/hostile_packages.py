"""Zipped documents that want to harm their reader, in every format that is a package of XML."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
P = "http://schemas.openxmlformats.org/presentationml/2006/main"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
O = "urn:oasis:names:tc:opendocument:xmlns:"  # noqa: E741 - as short as the others
ODF = f'xmlns:o="{O}office:1.0" xmlns:t="{O}text:1.0" xmlns:b="{O}table:1.0" xmlns:d="{O}drawing:1.0"'
TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"

Members = dict[str, bytes]


def zipped(members: Members, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as package:
        for name, data in members.items():
            package.writestr(name, data)
    return buffer.getvalue()


def links(**targets: str) -> bytes:
    found = "".join(
        f'<Relationship Id="{k}" Type="x/{v.split("|")[0]}" Target="{v.split("|")[1]}"/>' for k, v in targets.items()
    )
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{found}</Relationships>'.encode()


def _docx(body: str) -> Members:
    return {
        "_rels/.rels": links(m="officeDocument|d.xml"),
        "d.xml": f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'.encode(),
    }


def _pptx(body: str) -> Members:
    space = f'xmlns:p="{P}" xmlns:a="{A}" xmlns:r="{R}"'
    return {
        "_rels/.rels": links(m="officeDocument|p.xml"),
        "p.xml": f'<p:presentation {space}><p:sldId r:id="s"/></p:presentation>'.encode(),
        "_rels/p.xml.rels": links(s="slide|s.xml"),
        "s.xml": f"<p:sld {space}>{body}</p:sld>".encode(),
    }


def _xlsx(rows: str) -> Members:
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    part = f'<Override PartName="/xl/workbook.xml" ContentType="{TYPES}.sheet.main+xml"/>'
    sheet = f'<Override PartName="/xl/s.xml" ContentType="{TYPES}.worksheet+xml"/>'
    package = "http://schemas.openxmlformats.org/package/2006"
    head = f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{office}/'
    return {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">{part}{sheet}</Types>'.encode(),
        "_rels/.rels": f'{head}officeDocument" Target="xl/workbook.xml"/></Relationships>'.encode(),
        "xl/workbook.xml": f'<workbook xmlns="{S}" xmlns:r="{R}"><sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets>'
        "</workbook>".encode(),
        "xl/_rels/workbook.xml.rels": f'{head}worksheet" Target="s.xml"/></Relationships>'.encode(),
        "xl/s.xml": f'<worksheet xmlns="{S}"><sheetData>{rows}</sheetData></worksheet>'.encode(),
    }


def _odf(body: str) -> Members:
    return {"content.xml": f"<o:document-content {ODF}><o:body>{body}</o:body></o:document-content>".encode()}


def _epub(body: str) -> Members:
    container = '<container><rootfiles><rootfile full-path="b.opf"/></rootfiles></container>'
    book = '<package><manifest><item id="1" href="c.xhtml"/></manifest><spine><itemref idref="1"/></spine></package>'
    chapter = f"<html><body>{body}</body></html>"
    return {"META-INF/container.xml": container.encode(), "b.opf": book.encode(), "c.xhtml": chapter.encode()}


# How each format says a text, and the member that holds it.
GOOD = {
    "docx": (_docx, "<w:p><w:r><w:t>{}</w:t></w:r></w:p>", "d.xml"),
    "pptx": (_pptx, "<p:sp><a:p><a:r><a:t>{}</a:t></a:r></a:p></p:sp>", "s.xml"),
    "xlsx": (_xlsx, '<row r="1"><c r="A1" t="str"><v>{}</v></c></row>', "xl/s.xml"),
    "odt": (_odf, "<t:p>{}</t:p>", "content.xml"),
    "ods": (_odf, '<b:table b:name="S"><b:table-row><b:table-cell><t:p>{}</t:p></b:table-cell></b:table-row></b:table>',
            "content.xml"),
    "odp": (_odf, "<d:page><t:p>{}</t:p></d:page>", "content.xml"),
    "epub": (_epub, "<p>{}</p>", "c.xhtml"),
}  # fmt: skip


def members(kind: str, text: str = "good text") -> Members:
    """The members of a good file of this kind that says this."""
    build, spelled, _ = GOOD[kind]
    return build(spelled.format(text))


def main_member(kind: str) -> str:
    return GOOD[kind][2]


def packages() -> Iterator[tuple[str, bytes]]:
    """The same evils in every format, then those of one format alone."""
    for kind in GOOD:
        for evil, data in _common(kind):
            yield f"{evil}.{kind}", data
    yield from _of_one_format()


def _common(kind: str) -> Iterator[tuple[str, bytes]]:
    good, main = members(kind), main_member(kind)
    whole = zipped(good)
    yield "flat bomb", zipped(good | {"bomb.bin": bytes(25_000_000)})
    yield "bomb in the text", zipped(members(kind, "x" * 25_000_000))
    yield "many members", zipped(good | {f"m{number}": b"" for number in range(3000)})
    yield "overlapping members", overlapping(good)
    yield "lying about sizes", lying(zipped(good | {main: good[main] + b" " * 22_000_000}), main)
    yield "archives in archives", zipped(good | {"a.zip": nested(9)})
    yield "traversal", zipped(good | {"../../../../tmp/written": b"x"})
    yield "cut off", whole[: len(whole) // 2]
    yield "wrong checksum", damaged(whole)
    yield "unknown packing", whole.replace(b"\x08\x00", b"\x63\x00")
    yield "deep", zipped(good | {main: b"<a>" * 50_000 + b"</a>" * 50_000})
    yield "unclosed", zipped(good | {main: good[main][:-9]})
    yield "many empty elements", zipped(good | {main: b"<a>" + b"<b/>" * 500_000 + b"</a>"})
    yield "one long attribute", zipped(good | {main: b"<a b='" + b"x" * 12_000_000 + b"'/>"})
    yield "many attributes", zipped(good | {main: b"<a " + b" ".join(b"b%d='x'" % n for n in range(100_000)) + b"/>"})
    yield "no text at all", zipped(members(kind, ""))
    yield "random middle", whole[:60] + bytes(range(256)) + whole[316:]


def _of_one_format() -> Iterator[tuple[str, bytes]]:
    loop = f'<w:styles xmlns:w="{W}"><w:style w:styleId="A"><w:basedOn w:val="A"/></w:style></w:styles>'.encode()
    styles = {"_rels/d.xml.rels": links(s="styles|s.xml", n="numbering|n.xml", d="numbering|d.xml"), "s.xml": loop}
    numbers = f'<w:numbering xmlns:w="{W}"><w:num w:numId="{"9" * 5000}"/></w:numbering>'.encode()
    styled = '<w:p><w:pPr><w:pStyle w:val="A"/></w:pPr><w:r><w:t>x</w:t></w:r></w:p>'
    yield "styles of themselves.docx", zipped(_docx(styled) | styles | {"n.xml": numbers})
    cells = "<w:tbl><w:tr><w:tc>" * 60 + "<w:p><w:r><w:t>x</w:t></w:r></w:p>" + "</w:tc></w:tr></w:tbl>" * 60
    yield "tables in tables.docx", zipped(_docx(cells))
    yield "itself as a note.docx", zipped(_docx(styled) | {"_rels/d.xml.rels": links(f="footnotes|d.xml")})
    yield "a row at the end of the world.xlsx", zipped(_xlsx('<row r="99999999"><c r="ZZZ99999999"><v>1</v></c></row>'))
    yield "no such text.xlsx", zipped(_xlsx('<row r="1"><c r="A1" t="s"><v>999999</v></c></row>'))
    yield "a number of many digits.xlsx", zipped(_xlsx(f'<row r="1"><c r="A1"><v>{"9" * 400_000}</v></c></row>'))
    yield "cells without end.xlsx", zipped(_xlsx('<row r="1">' + '<c r="A1"/>' * 300_000 + "</row>"))
    yield "a slide of itself.pptx", zipped(_pptx("<p:sp/>") | {"_rels/p.xml.rels": links(s="slide|p.xml")})
    yield "groups in groups.pptx", zipped(_pptx("<p:grpSp>" * 200 + "</p:grpSp>" * 200))
    spread = (
        '<b:table><b:table-row b:number-rows-repeated="999999999"><b:table-cell b:number-columns-repeated="999999999">'
    )
    yield "repeated for ever.ods", zipped(_odf(f"{spread}<t:p>x</t:p></b:table-cell></b:table-row></b:table>"))
    yield "spaces without end.odt", zipped(_odf('<t:p>x<t:s t:c="999999999"/>y</t:p>'))
    yield (
        "lists in lists.odt",
        zipped(_odf("<t:list><t:list-item>" * 100 + "<t:p>x</t:p>" + "</t:list-item></t:list>" * 100)),
    )
    book = (
        b"<package><spine>"
        + b'<itemref idref="1"/>' * 20_000
        + b'</spine><manifest><item id="1" href="c.xhtml"/></manifest></package>'
    )
    yield "one chapter over and over.epub", zipped(_epub("<p>x</p>" * 100) | {"b.opf": book})
    yield (
        "itself as the book.epub",
        zipped(_epub("x") | {"b.opf": b'<package><item id="1" href="b.opf"/><itemref idref="1"/></package>'}),
    )


def overlapping(good: Members) -> bytes:
    """All members are the same bytes: one file of 1 MB of zeros, told a thousand times."""
    packed = zipped(good | {"zeros": bytes(1_000_000)})
    at = packed.rindex(b"PK\x01\x02")
    end = packed.rindex(b"PK\x05\x06")
    entry = packed[at:end]
    count = struct.unpack_from("<H", packed, end + 10)[0] + 999
    directory = packed[struct.unpack_from("<I", packed, end + 16)[0] : at] + entry * 1000
    start = struct.unpack_from("<I", packed, end + 16)[0]
    tail = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), start, 0)
    return packed[:start] + directory + tail


def lying(packed: bytes, name: str) -> bytes:
    """The directory says that this member is of ten bytes."""
    at = packed.rindex(name.encode()) - 46
    assert packed[at : at + 4] == b"PK\x01\x02"
    return packed[: at + 24] + struct.pack("<I", 10) + packed[at + 28 :]


def damaged(packed: bytes) -> bytes:
    at = packed.rindex(b"PK\x01\x02") + 16
    return packed[:at] + struct.pack("<I", zlib.crc32(b"another")) + packed[at + 4 :]


def nested(depth: int) -> bytes:
    data = bytes(1_000_000)
    for number in range(depth):
        data = zipped({f"{number}-{copy}.zip": data for copy in range(4)})
    return data
