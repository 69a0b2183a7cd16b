"""Source code of any language: the stored text is the source, a block is a definition.

Python is read by its own grammar. In other languages a definition begins at the margin, behind a blank line or with a
word that defines; that is right often enough to cut by, and wrong cuts lose nothing.
"""

import ast
import re
import warnings
from collections.abc import Iterator

from ingest.model import Block, Parsed
from ingest.readers.text import Lines, decode, one_line

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_KEYWORD = re.compile(
    r"(?:(?:export|default|pub|public|private|protected|internal|static|final|abstract|async|open|data|sealed|unsafe|extern"
    r"|inline|const|virtual|override)[ \t]+|pub\([a-z]+\)[ \t]+){0,6}"
    r"(?:func|function|fn|def|class|struct|enum|interface|trait|impl|type|module|namespace|object|record|protocol|sub"
    r"|CREATE (?:TABLE|VIEW|INDEX|FUNCTION))\b[ \t(]*[\w*$.:<>]",
)
_CLOSING = tuple(")]}")
_COMMENT = ("#", "//", "/*", "*", "--", "@", ";;")


def read(name: str, data: bytes) -> Parsed:
    """Blocks by definition with exact lines; source code has no title. Raises NotText and EmptyText."""
    text = decode(name, data)
    lines = Lines(text)
    blocks = tuple(_python(lines) if name.endswith((".py", ".pyi")) else _other(lines))
    return Parsed("", text, blocks, "text/x-source")


def _python(lines: Lines) -> Iterator[Block]:
    """By grammar; a file that does not parse is cut like any other language."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(lines.text)
        marks = [(0, ()), *_marks(lines, tree, ())]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield from _other(lines)
        return
    yield from _cut(lines, marks)


def _marks(
    lines: Lines, owner: ast.Module | ast.ClassDef, path: tuple[str, ...]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line at which each definition begins and its path; what follows the last one belongs to the owner again."""
    for node, following in zip(owner.body, [*owner.body[1:], None], strict=True):
        if not isinstance(node, _Definition):
            continue
        inner = (*path, _heading(node))
        yield _first_line(lines, node), inner
        if isinstance(node, ast.ClassDef):
            yield from _marks(lines, node, inner)
        if following is not None and not isinstance(following, _Definition):
            yield (node.end_lineno or node.lineno), path


def _heading(node: _Definition) -> str:
    return f"class {node.name}" if isinstance(node, ast.ClassDef) else f"def {node.name}"


def _first_line(lines: Lines, node: _Definition) -> int:
    """With its decorators and the comment that stands directly above."""
    line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
    return line


def _other(lines: Lines) -> Iterator[Block]:
    marks: list[tuple[int, tuple[str, ...]]] = [(0, ())]
    for number in range(len(lines)):
        line = lines[number]
        if not line or line[0] in " \t" or line.startswith(_CLOSING):
            continue
        above = lines[number - 1] if number else ""
        if _KEYWORD.match(line):
            if not above.startswith(_COMMENT) or len(marks) == 1:
                marks.append((number, (_signature(line),)))
            else:
                marks[-1] = (marks[-1][0], (_signature(line),))
        elif not above.strip():
            marks.append((number, ()))
    yield from _cut(lines, marks)


def _signature(line: str) -> str:
    """The defining line up to its body or parameters' values: `func Foo(a int)`."""
    return one_line(line.split("{", 1)[0].rstrip(" :="), 80)


def _cut(lines: Lines, marks: list[tuple[int, tuple[str, ...]]]) -> Iterator[Block]:
    for (first, path), (last, _) in zip(marks, [*marks[1:], (len(lines), ())], strict=True):
        if block := lines.block("code", first, last, path):
            yield block
