r"""Bytes to text that is safe to store, and the small tools every reader shares.

Stored text holds no NUL, no lone surrogate, no carriage return and no character that is there to be read by a machine
and not by a person. Nothing here removes or adds a line feed but for `\r\n` and `\r`, so lines keep their numbers.
"""

import codecs
import re
import unicodedata
from bisect import bisect_right
from dataclasses import replace

from ingest.errors import EmptyText, NotText
from ingest.model import Block, BlockKind
from ingest.readers import charset

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = (
    b"%PDF-",
    b"PK\x03\x04",
    b"\x89PNG",
    b"GIF8",
    b"\xff\xd8\xff",
    b"\x7fELF",
    b"\x1f\x8b",
    b"\xd0\xcf\x11\xe0",
    b"MZ\x90",
)
_ESCAPED = ((b"\x1b$)C", "iso2022_kr"), (b"\x1b$", "iso2022_jp_2"), (b"\x1b(", "iso2022_jp_2"))
_NOT_CHARSETS = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
# Shift out and shift in (14, 15) are how some East Asian encodings switch alphabets.
_CONTROLS = bytes(set(range(32)) - {9, 10, 12, 13, 14, 15, 27}) + b"\x7f"

# Escape sequences of terminals go as a whole: their letters are not text.
_ANSI = re.compile(r"\x1b\[[0-9;?]{0,32}[A-Za-z]")
# Controls, soft hyphen, zero width, bidi marks and overrides, invisible operators, interlinear annotation, byte order
# mark, surrogates, noncharacters, tag characters and the variation selectors that can carry hidden bytes.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e01ef]"
)
# The joiners belong to the spelling of Persian, Indic scripts and emoji: kept between two such characters only.
_JOINER = re.compile(
    "(?<![^\x00-\x7f\u200c\u200d])[\u200c\u200d]+|[\u200c\u200d]+(?![^\x00-\x7f\u200c\u200d])|(?<=[\u200c\u200d])[\u200c\u200d]+"
)
_SPACES = str.maketrans({"\x0b": " ", "\x0c": " ", "\x85": " "})
_SPACE_CONTROL = re.compile("[\x0b\x0c\x85]")


def clean(text: str) -> str:
    """The text as it is stored: line feeds only, and nothing invisible."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    text = _INVISIBLE.sub("", text)
    if not text.isascii():
        text = _JOINER.sub("", text)
    return text.translate(_SPACES) if _SPACE_CONTROL.search(text) else text


def decode(name: str, data: bytes, declared: str | None = None) -> str:
    """Text of bytes in whatever encoding, cleaned. `declared` is what is said of it elsewhere; what markup says of
    itself comes second. Either is believed only where it decodes. Raises NotText for bytes that are no text and
    EmptyText when nothing but white space is left."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return not_empty(name, clean(data.decode(encoding, errors="replace")))
    if data.startswith(_MAGIC):
        raise NotText(f"{name} is a binary file, not text.")
    return not_empty(name, clean(_decode_unmarked(name, data, declared)))


def not_empty(name: str, text: str) -> str:
    """The text itself. Raises EmptyText when there is nothing in it to read."""
    if not text or text.isspace():
        raise EmptyText(f"{name} holds no text.")
    return text


