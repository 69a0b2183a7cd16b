"""Blank lines, then lines, then words, then letters: what is too long for one is cut by the next.

The way of langchain-text-splitters' RecursiveCharacterTextSplitter, by spans instead of strings: offsets are exact.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ingest.strategies.atoms import Atom, Span, filled, runs, too_long
from ingest.strategies.pages import PagedSplitter

SEPARATORS = ("\n\n", "\n", " ")


class RecursiveSplitter(PagedSplitter):
    """By separators, without a look at the structure but for pages."""

    version = "recursive-1"

    def _groups(self, text: str, page: Span, budget: int) -> Iterator[tuple[Atom, ...]]:
        return self._cut(text, self._scale.weigh(text, [page])[0], budget, SEPARATORS)

    def _cut(self, text: str, whole: Atom, budget: int, separators: Sequence[str]) -> Iterator[tuple[Atom, ...]]:
        """Runs of parts that fit together; a part that does not fit alone is cut by the separators that are left."""
        if not too_long(whole, budget):
            yield (whole,)
        elif not separators:
            yield from packed(self._scale.cut(text, [whole], budget, (runs,)), budget)
        else:
            run: list[Atom] = []
            for part in self._scale.weigh(text, list(_between(text, whole, separators[0]))):
                if not too_long(part, budget):
                    run.append(part)
                    continue
                yield from packed(run, budget)
                run = []
                yield from self._cut(text, part, budget, separators[1:])
            yield from packed(run, budget)


def packed(atoms: Sequence[Atom], budget: int) -> Iterator[tuple[Atom, ...]]:
    """Groups filled up to the budget, one after the other."""
    cuts = filled(atoms, budget)
    return (tuple(atoms[first:last]) for first, last in pairwise([*cuts, len(atoms)]))


def _between(text: str, whole: Atom, separator: str) -> Iterator[Span]:
    """What stands between separators and is not blank; the indentation of a first line stays."""
    start = whole.start
    while start < whole.end:
        found = text.find(separator, start, whole.end)
        end = found if found >= 0 else whole.end
        if not (part := text[start:end]).isspace() and part:
            yield start + len(part) - len(part.lstrip("\n")), start + len(part.rstrip())
        start = end + len(separator)
