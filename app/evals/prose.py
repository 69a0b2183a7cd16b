"""Prose to make claims of: paragraphs of the documentation that installed packages carry with them. All are under licences
that permit it (BSD, MIT, Apache 2.0, PSF), and none of it is copied into the project."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

_PACKAGES = ("scipy", "sklearn", "networkx", "sympy", "transformers", "torch", "numpy")
_LARGEST = 400_000  # bytes of a source file; larger ones are generated
_SHORTEST, _LONGEST = 150, 1500  # characters of a paragraph
_MARKUP = re.compile(r">>>|::|\||={3,}|-{3,}|\\\\|\^|:math:|:param|`[^`]{25,}`|^\.\.|^[-*\d]|Args:|Returns:|optional")
_ROLE = re.compile(r":\w+:`")
_QUOTED = re.compile(r"``|`|\*\*|\[\d+\]_")
_PROSE = 0.9  # share of letters and spaces


def paragraphs() -> list[str]:
    """In a fixed order, none twice."""
    found: dict[str, None] = {}
    for text in _docstrings():
        for part in re.split(r"\n\s*\n", text):
            plain = " ".join(part.split())
            if _is_prose(plain):
                found[_QUOTED.sub("", _ROLE.sub("`", plain))] = None
    return list(found)


def _docstrings() -> Iterator[str]:
    import pydoc_data.topics

    yield from pydoc_data.topics.topics.values()
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        for root in (spec.submodule_search_locations or []) if spec else []:
            for file in sorted(Path(root).rglob("*.py")):
                if "tests" not in file.parts and file.stat().st_size <= _LARGEST:
                    yield from _of_file(file)


def _of_file(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_text("utf-8"))
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            yield text


def _is_prose(text: str) -> bool:
    if not _SHORTEST <= len(text) <= _LONGEST or _MARKUP.search(text):
        return False
    letters = sum(c.isalpha() or c == " " for c in text)
    return text[0].isupper() and text.endswith(".") and letters >= _PROSE * len(text)
