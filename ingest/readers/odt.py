"""OpenDocument: texts, sheets and slides, from `content.xml` alone; deleted text is left out.

Elements are walked with a stack of our own, and what says that it is repeated is repeated only as far as it matters.
"""

from collections.abc import Iterator

from lxml import etree  # type: ignore[import-untyped]  # its stubs are a package of their own

from ingest.errors import Encrypted
from ingest.model import Parsed
from ingest.readers.archive import Archive, local
from ingest.readers.properties import open_document
from ingest.readers.tables import Row, add_rows, is_header, one_cell, row_line
from ingest.readers.text import Outline, TextBuilder, not_empty

MEDIA_TYPE = "application/vnd.oasis.opendocument.text"
_GONE = (
    "tracked-changes",
    "annotation",
    "annotation-end",
    "note-citation",
    "forms",
    "sequence-decls",
    "automatic-styles",
    "",
)
_MOST_COLUMNS = 1000  # that one cell may be repeated over
_MOST_SPACES = 100
_DEEPEST = 8


def read(name: str, data: bytes) -> Parsed:
    """Headings, paragraphs, lists, tables, sheets and slides. Raises Broken, Encrypted, TooLarge and EmptyText."""
    package = Archive(name, data, "OpenDocument")
    if "META-INF/manifest.xml" in package.members and b"encryption-data" in package.read("META-INF/manifest.xml"):
        raise Encrypted(f"{name} is protected with a password.")
    walk = _Walk()
    walk.read(package.xml("content.xml"))
    text = not_empty(name, walk.builder.text)
    heading = next((block.heading_path[-1] for block in walk.builder.blocks if block.kind == "heading"), "")
    title, metadata = open_document(package)
    return Parsed(title or heading, text, tuple(walk.builder.blocks), MEDIA_TYPE, walk.page, metadata)


class _Walk:
    """One pass over the document. `page` counts slides; a text has no pages until it is laid out."""

    def __init__(self) -> None:
        self.builder = TextBuilder()
        self.page: int | None = None

    def read(self, root: etree._Element) -> None:
        waiting = [root]
        while waiting:
            element = waiting.pop()
            if local(element) == "page":
                self.page = (self.page or 0) + 1
                self.builder.outline = Outline()
            if local(element) not in _GONE and not self._takes_whole(element):
                waiting.extend(reversed(element))

    def _takes_whole(self, element: etree._Element) -> bool:
        """What becomes a block is not entered."""
        match local(element):
            case "h":
                self.builder.add("heading", one_cell(_text(element)), page=self.page, level=_level(element))
            case "p":
                self.builder.add("paragraph", _text(element), page=self.page)
            case "list":
                self._add_list(element)
            case "table":
                self._add_table(element)
            case "notes":
                self.builder.add("paragraph", _noted(element), page=self.page)
            case "frame" if _attribute(element, "class") == "title":
                self.builder.add("heading", one_cell(_text(element)), page=self.page, level=1)
            case _:
                return False
        return True

    def _add_list(self, root: etree._Element) -> None:
        """Items behind dashes, indented by depth; a heading within a list is a numbered heading."""
        waiting = [(root, 0)]
        while waiting:
            element, depth = waiting.pop()
            if local(element) == "p":
                text = one_cell(_text(element))
                self.builder.add_item(text and f"{'  ' * min(depth - 1, _DEEPEST)}- {text}", page=self.page)
            elif local(element) == "h":
                self.builder.add("heading", one_cell(_text(element)), page=self.page, level=_level(element))
            elif local(element) not in _GONE:
                deeper = depth + (local(element) == "list")
                waiting.extend((child, deeper) for child in reversed(element))

    def _add_table(self, table: etree._Element) -> None:
        """A sheet stands under its name. Rows are told behind the names of their columns, where one row names them."""
        rows = [(number, row) for number, row in _rows(table) if any(row)]
        sheet = local(table.getparent()) == "spreadsheet"
        if sheet:
            self.builder.outline = Outline()
            self.builder.add("heading", _attribute(table, "name") if rows else "", level=1)
        marked = next((True for found in table if local(found) == "table-header-rows"), False)
        header = None
        for place in range(min(len(rows) - 1, 3)):
            if is_header(rows[place][1], rows[place + 1][1], marked=marked):
                add_rows(self.builder, _named(rows[:place], sheet), None, page=self.page)
                header = rows[place][1]
                gap = "\n" if place else "\n\n"
                cell = str(rows[place][0]) if sheet else None
                self.builder.add("table", row_line(header), page=self.page, cell=cell, gap=gap)
                rows = rows[place + 1 :]
                break
        if header is None and not sheet:
            self.builder.add("table", "\n".join(" | ".join(row) for _, row in rows), page=self.page)
        else:
            add_rows(self.builder, _named(rows, sheet), header, page=self.page)


def _named(rows: list[tuple[int, Row]], sheet: bool) -> Iterator[tuple[str | None, Row]]:
    return ((str(number) if sheet else None, row) for number, row in rows)


def _rows(table: etree._Element) -> Iterator[tuple[int, Row]]:
    """Rows and their numbers; those of a table within a cell are that cell's text. Empty ones repeat by the million,
    so a repeated row is told once."""
    number = 1
    waiting = list(reversed(table))
    while waiting:
        element = waiting.pop()
        if local(element) == "table-row":
            yield number, _cells(element)
            number += _times(element, "number-rows-repeated")
        elif local(element) in ("table-rows", "table-header-rows", "table-row-group"):
            waiting.extend(reversed(element))


def _cells(row: etree._Element) -> Row:
    cells: list[str] = []
    for cell in row:
        if local(cell) in ("table-cell", "covered-table-cell"):
            cells += [one_cell(_text(cell))] * min(_times(cell, "number-columns-repeated"), _MOST_COLUMNS)
        if len(cells) > _MOST_COLUMNS:
            break
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _text(root: etree._Element) -> str:
    """All text below, with its spaces, tabs and breaks; paragraphs within stand on lines of their own."""
    parts: list[str] = []
    waiting: list[etree._Element | str] = [root]
    while waiting:
        element = waiting.pop()
        if isinstance(element, str):
            parts.append(element)
            continue
        kind = local(element)
        if kind == "s":
            parts.append(" " * min(_times(element, "c"), _MOST_SPACES))
        elif kind == "tab":
            parts.append("\t")
        elif kind == "line-break" or (kind == "p" and parts):
            parts.append("\n")
        if kind not in _GONE:
            parts.append(element.text or "")
            for child in reversed(element):
                waiting += [child.tail or "", child]
    return "".join(parts)


def _noted(notes: etree._Element) -> str:
    text = _text(notes).strip()
    return text and f"Notes: {text}"


def _level(heading: etree._Element) -> int:
    return max(1, min(_times(heading, "outline-level"), 10))


def _times(element: etree._Element, attribute: str) -> int:
    found = _attribute(element, attribute)
    return int(found) if found.isdecimal() and len(found) < 10 else 1


def _attribute(element: etree._Element, attribute: str) -> str:
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == attribute), "")
