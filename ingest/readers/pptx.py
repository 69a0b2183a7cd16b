"""PPTX: slide by slide, the title as a heading and the slide's number as the page; then what the speaker notes say.

The XML is walked and no library used: there is nothing to gain from one but the parsing of pictures.
"""

from collections.abc import Iterator

from lxml import etree  # type: ignore[import-untyped]  # its stubs are a package of their own

from ingest.model import Parsed
from ingest.readers.archive import Archive, local
from ingest.readers.drawing import add_chart, drawing_text, paragraph_text
from ingest.readers.properties import office
from ingest.readers.tables import Row, add_rows, is_header, one_cell, row_line
from ingest.readers.text import Outline, TextBuilder, not_empty

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_TITLES = ("title", "ctrTitle")
_FURNITURE = ("dt", "ftr", "hdr", "sldNum", "sldImg")  # date, footer, number
_DEEPEST = 8  # an indentation further in says nothing more


def read(name: str, data: bytes) -> Parsed:
    """Text of all slides that are shown. Raises Broken, Encrypted, TooLarge and EmptyText."""
    package = Archive(name, data, "PPTX")
    builder = TextBuilder()
    slides = _slides(package)
    for number, slide in enumerate(slides, start=1):
        _Slide(package, slide, builder, number).read()
    text = not_empty(name, builder.text)
    heading = next((block.heading_path[-1] for block in builder.blocks if block.kind == "heading"), "")
    title, metadata = office(package)
    return Parsed(title or heading, text, tuple(builder.blocks), MEDIA_TYPE, len(slides), metadata)


def _slides(package: Archive) -> list[str]:
    """The members that are the slides, in the order in which they are shown."""
    main = package.one("", "officeDocument")
    if main is None:
        raise package.broken()
    parts = package.related(main)
    ids = (_reference(found, "id") for found in package.xml(main).iter() if local(found) == "sldId")
    return [parts[found][1] for found in ids if found in parts]


def _reference(element: etree._Element, attribute: str) -> str:
    """The value of an attribute that has a namespace, which is how parts are referred to."""
    return next((value for key, value in element.attrib.items() if key.endswith(f"}}{attribute}")), "")


class _Slide:
    """One slide: title first, then its shapes in their order, its notes and its comments."""

    def __init__(self, package: Archive, member: str, builder: TextBuilder, number: int) -> None:
        self._package, self._member, self._builder, self._page = package, member, builder, number
        self._parts = package.related(member)

    def read(self) -> None:
        root = self._package.xml(self._member)
        if root.get("show") in ("0", "false"):
            return
        self._builder.outline = Outline()
        shapes = list(_shapes(root))
        for shape in shapes:
            if _placeholder(shape) in _TITLES:
                self._builder.add("heading", one_cell(" ".join(drawing_text(shape))), page=self._page, level=1)
        for shape in shapes:
            self._add(shape)
        for kind, member in self._parts.values():
            if kind == "notesSlide":
                self._add_notes(member)
            elif kind == "comments":
                self._add_comments(member)

    def _add(self, shape: etree._Element) -> None:
        role = _placeholder(shape)
        if role in _TITLES or role in _FURNITURE:
            return
        if local(shape) == "sp":
            self._add_text(shape, bulleted=role in ("body", "obj"))
            return
        for element in shape.iter():
            part = self._parts.get(_reference(element, "dm" if local(element) == "relIds" else "id"), ("", ""))
            if local(element) == "tbl":
                self._add_table(element)
            elif local(element) == "chart" and part[0] == "chart":
                add_chart(self._builder, self._package.xml(part[1]), page=self._page)
            elif local(element) == "relIds" and part[0] == "diagramData":
                for text in filter(None, drawing_text(self._package.xml(part[1]))):
                    self._builder.add_item(f"- {text}", page=self._page)

    def _add_text(self, shape: etree._Element, *, bulleted: bool) -> None:
        """Paragraphs; those with bullets or numbers are items, and so are several in the body of a slide."""
        paragraphs = [(found, paragraph_text(found)) for found in shape.iter() if local(found) == "p"]
        paragraphs = [(found, text) for found, text in paragraphs if text]
        for paragraph, text in paragraphs:
            own = next((found for found in paragraph if local(found) == "pPr"), None)
            marks = {local(found) for found in own} if own is not None else set()
            depth = own.get("lvl", "0") if own is not None else "0"
            if "buNone" not in marks and (marks & {"buChar", "buAutoNum"} or (bulleted and len(paragraphs) > 1)):
                indent = "  " * min(int(depth) if depth.isdecimal() and len(depth) < 3 else 0, _DEEPEST)
                self._builder.add_item(f"{indent}- {one_cell(text)}", page=self._page)
            else:
                self._builder.add("paragraph", text, page=self._page)

    def _add_table(self, table: etree._Element) -> None:
        """Rows behind the names of their columns, or as one block where no row names them."""
        rows: list[Row] = []
        for row in (found for found in table if local(found) == "tr"):
            cells: list[str] = []
            for place, cell in enumerate(found for found in row if local(found) == "tc"):
                above = rows[-1][place] if rows and place < len(rows[-1]) else ""
                left = cells[-1] if cells else ""
                text = one_cell(" ".join(drawing_text(cell)))
                cells.append(left if _on(cell, "hMerge") else above if _on(cell, "vMerge") else text)
            rows.append(cells)
        head = next((_on(found, "firstRow") for found in table if local(found) == "tblPr"), False)
        if len(rows) > 1 and is_header(rows[0], rows[1], marked=head):
            self._builder.add("table", row_line(rows[0]), page=self._page)
            add_rows(self._builder, ((None, row) for row in rows[1:]), rows[0], page=self._page)
        else:
            self._builder.add("table", "\n".join(" | ".join(row) for row in rows if any(row)), page=self._page)

    def _add_notes(self, member: str) -> None:
        for shape in _shapes(self._package.xml(member)):
            if _placeholder(shape) == "body":
                text = "\n".join(filter(None, drawing_text(shape)))
                self._builder.add("paragraph", text and f"Notes: {text}", page=self._page)

    def _add_comments(self, member: str) -> None:
        """Old comments say their text themselves, new ones in paragraphs."""
        for comment in self._package.xml(member).iter():
            if local(comment) == "text":
                self._builder.add("paragraph", f"Comment: {comment.text or ''}", page=self._page)
            elif local(comment) == "txBody":
                text = "\n".join(filter(None, drawing_text(comment)))
                self._builder.add("paragraph", text and f"Comment: {text}", page=self._page)


def _shapes(root: etree._Element) -> Iterator[etree._Element]:
    """Shapes and frames in order, those in groups too; of two ways to show the same, the first."""
    waiting = [root]
    while waiting:
        element = waiting.pop()
        if local(element) in ("sp", "graphicFrame"):
            yield element
        elif local(element) not in ("", "Fallback", "pic"):
            waiting.extend(reversed(element))


def _placeholder(shape: etree._Element) -> str:
    """What a shape is for: `title`, `body`, ...; empty for a shape of its own."""
    found = next((element for element in shape.iter() if local(element) == "ph"), None)
    return "" if found is None else found.get("type", "obj")


def _on(element: etree._Element, attribute: str) -> bool:
    return element.get(attribute) in ("1", "true")
