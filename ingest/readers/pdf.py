"""PDF: the text of each page, with page numbers, and headings where the file has an outline.

pdfium is C++ fed with strangers' bytes: this reader runs in a child that may be killed (`ingest.readers.pool`).
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from ingest.errors import Broken, Encrypted, TooLarge
from ingest.model import BlockKind, Parsed
from ingest.readers.text import TextBuilder, clean, not_empty, one_line

MEDIA_TYPE = "application/pdf"
MAX_PAGES = 2000
_MOST_BOOKMARKS = 5000
_HYPHEN = re.compile("([^\\W\\d_]+)[\ufffe\x02]\\s*([^\\W\\d_]+)")  # how pdfium marks a hyphen at the end of a line
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_ITEM = re.compile(r"[ \t]*(?:[-*•▪●○–]|\(?\d{1,3}[.)])[ \t]")
_DIGITS = re.compile(r"\d+")
_NO_TITLE = re.compile(r"microsoft (?:word|powerpoint)|untitled|\.\w{2,5}$|^\W*$", re.IGNORECASE)


def read(name: str, data: bytes, max_pages: int = MAX_PAGES) -> Parsed:
    """Text of all pages. Raises Broken, Encrypted, TooLarge (more than `max_pages`) and EmptyText (a scan)."""
    document = _open(name, data)
    try:
        if len(document) > max_pages:
            raise TooLarge(f"{name} has {len(document)} pages; the limit is {max_pages}.")
        pages = _without_running_lines([_page_lines(document, number) for number in range(len(document))])
        headings, title, count = _bookmarks(document), _title(document), len(document)
    finally:
        document.close()
    builder = TextBuilder()
    join = _Joiner(pages)
    for number, lines in enumerate(pages, start=1):
        for kind, text, level in _page_blocks([join(line) for line in lines], headings.get(number - 1, ())):
            builder.add(kind, text, page=number, level=level)
    text = not_empty(name, builder.text)
    return Parsed(title, text, tuple(builder.blocks), MEDIA_TYPE, pages=count)


def _open(name: str, data: bytes) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if error.err_code in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
            raise Encrypted(f"{name} is protected with a password.") from error
        raise Broken(f"{name} is not a readable PDF file.") from error


def _page_lines(document: pdfium.PdfDocument, number: int) -> list[str]:
    """Lines of one page, top to bottom as pdfium reads them; a page that does not load has none."""
    try:
        page = document[number]
    except pdfium.PdfiumError:
        return []
    try:
        textpage = page.get_textpage()
        text: str = textpage.get_text_range()
        textpage.close()
    finally:
        page.close()
    return [line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]


def _without_running_lines(pages: Sequence[list[str]]) -> list[list[str]]:
    """Page numbers and running titles are no text: a first or last line that most pages share, digits apart."""
    seen: Counter[str] = Counter()
    for lines in pages:
        seen.update({_shape(line) for line in _edges(lines)})
    often = {shape for shape, times in seen.items() if shape and times >= 4 and times * 2 > len(pages)}
    return [_strip_edges(lines, often) for lines in pages]


def _edges(lines: list[str]) -> list[str]:
    full = [line for line in lines if line.strip()]
    return [*full[:1], *full[-1:]]


def _shape(line: str) -> str:
    return _DIGITS.sub("0", " ".join(line.split()))[:120]


def _strip_edges(lines: list[str], often: set[str]) -> list[str]:
    full = [number for number, line in enumerate(lines) if line.strip()]
    drop = {number for number in (*full[:1], *full[-1:]) if _shape(lines[number]) in often}
    return [line for number, line in enumerate(lines) if number not in drop]


class _Joiner:
    """Puts words back together that a line break divided, but only where the document itself says it is one word."""

    def __init__(self, pages: Sequence[list[str]]) -> None:
        self._words = {word.lower() for lines in pages for line in lines for word in _WORD.findall(line)}

    def __call__(self, line: str) -> str:
        joined = _HYPHEN.sub(lambda found: self._joined(found.group(1), found.group(2)), line)
        return joined.replace("\ufffe", "-").replace("\x02", "-")

    def _joined(self, left: str, right: str) -> str:
        """The whole word stands elsewhere; or the left half never stands alone, nor does the word with its hyphen."""
        whole, hyphened = (left + right).lower(), f"{left}-{right}".lower()
        if whole in self._words and hyphened not in self._words:
            return left + right
        return f"{left}-{right}"


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
    """The title the file carries, unless it is one that programs write by themselves."""
    try:
        title = one_line(clean(document.get_metadata_value("Title")))
    except (pdfium.PdfiumError, UnicodeError):
        return ""
    return "" if _NO_TITLE.search(title) else title


def _page_blocks(lines: list[str], headings: Sequence[tuple[int, str]]) -> Iterator[tuple[BlockKind, str, int | None]]:
    """Paragraphs of a page; a line that says what the outline says is a heading."""
    expected = {_plain(title): level for level, title in headings}
    usual = sorted(len(line) for line in lines if line.strip())
    full = usual[len(usual) * 3 // 4] * 0.75 if usual else 0
    waiting: list[str] = []
    for line in lines:
        level = expected.pop(_plain(line), None)
        if level is not None or not line.strip() or _ITEM.match(line):
            yield "paragraph", "\n".join(waiting), None
            waiting = []
        if level is not None:
            yield "heading", line, level
            continue
        waiting.append(line)
        if len(line) < full and line.rstrip().endswith((".", "!", "?", ":")):
            yield "paragraph", "\n".join(waiting), None
            waiting = []
    yield "paragraph", "\n".join(waiting), None


def _plain(text: str) -> str:
    """Letters and digits only, and no numbering in front: outlines and pages differ in the rest."""
    return "".join(letter for letter in text.lower() if letter.isalnum()).lstrip("0123456789.")[:200]
