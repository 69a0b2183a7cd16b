"""PDF: the text of each page, with page numbers and places, tables, and headings where the file has an outline.

pdfium is C++ fed with strangers' bytes: this reader runs in a child that may be killed (`ingest.readers.pool`).
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from ingest.errors import Broken, EmptyText, Encrypted, TooLarge
from ingest.model import BlockKind, Parsed
from ingest.readers import pdf_table
from ingest.readers.metadata import said
from ingest.readers.pdf_page import Box, Joiner, Line, around, lines_of, without_running_lines
from ingest.readers.pdf_streams import refuse_bombs
from ingest.readers.text import TextBuilder, clean, one_line

MEDIA_TYPE = "application/pdf"
MAX_PAGES = 2000
_MOST_BOOKMARKS = 5000
_ITEM = re.compile(r"[ \t]*(?:[-*•▪●○–]|\(?\d{1,3}[.)])[ \t]")
_NO_TITLE = re.compile(
    r"microsoft (?:word|powerpoint)|untitled|powerpoint presentation$|slide \d+$|document ?\d*$|\.\w{2,5}$",
    re.IGNORECASE,
)
_METADATA = {"author": "Author", "created": "CreationDate", "modified": "ModDate", "tags": "Keywords"}
_LONGEST_LANGUAGE = 64  # bytes
_ROOM = 0.4  # heights of a line
_LETTERS = re.compile(r"[^\W\d_]{2}")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A block to be. `level` is that of a heading."""

    kind: BlockKind
    text: str
    box: Box
    level: int | None = None


def read(name: str, data: bytes, max_pages: int = MAX_PAGES) -> Parsed:
    """Text of all pages. Raises Broken, Encrypted, TooLarge (more than `max_pages`), EmptyText (a scan) and ArchiveBomb."""
    refuse_bombs(name, data)
    document = _open(name, data)
    try:
        if len(document) > max_pages:
            raise TooLarge(f"{name} has {len(document)} pages; the limit is {max_pages}.")
        pages, pictures = _pages(document)
        headings, title, metadata = _bookmarks(document), _title(document), _metadata(document)
    finally:
        document.close()
    builder = TextBuilder()
    join = Joiner(pages)
    kept = without_running_lines(pages)
    for number, lines in enumerate(kept if any(kept) else pages, start=1):
        for piece in _pieces([join.line(line) for line in lines], headings.get(number - 1, ())):
            gap = "\n" if piece.kind == "table" else "\n\n"
            builder.add(piece.kind, piece.text, page=number, level=piece.level, gap=gap, box=piece.box)
    if not builder.text:
        why = f": {len(pictures)} of its {len(pages)} pages are pictures" if pictures else ""
        raise EmptyText(f"{name} holds no text{why}.")
    metadata |= {"pages_without_text": _ranges(pictures)} if pictures else {}
    return Parsed(title, builder.text, tuple(builder.blocks), MEDIA_TYPE, len(pages), metadata)


def _open(name: str, data: bytes) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if error.err_code in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
            raise Encrypted(f"{name} is protected with a password.") from error
        raise Broken(f"{name} is not a readable PDF file.") from error


def _pages(document: pdfium.PdfDocument) -> tuple[list[list[Line]], list[int]]:
    """Lines of each page, and the numbers of those pages that show something but no text; a page that does not load
    has no lines."""
    pages: list[list[Line]] = []
    pictures: list[int] = []
    for number in range(len(document)):
        try:
            page = document[number]
        except pdfium.PdfiumError:
            pages.append([])
            continue
        try:
            pages.append(lines_of(page))
            if not pages[-1] and pdfium_c.FPDFPage_CountObjects(page.raw) > 0:
                pictures.append(number + 1)
        finally:
            page.close()
    return pages, pictures