def _decode_unmarked(name: str, data: bytes, declared: str | None) -> str:
    wide = _wide(data)
    if wide is not None and (text := _strictly(data, wide)) is not None and _INVISIBLE.search(text[:4096]) is None:
        return text
    controls = len(data) - len(data.translate(None, _CONTROLS))
    if controls > max(3, len(data) // 200):
        raise NotText(f"{name} has the bytes of a binary file.")
    escaped = next((encoding for mark, encoding in _ESCAPED if mark in data), None)
    for encoding in (escaped, "utf-8", declared or charset.declared_in(data)):
        if encoding is not None and (text := _strictly(data, encoding)) is not None:
            return text
    return _guess(name, data)


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark: western text has a NUL in every other byte and hardly any in the others. UTF-32 has two."""
    head = data[:4096]
    if len(data) % 4 == 0 and head.count(0) > len(head) // 2:
        return "utf-32-be" if head[0] == 0 else "utf-32-le"
    half = len(head) // 2
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if half < 2 or len(data) % 2:
        return None
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 * half and odd < 0.05 * half else None


def _strictly(data: bytes, encoding: str) -> str | None:
    try:
        codec = codecs.lookup(encoding).name.replace("-", "_")
        return None if codec in _NOT_CHARSETS else data.decode(encoding)
    except (LookupError, UnicodeError, ValueError):
        return None


def _guess(name: str, data: bytes) -> str:
    encoding = charset.guess(data)
    if encoding is None:
        raise NotText(f"{name} is not text in any encoding we know.")
    return data.decode(encoding, errors="replace")


def one_line(text: str, longest: int = 200) -> str:
    """A title or heading: white space made single, cut at `longest` characters."""
    return unicodedata.normalize("NFC", " ".join(text.split()))[:longest].strip()


class Lines:
    """Where the lines of a text begin. Line numbers count from 0 here, as parsers do; `Block.line` counts from 1."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def __len__(self) -> int:
        return len(self.starts)

    def start(self, line: int) -> int:
        """Offset at which a line begins; the length of the text for lines behind the last."""
        return self.starts[line] if line < len(self.starts) else len(self.text)

    def __getitem__(self, line: int) -> str:
        return self.text[self.start(line) : self.start(line + 1)].removesuffix("\n")

    def at(self, offset: int) -> int:
        """The line that holds this offset."""
        return bisect_right(self.starts, offset) - 1

    def block(self, kind: BlockKind, first: int, last: int, heading_path: tuple[str, ...] = ()) -> Block | None:
        """Lines `first` up to, not including, `last` as a block without the white space around it; None if empty."""
        return self.span(kind, self.start(first), self.start(last), heading_path)

    def span(self, kind: BlockKind, start: int, end: int, heading_path: tuple[str, ...] = ()) -> Block | None:
        """The same by offsets. Leading spaces of the first line stay: in code they mean something."""
        body = self.text[start:end]
        end = start + len(body.rstrip())
        start += len(body) - len(body.lstrip("\n \t")) if kind != "code" else _blank_lines(body)
        return Block(kind, start, end, heading_path, line=self.at(start) + 1) if start < end else None


def _blank_lines(body: str) -> int:
    """Length of the blank lines in front."""
    lead = len(body) - len(body.lstrip())
    return body.rfind("\n", 0, lead) + 1


class Outline:
    """The headings in force while reading down a document."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, heading: str) -> tuple[str, ...]:
        """A heading of this level begins (1 is outermost); the path that now holds, itself included."""
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        if heading:
            self._open.append((level, heading))
        return self.path

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(heading for _, heading in self._open)


class TextBuilder:
    """Puts extracted text together, block by block, for formats whose source is not what is shown."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self.blocks: list[Block] = []
        self.outline = Outline()

    def add(
        self,
        kind: BlockKind,
        text: str,
        *,
        page: int | None = None,
        level: int | None = None,
        cell: str | None = None,
        gap: str = "\n\n",
        box: tuple[float, float, float, float] | None = None,
        anchor: str | None = None,
    ) -> None:
        """One block, a blank line behind the one before; with another `gap`, that behind one of its own kind and page.
        With a `level` it is a heading and opens its section."""
        text = clean(text).strip("\n" if kind == "code" else None).rstrip()
        if not text or text.isspace():
            return
        if level is not None:
            self.outline.enter(level, one_line(text))
        if self._parts:
            last = self.blocks[-1]
            gap = gap if (last.kind, last.page) == (kind, page) else "\n\n"
            self._parts.append(gap)
            self._length += len(gap)
        start, self._length = self._length, self._length + len(text)
        self._parts.append(text)
        place = None if box is None else (round(box[0], 1), round(box[1], 1), round(box[2], 1), round(box[3], 1))
        self.blocks.append(Block(kind, start, self._length, self.outline.path, page, None, cell, place, anchor))

    def add_item(self, text: str, *, page: int | None = None) -> None:
        """An item of a list: it joins the list in front of it, if that is the last block."""
        if not self.blocks or (self.blocks[-1].kind, self.blocks[-1].page) != ("list", page):
            self.add("list", text, page=page)
        elif item := clean(text).rstrip():
            self._parts.append(f"\n{item}")
            self._length += len(item) + 1
            self.blocks[-1] = replace(self.blocks[-1], end=self._length)

    @property
    def text(self) -> str:
        return "".join(self._parts)
