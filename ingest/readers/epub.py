"""EPUB: the chapters in reading order by the reader for HTML, under the names that the table of contents gives them."""

import posixpath
from urllib.parse import unquote

from lxml import etree  # type: ignore[import-untyped]  # its stubs are a package of their own

from ingest.errors import EmptyText, Encrypted
from ingest.model import Parsed
from ingest.readers import html, properties
from ingest.readers.archive import Archive, local
from ingest.readers.text import Outline, TextBuilder, decode, not_empty, one_line

MEDIA_TYPE = "application/epub+zip"
_FONTS = (b"http://www.idpf.org/2008/embedding", b"http://ns.adobe.com/pdf/enc#RC")


def read(name: str, data: bytes) -> Parsed:
    """Every chapter of the spine. Raises Broken, Encrypted (copy protection), TooLarge and EmptyText."""
    package = Archive(name, data, "EPUB")
    _refuse_locked(package)
    container = package.xml("META-INF/container.xml")
    main = next((found.get("full-path", "") for found in container.iter() if local(found) == "rootfile"), "")
    book = package.xml(main)
    items = {found.get("id", ""): found for found in book.iter() if local(found) == "item"}
    names = _contents(package, main, list(items.values()))
    builder = TextBuilder()
    order = dict.fromkeys(found.get("idref", "") for found in book.iter() if local(found) == "itemref")
    for item in (items.get(key) for key in order):  # each once: a book may say its chapter a million times
        member = _member(main, item.get("href", "")) if item is not None else ""
        if item is not None and member in package.members and "nav" not in item.get("properties", "").split():
            _add_chapter(builder, package, member, names.get(member, ""))
    text = not_empty(name, builder.text)
    title, metadata = properties.book(book)
    return Parsed(title, text, tuple(builder.blocks), MEDIA_TYPE, metadata=metadata)


def _refuse_locked(package: Archive) -> None:
    """Fonts may be scrambled and the text readable; anything else that is encrypted is the text."""
    listed = "META-INF/encryption.xml"
    if listed not in package.members:
        return
    for method in (found for found in package.xml(listed).iter() if local(found) == "EncryptionMethod"):
        if method.get("Algorithm", "").encode() not in _FONTS:
            raise Encrypted(f"{package.name} is protected against copying.", "Ingest an unprotected copy.")


def _add_chapter(builder: TextBuilder, package: Archive, member: str, chapter: str) -> None:
    data = package.read(member)
    builder.outline = Outline()
    try:
        page = html.main_text(decode(f"{package.name}/{member}", data), xml=True)
    except EmptyText:
        return
    first = next((block.heading_path[-1] for block in page.blocks if block.kind == "heading"), "")
    shift = 0
    if chapter and chapter.casefold() != first.casefold() and page.blocks:
        builder.add("heading", chapter, level=1)
        shift = 1
    for block in page.blocks:
        level = shift + len(block.heading_path) if block.kind == "heading" else None
        builder.add(block.kind, page.text[block.start : block.end], level=level)


def _contents(package: Archive, main: str, items: list[etree._Element]) -> dict[str, str]:
    """What the table of contents calls each member: that of EPUB 3, or else that of EPUB 2."""
    found: dict[str, str] = {}
    for item in items:
        member = _member(main, item.get("href", ""))
        if member not in package.members:
            continue
        if "nav" in item.get("properties", "").split():
            for link in (element for element in package.xml(member).iter() if local(element) == "a"):
                found.setdefault(_member(member, link.get("href", "")), one_line("".join(link.itertext())))
        elif item.get("media-type") == "application/x-dtbncx+xml":
            for point in (element for element in package.xml(member).iter() if local(element) == "navPoint"):
                parts = {local(part): part for part in point}
                if "content" in parts and "navLabel" in parts:
                    label = one_line("".join(parts["navLabel"].itertext()))
                    found.setdefault(_member(member, parts["content"].get("src", "")), label)
    return found


def _member(base: str, href: str) -> str:
    """The member that a link means, without the place in it."""
    path = unquote(href.partition("#")[0])
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(base), path)).lstrip("/")
