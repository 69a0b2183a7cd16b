"""Texts in pieces through the filters of an answer."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from generation.filters.leaks import Secret
from generation.filters.output import Filtering, OutputPolicy
from generation.filters.pii import KINDS, Action

PROMPT = (
    "You answer questions from numbered sources, and from nothing else. Put the number of each source behind every "
    "sentence that it carries. Keep the words of the sources where you can, above all for numbers and names."
)
MASKED: dict[str, Action] = dict.fromkeys(KINDS, "mask")
STRICT = OutputPolicy(MASKED, secret=Secret([PROMPT]), phrases=("internal use only", "Projekt Größe"))


def pieces(text: str, cuts: Iterable[int]) -> list[str]:
    edges = [0, *sorted(cuts), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def streamed(parts: Sequence[str], policy: OutputPolicy = STRICT) -> tuple[str, Filtering]:
    filtering = policy.stream()
    said = "".join([filtering.feed(part) for part in parts])
    return said + filtering.feed("", final=True), filtering


def whole(text: str, policy: OutputPolicy = STRICT) -> tuple[str, Filtering]:
    filtering = policy.stream()
    return filtering.feed(text, final=True), filtering