def _ranges(numbers: Sequence[int]) -> str:
    """`3, 7-9`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def _bookmarks(document: pdfium.PdfDocument) -> dict[int, list[tuple[int, str]]]:
    """Level and title of the outline's entries by page (from 0), in the outline's order."""
    found: dict[int, list[tuple[int, str]]] = {}
    try:
        for number, bookmark in enumerate(document.get_toc(max_depth=8)):
            destination = bookmark.get_dest()
            page = destination.get_index() if destination is not None else None
            title = one_line(clean(bookmark.get_title()))
            if page is not None and title:
                found.setdefault(page, []).append((bookmark.level + 1, title))
            if number > _MOST_BOOKMARKS:
                break
    except (pdfium.PdfiumError, UnicodeError):
        return found
    return found


def _title(document: pdfium.PdfDocument) -> str:
    """The title the file carries, unless it is one that programs write by themselves, or a number."""
    try:
        title = one_line(clean(document.get_metadata_value("Title")))
    except (pdfium.PdfiumError, UnicodeError):
        return ""
    return title if _LETTERS.search(title) and not _NO_TITLE.search(title) else ""


def _metadata(document: pdfium.PdfDocument) -> dict[str, str]:
    found: list[tuple[str, str]] = []
    for key, name in _METADATA.items():
        with contextlib.suppress(pdfium.PdfiumError, UnicodeError):
            found.append((key, document.get_metadata_value(name)))
    buffer = (pdfium_c.FPDF_WCHAR * _LONGEST_LANGUAGE)()
    size = pdfium_c.FPDFCatalog_GetLanguage(document.raw, buffer, _LONGEST_LANGUAGE)
    if 0 < size <= _LONGEST_LANGUAGE:
        found.append(("language", bytes(buffer)[: size - 2].decode("utf-16-le", "ignore")))
    return said(found)


def _pieces(lines: Sequence[Line], headings: Sequence[tuple[int, str]]) -> Iterator[_Piece]:
    """Paragraphs, tables and headings of a page; a line that says what the outline says is a heading."""
    expected = {_plain(title): level for level, title in headings}
    paragraph = _Paragraph(lines)
    for part in pdf_table.parts(lines):
        if isinstance(part, list):
            yield from paragraph.taken()
            yield from (_Piece("table", row.text, row.box) for row in part)
            continue
        level = expected.pop(_plain(part.text), None)
        if level is not None:
            yield from paragraph.taken()
            yield _Piece("heading", part.text, part.box, level)
            continue
        if paragraph.ends_before(part):
            yield from paragraph.taken()
        paragraph.add(part)
    yield from paragraph.taken()


class _Paragraph:
    """Lines that go on where the one before ends. A page knows no paragraphs, so its own measures tell."""

    def __init__(self, lines: Sequence[Line]) -> None:
        lengths = sorted(len(line.text) for line in lines)
        self._full = lengths[len(lengths) * 3 // 4] * 0.75 if lengths else 0
        self._lines: list[Line] = []

    def add(self, line: Line) -> None:
        self._lines.append(line)

    def ends_before(self, line: Line) -> bool:
        """An item begins, or there is room in between, or the line before is short and ends a sentence."""
        if not self._lines:
            return False
        last = self._lines[-1]
        ended = last.text.endswith((".", "!", "?", ":"))
        return bool(_ITEM.match(line.text)) or _room_between(last, line) or (ended and len(last.text) < self._full)

    def taken(self) -> Iterator[_Piece]:
        """What was gathered, which is then gone."""
        if self._lines:
            text = "\n".join(line.text for line in self._lines)
            yield _Piece("paragraph", text, around(line.box for line in self._lines))
        self._lines = []


def _room_between(last: Line, line: Line) -> bool:
    """Whether a line stands clear below the one before. A column that goes on at its top may go on in a sentence."""
    return last.box[1] - line.box[3] > _ROOM * min(last.box[3] - last.box[1], line.box[3] - line.box[1])


def _plain(text: str) -> str:
    """Letters and digits only, and no numbering in front: outlines and pages differ in the rest."""
    return "".join(letter for letter in text.lower() if letter.isalnum()).lstrip("0123456789.")[:200]
