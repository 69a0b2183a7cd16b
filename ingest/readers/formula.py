"""Formulas of Office in one line, as people write them in mail: `(-b±√(b^2-4ac))/(2a)`.

Without it a fraction reads like a product, and a square like a number of two digits.
"""

from collections.abc import Mapping

from lxml import etree  # type: ignore[import-untyped]  # its stubs are a package of their own

from ingest.readers.archive import local

SPACE = "http://schemas.openxmlformats.org/officeDocument/2006/math"
# What stands between the parts of each kind of formula; a name in braces is a part.
_FORMS: Mapping[str, tuple[str, ...]] = {
    "f": ("(", "{num}", ")/(", "{den}", ")"),
    "sSup": ("{e}", "^", "{sup}"),
    "sSub": ("{e}", "_", "{sub}"),
    "sSubSup": ("{e}", "_", "{sub}", "^", "{sup}"),
    "rad": ("{deg}", "√(", "{e}", ")"),
    "func": ("{fName}", " ", "{e}"),
    "nary": ("{chr}", "_(", "{sub}", ")^(", "{sup}", ") ", "{e}"),
    "d": ("{beg}", "{e}", "{end}"),
    "m": ("[", "{mr}", "]"),
    "mr": ("{e}", "; "),
}
_CHARACTERS = {"chr": "∫", "beg": "(", "end": ")"}
_PROPERTIES = {"nary": "naryPr", "d": "dPr"}


def spelled(element: etree._Element) -> list[etree._Element | str] | None:
    """The parts of a formula in their order and what stands between them; None for an element that is no such form."""
    if not isinstance(element.tag, str) or not element.tag.startswith(f"{{{SPACE}}}"):
        return None
    kind = local(element)
    if kind not in _FORMS:
        return None
    found: list[etree._Element | str] = []
    for piece in _FORMS[kind]:
        if not piece.startswith("{"):
            found.append(piece)
        elif (name := piece[1:-1]) in _CHARACTERS:
            found.append(_character(element, name, _PROPERTIES[kind]))
        else:
            found += _parts(element, name, bracketed=kind.startswith("s"))
    return found


def _parts(element: etree._Element, name: str, *, bracketed: bool) -> list[etree._Element | str]:
    """Parts of one name; several, such as the cells of a row, divided by commas. What is raised or lowered stands in
    brackets where it is more than a letter."""
    parts: list[etree._Element | str] = []
    for part in element.iterchildren(f"{{{SPACE}}}{name}"):
        parts += [", ", part] if parts and name == "e" else [part]
    long = sum(len(text) for part in parts if not isinstance(part, str) for text in part.itertext()) > 1
    return ["(", *parts, ")"] if bracketed and name != "e" and long else parts


def _character(element: etree._Element, name: str, properties: str) -> str:
    """The sign that the properties name, or the usual one."""
    prefix = f"{{{SPACE}}}"
    tag = {"beg": "begChr", "end": "endChr"}.get(name, name)
    found = element.find(f"{prefix}{properties}/{prefix}{tag}")
    return _CHARACTERS[name] if found is None else str(found.get(f"{prefix}val", ""))[:1]
