"""Jupyter notebooks: Markdown cells by their structure, code cells as code, the text of what they printed, in brief.

The number of a cell counts all cells from 1, as they stand in the notebook.
"""

from typing import Any

from ingest.errors import Broken
from ingest.model import Parsed
from ingest.readers import markdown
from ingest.readers.json_lines import parse
from ingest.readers.metadata import key_of, said
from ingest.readers.text import TextBuilder, clean, decode, not_empty, one_line

MEDIA_TYPE = "application/x-ipynb+json"
_LONGEST_OUTPUT = 2000  # characters of one cell; what is longer is a log or a dump


def read(name: str, data: bytes) -> Parsed:
    """All cells. Raises NotText, Broken and EmptyText."""
    try:
        notebook = parse(decode(name, data))
        cells = _cells(notebook)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise Broken(f"{name} is not a readable notebook.") from error
    builder = TextBuilder()
    for number, cell in enumerate(cells, start=1):
        _add_cell(builder, cell, str(number))
    text = not_empty(name, builder.text)
    title = next((block.heading_path[-1] for block in builder.blocks if block.kind == "heading"), "")
    about = notebook.get("metadata")
    own = about.get("title") if isinstance(about, dict) else None
    title = one_line(clean(own)) if isinstance(own, str) and own.strip() else title
    return Parsed(title, text, tuple(builder.blocks), MEDIA_TYPE, metadata=_metadata(about))


def _metadata(about: Any) -> dict[str, str]:
    """What it says of itself; what the program that runs it says is left out."""
    found = about.items() if isinstance(about, dict) else ()
    return said((key, value) for name, value in found if (key := key_of(str(name))) is not None)


def _cells(notebook: Any) -> list[dict[str, Any]]:
    """Cells of the format 4, or of the sheets of format 3."""
    sheets = notebook.get("worksheets") or [notebook]
    found = [cell for sheet in sheets for cell in sheet.get("cells") or []]
    if not found or not all(isinstance(cell, dict) for cell in found):
        raise ValueError
    return found


def _add_cell(builder: TextBuilder, cell: dict[str, Any], number: str) -> None:
    source = clean(_joined(cell.get("source", cell.get("input", ""))))
    match cell.get("cell_type"):
        case "markdown":
            for kind, text, level in markdown.pieces(source):
                builder.add(kind, text, level=level, cell=number)
        case "heading":
            level = cell.get("level")
            builder.add("heading", source, level=level if isinstance(level, int) else 1, cell=number)
        case "code":
            builder.add("code", source, cell=number)
            outputs = cell.get("outputs")
            said = (
                [_output(output) for output in outputs if isinstance(output, dict)] if isinstance(outputs, list) else []
            )
            text = clean("\n".join(filter(None, (part.strip("\n") for part in said))))
            if len(text) > _LONGEST_OUTPUT:
                text = f"{text[:_LONGEST_OUTPUT].rstrip()} …"
            builder.add("code", text and f"Output:\n{text}", cell=number)
        case _:
            builder.add("paragraph", source, cell=number)


def _output(output: dict[str, Any]) -> str:
    """What an output says in plain text: printed text, the value of the cell, or the error without its trace."""
    if output.get("output_type") in ("error", "pyerr"):
        return f"{_joined(output.get('ename'))}: {_joined(output.get('evalue'))}"
    data = output.get("data")
    return _joined(output.get("text") or (data.get("text/plain") if isinstance(data, dict) else ""))


def _joined(source: Any) -> str:
    """Text that is stored as a string or as a list of lines."""
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""
