"""DOCX: headings, paragraphs, lists and tables in document order.

The XML is walked rather than python-docx's paragraphs, which leave out inserted text and content controls.
"""

import io
import zipfile
from collections.abc import Iterator

import docx
from docx.document import Document as Docx
from docx.oxml.ns import qn
from lxml import etree  # type: ignore[import-untyped]  # its stubs are a package of their own

from ingest.model import Parsed
from ingest.readers.archive import Archive
from ingest.readers.drawing import add_chart
from ingest.readers.tables import add_table
from ingest.readers.text import TextBuilder, not_empty, one_line

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_P, _TBL, _TR, _TC, _T = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc"), qn("w:t")
_SAID = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
# Deleted and moved text, properties, hidden runs' markers, fallbacks that say a shape a second time, field codes.
_PASSED_OVER = {
    qn("w:del"),
    qn("w:moveFrom"),
    qn("w:pPr"),
    qn("w:rPr"),
    qn("w:instrText"),
    qn("w:delText"),
    qn("w:sdtPr"),
} | {"{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"}
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"


def read(name: str, data: bytes) -> Parsed:
    """Text of the body. Raises Broken, Encrypted, TooLarge and EmptyText."""
    package = Archive(name, data, "DOCX")
    document = _open(package)
    builder = TextBuilder()
    levels = _heading_levels(document)
    for element in _body(document.element.body):
        if element.tag == _TBL:
            add_table(builder, list(_rows(element)), marked=element.find(f".//{qn('w:tblHeader')}") is not None)
        else:
            _add_paragraph(builder, element, levels)
        _add_charts(builder, package, document, element)
    text = not_empty(name, builder.text)
    heading = next((block.heading_path[-1] for block in builder.blocks if block.kind == "heading"), "")
    title = one_line(document.core_properties.title or "") or heading
    return Parsed(title, text, tuple(builder.blocks), MEDIA_TYPE)


def _open(package: Archive) -> Docx:
    try:
        return docx.Document(io.BytesIO(package.usual()))
    except (zipfile.BadZipFile, KeyError, ValueError, etree.XMLSyntaxError, OSError, EOFError) as error:
        raise package.broken() from error


def _heading_levels(document: Docx) -> dict[str, int]:
    """Level by style id, for the heading styles and what is based on them."""
    levels: dict[str, int] = {}
    for style in document.styles:
        base, steps = style, 0
        while base is not None and steps < 10:
            label = (base.name or "").lower()
            if label == "title" or (label.startswith("heading ") and label[8:].isdigit()):
                levels[style.style_id] = 1 if label == "title" else int(label[8:])
                break
            base, steps = getattr(base, "base_style", None), steps + 1
    return levels


def _body(root: etree._Element) -> Iterator[etree._Element]:
    """Paragraphs and tables in order, those inside content controls and insertions too."""
    waiting = list(reversed(root))
    while waiting:
        element = waiting.pop()
        if element.tag in (_P, _TBL):
            yield element
        elif element.tag not in _PASSED_OVER and isinstance(element.tag, str):
            waiting.extend(reversed(element))


def _add_paragraph(builder: TextBuilder, paragraph: etree._Element, levels: dict[str, int]) -> None:
    text = _text(paragraph)
    style = paragraph.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
    style_id = style.get(qn("w:val")) if style is not None else ""
    if style_id in levels:
        builder.add("heading", " ".join(text.split()), level=levels[style_id])
    elif style_id.startswith("List") or paragraph.find(f"{qn('w:pPr')}/{qn('w:numPr')}") is not None:
        builder.add_item(f"- {text.strip()}" if text.strip() else "")
    else:
        builder.add("paragraph", text)


def _text(root: etree._Element) -> str:
    parts: list[str] = []
    waiting = [root]
    while waiting:
        element = waiting.pop()
        if element.tag in (_T, _MATH):
            parts.append(element.text or "")
        elif element.tag in _SAID:
            parts.append(_SAID[element.tag])
        elif element.tag not in _PASSED_OVER and not _hidden(element):
            if element.tag == _P and parts:
                parts.append("\n")
            waiting.extend(reversed(element))
    return "".join(parts)


def _hidden(run: etree._Element) -> bool:
    mark = run.find(f"{qn('w:rPr')}/{qn('w:vanish')}") if run.tag == qn("w:r") else None
    return mark is not None and mark.get(qn("w:val"), "1") not in ("0", "false")


def _rows(table: etree._Element) -> Iterator[list[str]]:
    """Cells by row; a table within a cell is read as the text of that cell."""
    for row in table.iterchildren(_TR):
        yield [" ".join(_text(cell).split()) for cell in row.iter(_TC) if next(cell.iterancestors(_TR)) is row]


def _add_charts(builder: TextBuilder, package: Archive, document: Docx, paragraph: etree._Element) -> None:
    for chart in paragraph.iter(qn("c:chart")):
        kind, member = package.related(document.part.partname.lstrip("/")).get(chart.get(qn("r:id"), ""), ("", ""))
        if kind == "chart":
            add_chart(builder, package.xml(member))
