"""What a child says of a file, as JSON: its own half writes it, ours reads it and believes nothing that it does not check.

JSON and not pickle: a file that takes its reader over must not get at the process that asks.
"""

from typing import Any, get_args

import orjson

from ingest import errors
from ingest.errors import FileError, ReaderCrashed
from ingest.model import Block, BlockKind, Parsed

_SLICE = 4096
_KINDS = frozenset(get_args(BlockKind))


def written(parsed: Parsed) -> bytes:
    """The answer that says this."""
    return orjson.dumps(
        {
            "title": parsed.title,
            "text": parsed.text,
            "media_type": parsed.media_type,
            "pages": parsed.pages,
            "metadata": parsed.metadata,
            "blocks": orjson.Fragment(_blocks(parsed.blocks)),
        }
    )


def _blocks(blocks: tuple[Block, ...]) -> bytes:
    """In slices: told all at once, a million rows of a sheet would need more memory than reading them."""
    slices = (blocks[at : at + _SLICE] for at in range(0, len(blocks), _SLICE))
    return b"[%b]" % b",".join(orjson.dumps([_told(block) for block in part])[1:-1] for part in slices)


def refused(error: FileError) -> bytes:
    """The answer that says why there is nothing."""
    return orjson.dumps({"error": type(error).__name__, "message": error.message, "next_step": error.next_step})


def understood(name: str, answer: bytes) -> Parsed:
    """What a child said of this file. Raises the error that it told, and ReaderCrashed for what is no answer."""
    try:
        told = orjson.loads(answer)
        if "error" in told:
            raise _error(**told)
        return _parsed(**told)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise no_answer(name) from None


def no_answer(name: str) -> ReaderCrashed:
    """A child that says something else altogether."""
    return ReaderCrashed(f"The reader gave no sensible answer on {name}.")


def _told(b: Block) -> tuple[Any, ...]:
    """The fields in their order, without those at the end that say nothing: most blocks are many and short."""
    told = (b.kind, b.start, b.end, b.heading_path, b.page, b.line, b.cell, b.box, b.anchor)
    return told if b.box or b.anchor else told[:7]


def _parsed(
    title: str, text: str, media_type: str, pages: int | None, metadata: dict[str, str], blocks: list[Any]
) -> Parsed:
    """Raises ValueError for fields that are not what they should be."""
    strings = (title, text, media_type, *metadata, *metadata.values())
    _expect(all(type(value) is str for value in strings) and (pages is None or type(pages) is int))
    return Parsed(title, text, tuple(_block(len(text), *fields) for fields in blocks), media_type, pages, metadata)


def _block(
    length: int,
    kind: BlockKind,
    start: int,
    end: int,
    path: list[str],
    page: int | None,
    line: int | None,
    cell: str | None,
    box: list[float] | None = None,
    anchor: str | None = None,
) -> Block:
    _expect(kind in _KINDS and type(start) is int and type(end) is int and 0 <= start < end <= length)
    _expect(all(type(number) is int or number is None for number in (page, line)))
    _expect(
        all(type(word) is str for word in path) and all(type(word) is str or word is None for word in (cell, anchor))
    )
    place = None
    if box is not None:
        left, bottom, right, top = map(float, box)
        place = (left, bottom, right, top)
    return Block(kind, start, end, tuple(path), page, line, cell, place, anchor)


def _expect(so: bool) -> None:
    if not so:
        raise ValueError


def _error(error: str, message: str, next_step: str) -> FileError:
    leaf = getattr(errors, error, None)
    _expect(isinstance(leaf, type) and issubclass(leaf, FileError) and type(message) is type(next_step) is str)
    told: FileError = leaf(message, next_step)  # type: ignore[misc]  # it was just looked at
    return told
