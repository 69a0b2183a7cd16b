"""DrawingML, which slides, sheets and documents share: the text of shapes and the figures of charts.

Elements are known by their local names: the strict form of the formats has other namespaces.
"""

from collections.abc import Iterator

from lxml import etree  # type: ignore[import-untyped]  # its stubs are a package of their own

from ingest.readers.archive import local
from ingest.readers.tables import add_rows, one_cell
from ingest.readers.text import TextBuilder

_MOST_POINTS = 5000  # of one series


def paragraph_text(paragraph: etree._Element) -> str:
    """Runs, fields and formulas of one `a:p`; its breaks are line feeds."""
    parts: list[str] = []
    for element in paragraph.iter():
        match local(element):
            case "t":
                parts.append(element.text or "")
            case "br":
                parts.append("\n")
            case "tab":
                parts.append("\t")
    return "".join(parts).strip()


def drawing_text(root: etree._Element) -> Iterator[str]:
    """Paragraphs of all shapes in order; what a fallback says a second time is left out."""
    for paragraph in (element for element in root.iter() if local(element) == "p"):
        if all(local(above) != "Fallback" for above in paragraph.iterancestors()):
            yield paragraph_text(paragraph)


def add_chart(builder: TextBuilder, root: etree._Element, *, page: int | None = None) -> None:
    """Titles of a chart and of its axes, then a line for each category with the value of each series."""
    titles = [one_cell(" ".join(drawing_text(found))) for found in root.iter() if local(found) == "title"]
    builder.add("paragraph", "\n".join(filter(None, titles)), page=page)
    names: list[str] = [""]
    rows: dict[int, list[str]] = {}
    for series in (found for found in root.iter() if local(found) == "ser"):
        parts = {local(part): part for part in series}
        names.append(next(iter(_points(parts.get("tx")).values()), ""))
        for place, label in _points(parts.get("cat", parts.get("xVal"))).items():
            rows.setdefault(place, [""])[0] = label
        for place, value in _points(parts.get("val", parts.get("yVal"))).items():
            row = rows.setdefault(place, [""])
            row += [""] * (len(names) - 1 - len(row)) + [value]
    add_rows(builder, ((None, rows[place]) for place in sorted(rows)), names, page=page)


def _points(part: etree._Element | None) -> dict[int, str]:
    """The values that the file keeps of one part of a series, by their place; a plain value has the first."""
    found: dict[int, str] = {}
    for value in (element for element in (part.iter() if part is not None else ()) if local(element) == "v"):
        owner = value.getparent()
        place = owner.get("idx", "0") if owner is not None else "0"
        if len(found) < _MOST_POINTS and place.isdecimal() and len(place) < 8:
            found[int(place)] = one_cell(value.text or "")
    return found
