"""DOCX: headings, paragraphs, lists and tables in document order, with the numbers that Word shows in front of them.

The XML is walked and no library used: it would leave out inserted text, content controls, notes and numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree  # type: ignore[import-untyped]  # its stubs are a package of their own

from ingest.model import Parsed
from ingest.readers.archive import Archive, local
from ingest.readers.drawing import add_chart
from ingest.readers.formula import SPACE, spelled
from ingest.readers.numbering import Numbering
from ingest.readers.properties import office
from ingest.readers.tables import add_table
from ingest.readers.text import TextBuilder, not_empty

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_R_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}chart"
_MATH = f"{{{SPACE}}}t"
_P, _TBL, _TR, _TC, _T = (f"{_W}{name}" for name in ("p", "tbl", "tr", "tc", "t"))
_SAID = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
# Deleted and moved text, properties, hidden runs' markers, fallbacks that say a shape a second time, field codes.
_PASSED_OVER = {f"{_W}{name}" for name in ("del", "moveFrom", "pPr", "rPr", "instrText", "delText", "sdtPr")} | {
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
}
_NOTES = {"footnotes": "Footnote", "endnotes": "Endnote", "comments": "Comment"}
_STEPS = 10  # of styles that are based on one another


@dataclass(slots=True)
class _Style:
    """What counts of a paragraph style: its level as a heading (0 for none), whether it is of a list, its numbering."""

    level: int = 0
    listed: bool = False
    numbering: tuple[str, int] | None = None


@dataclass(slots=True)
class _Parts:
    """What the body refers to."""

    styles: dict[str, _Style] = field(default_factory=dict)
    numbering: Numbering = field(default_factory=lambda: Numbering(None))
    notes: dict[tuple[str, str], str] = field(default_factory=dict)  # by kind of reference and id
    charts: dict[str, str] = field(default_factory=dict)  # members by id


def read(name: str, data: bytes) -> Parsed:
    """Text of the body. Raises Broken, Encrypted, TooLarge, EmptyText, ArchiveBomb and XmlEntities."""
    package = Archive(name, data, "DOCX")
    main = package.one("", "officeDocument")
    root = package.xml(main) if main else None
    if main is None or root is None or root.tag != f"{_W}document":
        raise package.broken()
    builder = TextBuilder()
    parts = _parts(package, main)
    for element in _body(root):
        if element.tag == _TBL:
            add_table(builder, list(_rows(element)), marked=element.find(f".//{_W}tblHeader") is not None)
        else:
            _add_paragraph(builder, element, parts)
        _add_referred(builder, package, element, parts)
    text = not_empty(name, builder.text)
    heading = next((block.heading_path[-1] for block in builder.blocks if block.kind == "heading"), "")
    title, metadata = office(package)
    return Parsed(title or heading, text, tuple(builder.blocks), MEDIA_TYPE, metadata=metadata)


def _parts(package: Archive, main: str) -> _Parts:
    parts = _Parts()
    for key, (kind, member) in package.related(main).items():
        if kind == "styles":
            parts.styles = _styles(package.xml(member))
        elif kind == "numbering":
            parts.numbering = Numbering(package.xml(member))
        elif kind == "chart":
            parts.charts[key] = member
        elif kind in _NOTES:
            for note in package.xml(member):
                if _value(note, "type") in ("", "normal"):
                    parts.notes[f"{kind[:-1]}Reference", _value(note, "id")] = f"{_NOTES[kind]}: {_text(note).strip()}"
    return parts


def _styles(root: etree._Element) -> dict[str, _Style]:
    """By id, each with what it has from those it is based on."""
    elements = {_value(style, "styleId"): style for style in root.iterchildren(f"{_W}style")}
    return {key: _style(style, elements) for key, style in elements.items()}


def _style(style: etree._Element | None, elements: dict[str, etree._Element]) -> _Style:
    found = _Style()
    for _ in range(_STEPS):
        if style is None:
            break
        label = _child_value(style, "name").lower()
        if not found.level and (label == "title" or (label.startswith("heading ") and label[8:].isdigit())):
            found.level = 1 if label == "title" else int(label[8:])
        found.listed = found.listed or label.startswith("list")
        found.numbering = found.numbering or _numbering(style)
        style = elements.get(_child_value(style, "basedOn"))
    return found


def _value(element: etree._Element | None, attribute: str) -> str:
    return "" if element is None else str(element.get(f"{_W}{attribute}", ""))


def _child_value(element: etree._Element, path: str) -> str:
    return _value(element.find("/".join(f"{_W}{step}" for step in path.split("/"))), "val")


def _numbering(owner: etree._Element) -> tuple[str, int] | None:
    """List and level that a paragraph or a style is of; the list `0` takes one away."""
    number, level = _child_value(owner, "pPr/numPr/numId"), _child_value(owner, "pPr/numPr/ilvl")
    return (number, int(level) if level.isdecimal() and len(level) < 3 else 0) if number else None


def _body(root: etree._Element) -> Iterator[etree._Element]:
    """Paragraphs and tables in order, those inside content controls and insertions too."""
    waiting = list(reversed(root))
    while waiting:
        element = waiting.pop()
        if element.tag in (_P, _TBL):
            yield element
        elif element.tag not in _PASSED_OVER and isinstance(element.tag, str):
            waiting.extend(reversed(element))


def _add_paragraph(builder: TextBuilder, paragraph: etree._Element, parts: _Parts) -> None:
    text = _text(paragraph)
    style = parts.styles.get(_child_value(paragraph, "pPr/pStyle"), _Style())
    number, level = _numbering(paragraph) or style.numbering or ("0", 0)
    mark = parts.numbering.mark(number, level) if number != "0" and text.strip() else ""
    if style.level:
        shown = "" if mark == "-" else f"{mark} "
        builder.add("heading", " ".join(f"{shown}{text}".split()), level=style.level)
    elif number != "0" or style.listed:
        said = f"{mark or '-'} {text.strip()}"
        builder.add_item(f"{'  ' * min(level, 8)}{said}" if text.strip() else "")
    else:
        builder.add("paragraph", text)


def _text(root: etree._Element) -> str:
    parts: list[str] = []
    waiting: list[etree._Element | str] = [root]
    while waiting:
        element = waiting.pop()
        if isinstance(element, str):
            parts.append(element)
        elif element.tag in (_T, _MATH):
            parts.append(element.text or "")
        elif element.tag in _SAID:
            parts.append(_SAID[element.tag])
        elif element.tag not in _PASSED_OVER and not _hidden(element):
            if element.tag == _P and parts:
                parts.append("\n")
            waiting.extend(reversed(spelled(element) or element))
    return "".join(parts)


def _hidden(run: etree._Element) -> bool:
    mark = run.find(f"{_W}rPr/{_W}vanish") if run.tag == f"{_W}r" else None
    return mark is not None and mark.get(f"{_W}val", "1") not in ("0", "false")


def _rows(table: etree._Element) -> Iterator[list[str]]:
    """Cells by row; a table within a cell is read as the text of that cell."""
    for row in table.iterchildren(_TR):
        yield [" ".join(_text(cell).split()) for cell in row.iter(_TC) if next(cell.iterancestors(_TR)) is row]


def _add_referred(builder: TextBuilder, package: Archive, element: etree._Element, parts: _Parts) -> None:
    """Charts that stand in it, and the notes and comments on it, right behind it."""
    if parts.charts:
        for chart in element.iter(_CHART):
            if member := parts.charts.get(chart.get(_R_ID, "")):
                add_chart(builder, package.xml(member))
    if parts.notes:
        for reference in element.iter(*(f"{_W}{kind}" for kind, _ in parts.notes)):
            said = parts.notes.get((local(reference), _value(reference, "id")), "")
            builder.add("paragraph", said)
