"""What the zipped formats say of themselves: core properties of Office, `meta.xml` of OpenDocument, the book of an EPUB."""

from collections.abc import Iterator

from lxml import etree  # type: ignore[import-untyped]  # its stubs are a package of their own

from ingest.readers.archive import Archive, local
from ingest.readers.metadata import said
from ingest.readers.text import clean, one_line

# By the names of Dublin Core and its neighbours, without their namespaces.
_OFFICE = {
    "creator": "author",
    "created": "created",
    "modified": "modified",
    "language": "language",
    "keywords": "tags",
}
_OPEN = {
    "initial-creator": "author",
    "creation-date": "created",
    "date": "modified",
    "language": "language",
    "keyword": "tags",
}
_BOOK = {
    "creator": "author",
    "date": "created",
    "language": "language",
    "subject": "tags",
    "source": "url",
    "identifier": "url",
}
_NO_TITLE = ("", "powerpoint presentation", "presentation", "untitled", "word document")

Properties = tuple[str, dict[str, str]]


def office(package: Archive) -> Properties:
    """Title and metadata of a DOCX, PPTX or XLSX."""
    member = package.one("", "core-properties")
    return _found(package.xml(member), _OFFICE) if member else ("", {})


def open_document(package: Archive) -> Properties:
    """Title and metadata of an ODT, ODS or ODP."""
    return _found(package.xml("meta.xml"), _OPEN) if "meta.xml" in package.members else ("", {})


def book(root: etree._Element) -> Properties:
    """Title and metadata of an EPUB, from its package document."""
    title, metadata = _found(root, _BOOK)
    changed = (found.text for found in root.iter() if found.get("property") == "dcterms:modified")
    return title, metadata | said(("modified", text) for text in changed)


def _found(root: etree._Element, keys: dict[str, str]) -> Properties:
    titles = [one_line(clean(found.text or "")) for found in root.iter() if local(found) == "title"]
    title = next((title for title in titles if title.lower() not in _NO_TITLE), "")
    return title, said(_pairs(root, keys))


def _pairs(root: etree._Element, keys: dict[str, str]) -> Iterator[tuple[str, str]]:
    for element in root.iter():
        if (key := keys.get(local(element))) and element.text:
            yield key, element.text
