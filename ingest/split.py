"""Which strategy cuts which file: rules by name, the first that matches wins."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from ingest.model import Chunk, Document
from ingest.ports import SentenceEmbedder, Splitter, TokenCounter
from ingest.readers.registry import FORMATS
from ingest.strategies.code import CodeSplitter
from ingest.strategies.fixed import OVERLAP, FixedSplitter
from ingest.strategies.recursive import RecursiveSplitter
from ingest.strategies.semantic import SemanticSplitter
from ingest.strategies.structure import StructureSplitter
from ingest.sync import Patterns

Strategy = Literal["structure", "recursive", "fixed", "semantic", "code"]


@dataclass(frozen=True, slots=True)
class CutRule:
    """How files that match the glob are cut. `target` and `overlap` count word pieces; a target of 0 is as many as fit,
    and only `fixed` has an overlap."""

    glob: str
    strategy: Strategy = "structure"
    target: int = 0
    overlap: int | None = None

    def matches(self, name: str) -> bool:
        """As `--include` does: `*.md` at any depth, `faq/*` below that folder."""
        return Patterns((self.glob,)).admit(name)


class SplitterByName:
    """`ports.Splitter` that hands each document to the splitter of the first rule that its name matches; source code that
    none matches goes to one, everything else to another."""

    def __init__(self, rules: Sequence[tuple[CutRule, Splitter]], source: Splitter, other: Splitter) -> None:
        self._rules = tuple(rules)
        self._source = source
        self._other = other

    def fingerprint_for(self, name: str) -> str:
        return self._chosen(name).fingerprint_for(name)

    def split(self, document: Document) -> tuple[Chunk, ...]:
        """Cut as the rules say."""
        return self._chosen(document.source.name).split(document)

    def _chosen(self, name: str) -> Splitter:
        named = (splitter for rule, splitter in self._rules if rule.matches(name))
        return next(named, self._source if _is_source(name) else self._other)


def _is_source(name: str) -> bool:
    """Whether the reader of source code reads it."""
    known = FORMATS.get(PurePosixPath(name).suffix.lower())
    return known is not None and known.module == "code"


def splitter_for(rule: CutRule, counter: TokenCounter, window: int, sentences: SentenceEmbedder) -> Splitter:
    """The strategy that a rule names. Raises ValueError for a window or target that is too small."""
    match rule.strategy:
        case "structure":
            return StructureSplitter(counter, window, rule.target)
        case "recursive":
            return RecursiveSplitter(counter, window, rule.target)
        case "fixed":
            return FixedSplitter(counter, window, rule.target, OVERLAP if rule.overlap is None else rule.overlap)
        case "semantic":
            return SemanticSplitter(counter, sentences, window, rule.target)
        case "code":
            return CodeSplitter(counter, window, rule.target)


def by_rules(
    rules: Sequence[CutRule], counter: TokenCounter, window: int, sentences: SentenceEmbedder
) -> SplitterByName:
    """All rules with their splitters; what none matches is cut by function or by structure, as large as the window."""
    chosen = [(rule, splitter_for(rule, counter, window, sentences)) for rule in rules]
    return SplitterByName(chosen, CodeSplitter(counter, window), StructureSplitter(counter, window))
