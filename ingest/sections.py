"""From blocks to sections: what stands under one heading is cut together. Pure; counts come from the caller."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ingest.model import Block, Parsed


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks of one page that share a heading path, in order; headings without text of their own stand in front."""

    path: tuple[str, ...]
    blocks: tuple[Block, ...]


def covering(parsed: Parsed) -> list[Block]:
    """The blocks in order, clipped where they overlap, with blocks for the text between them: none of it is lost."""
    found: list[Block] = []
    end, before = 0, Block("paragraph", 0, 0, line=1 if any(block.line for block in parsed.blocks) else None)
    for block in (*sorted(parsed.blocks, key=lambda block: block.start), None):
        start = len(parsed.text) if block is None else block.start
        if start > end and not parsed.text[end:start].isspace():
            line = None if before.line is None else before.line + parsed.text.count("\n", before.start, end)
            found.append(replace(before, kind="paragraph", start=end, end=start, line=line))
        end = max(end, start)
        if block is not None and block.end > end:
            found.append(replace(block, start=end))
            end, before = block.end, block
    return [block for block in found if not parsed.text[block.start : block.end].isspace()]


def sections_of(blocks: Sequence[Block]) -> list[Section]:
    """Runs of blocks under one heading path; a heading with nothing under it goes down to its first subsection.

    A section ends where its page does, so that every chunk, and every quote of it, has one page.
    """
    found: list[Section] = []
    for (path, page), run in groupby(blocks, key=lambda block: (block.heading_path, block.page)):
        own = tuple(run)
        while found and _bare(found[-1]) and _within(path, found[-1].path) and _page(found[-1]) == page:
            own = found.pop().blocks + own
        found.append(Section(path, own))
    return found


def _page(section: Section) -> int | None:
    return section.blocks[0].page


def _bare(section: Section) -> bool:
    return all(block.kind == "heading" for block in section.blocks)


def _within(path: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    return len(path) > len(outer) and path[: len(outer)] == outer


def merge_small(sections: Sequence[Section], pieces: Sequence[int], small: int, most: int) -> list[Section]:
    """Consecutive siblings of at most `small` pieces become one section under their parent, of at most `most` pieces.

    Each stays whole: it is one block of the merged section.
    """
    return [_joined(group) for group in _families(sections, pieces, small, most)]


def _families(sections: Sequence[Section], pieces: Sequence[int], small: int, most: int) -> Iterator[list[Section]]:
    family: list[Section] = []
    total = 0
    for section, size in zip(sections, pieces, strict=True):
        sibling = family and (section.path[:-1], _page(section)) == (family[0].path[:-1], _page(family[0]))
        if family and not (sibling and size <= small and total + size <= most):
            yield family
            family, total = [], 0
        family.append(section)
        total += size if size <= small else most + 1  # a large one is alone
    if family:
        yield family


def _joined(family: list[Section]) -> Section:
    if len(family) == 1:
        return family[0]
    wholes = (replace(section.blocks[0], kind="paragraph", end=section.blocks[-1].end) for section in family)
    return Section(family[0].path[:-1], tuple(wholes))
