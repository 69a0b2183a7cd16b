"""Structure first, tokens second: a document's sections become chunks, as few and as equal as they can be.

A section is what stands under one heading; small siblings share a chunk, and what is too long is cut by sentence, code
and tables by line.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ingest.model import Block, Document
from ingest.sections import Section, merge_small, sections_of
from ingest.strategies.atoms import BY_LINE, PROSE, Atom, Cutter, Span, balanced, together, too_long
from ingest.strategies.leads import fitted, header_row
from ingest.strategies.plans import Header, Lead, Plan, PlannedSplitter, fit_headers

SMALL = 0.2  # of a whole chunk; a section this small says little alone
MERGED = 0.54  # small siblings share a chunk up to here, more would blur what it is about
WHOLE = 240  # pieces of text in a chunk when there is no target


@dataclass(frozen=True, slots=True)
class Wholes:
    """What blocks weigh before they are cut: those of the document by themselves, and small siblings that were merged."""

    alone: Mapping[Span, Atom]
    merged: Mapping[Span, Atom]

    def of(self, block: Block) -> Atom:
        """Of a block of either kind."""
        return self.alone.get(_span(block)) or self.merged[_span(block)]


@dataclass(frozen=True, slots=True)
class Part:
    """A section cut into atoms, and what a chunk of them may weigh."""

    section: Section
    title: str
    leads: tuple[Lead, ...]
    atoms: tuple[Atom, ...]
    budget: int

    def plan(self, atoms: Sequence[Atom]) -> Plan:
        """A chunk of some of them."""
        return Plan(self.section.path, self.title, tuple(atoms), self.leads)


class StructureSplitter(PlannedSplitter):
    """The default: by heading, then balanced."""

    version = "structure-5"

    def _plans(self, document: Document, blocks: Sequence[Block]) -> Iterator[Plan]:
        for part in self._parts(document, blocks):
            for group in balanced(part.atoms, part.budget):
                yield part.plan(group)

    def _parts(self, document: Document, blocks: Sequence[Block]) -> Iterator[Part]:
        spans = [_span(block) for block in blocks]
        alone = dict(zip(spans, self._scale.weigh(document.text, spans), strict=True))
        sections = sections_of(blocks)
        sizes = [sum(alone[_span(block)].weight for block in section.blocks) for section in sections]
        merged = self._merged(sections, sizes)
        spans = [_span(block) for section in merged for block in section.blocks if _span(block) not in alone]
        wholes = Wholes(alone, dict(zip(spans, self._scale.weigh(document.text, spans), strict=True)))
        headers = fit_headers(document.parsed.title, (section.path for section in merged), self._counter)
        for section in merged:
            yield self._part(document, section, headers[section.path], wholes)

    def _merged(self, sections: Sequence[Section], sizes: Sequence[int]) -> list[Section]:
        whole = self._target or WHOLE
        return merge_small(sections, sizes, round(SMALL * whole), round(MERGED * whole))

    def _part(self, document: Document, section: Section, header: Header, wholes: Wholes) -> Part:
        leads = self._leads(document, section, wholes, self._budget(header.pieces))
        budget = self._budget(header.pieces, self._leads_pieces(leads))
        atoms = self._atoms(document.text, section.blocks, wholes, budget)
        return Part(section, header.text, leads, tuple(atoms), budget)

    def _leads(self, document: Document, section: Section, wholes: Wholes, budget: int) -> tuple[Lead, ...]:
        """Those of the blocks that will be cut."""
        long = [block for block in section.blocks if wholes.of(block).weight > budget]
        found = (self._lead(document, block) for block in long)
        return tuple(lead for lead in found if lead is not None)

    def _lead(self, document: Document, block: Block) -> Lead | None:
        row = header_row(document.text[block.start : block.end]) if block.kind == "table" else None
        return fitted(row, block, self._window, self._counter) if row is not None else None

    def _atoms(self, text: str, blocks: Sequence[Block], wholes: Wholes, budget: int) -> list[Atom]:
        """The section in pieces that fit. Headings in front are one with what they head, so they leave it less room."""
        lead = 0
        found: list[Atom] = []
        for block in blocks:
            whole, merged = wholes.of(block), _span(block) in wholes.merged
            found += self._pieces(text, block, whole, max(budget // 2, budget - lead), merged=merged)
            lead = lead + whole.weight if block.kind == "heading" and lead + whole.weight < budget // 2 else 0
        return _headed(found, sum(1 for _ in _leading_headings(blocks)), budget)

    def _pieces(self, text: str, block: Block, whole: Atom, budget: int, *, merged: bool) -> list[Atom]:
        """Equal parts of a block that is too long: its sentences are not to fill up the chunks of its neighbours."""
        del merged
        if not too_long(whole, budget):
            return [whole]
        atoms = self._scale.cut(text, [whole], budget, self._cutters(block))
        return [together(group) for group in balanced(atoms, budget)]

    def _cutters(self, block: Block) -> Iterable[Cutter]:
        return BY_LINE if block.kind in ("code", "table") else PROSE


def _span(block: Block) -> Span:
    return block.start, block.end


def _headed(atoms: list[Atom], headings: int, budget: int) -> list[Atom]:
    """Headings in front joined to the atom they head, as far as the budget allows."""
    while headings and len(atoms) > 1 and atoms[0].weight + atoms[1].weight <= budget:
        atoms[:2] = [together(atoms[:2])]
        headings -= 1
    return atoms


def _leading_headings(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        if block.kind != "heading":
            return
        yield block
