"""What the strategies share that cut text without a look at its structure."""

from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from ingest.model import Block, Document
from ingest.strategies.atoms import Atom, Span
from ingest.strategies.plans import Plan, PlannedSplitter, fit_headers


class PagedSplitter(PlannedSplitter):
    """Cuts each page by itself, since a quote has one page; a document without pages is one.

    A chunk stands under the headings that all of its text stands under.
    """

    def _plans(self, document: Document, blocks: Sequence[Block]) -> Iterator[Plan]:
        for _, run in groupby(blocks, key=lambda block: block.page):
            page = list(run)
            headers = fit_headers(document.parsed.title, _paths(page), self._counter)
            budget = self._budget(max(header.pieces for header in headers.values()))
            starts = [block.start for block in page]
            for group in self._groups(document.text, (page[0].start, page[-1].end), budget):
                first = bisect_right(starts, group[0].start) - 1
                path = shared(block.heading_path for block in page[first : bisect_left(starts, group[-1].end)])
                if path not in headers:
                    headers |= fit_headers(document.parsed.title, [path], self._counter)
                yield Plan(path, headers[path].text, group)

    @abstractmethod
    def _groups(self, text: str, page: Span, budget: int) -> Iterator[tuple[Atom, ...]]:
        """Atoms of each chunk of a page, in order; together they hold all of it but white space."""


def shared(paths: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The headings that all paths begin with."""
    found = list(paths)
    low, high = min(found), max(found)
    same = next((n for n, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return low[:same]


def _paths(blocks: Iterable[Block]) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(block.heading_path for block in blocks))
