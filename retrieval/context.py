"""From found passages to what the generator gets to see: no near duplicates, no source that crowds out the rest, within
a token budget. Pure; what is left out is named with its reason."""

import re
from collections import Counter
from dataclasses import dataclass

from retrieval.model import Arm, Context, Found, LeftOut, Passage

_WORD = re.compile(r"\w+")
_NAMED: frozenset[Arm] = frozenset(("named_dense", "named_bm25"))  # arms that search named documents alone
_SHINGLE = 3  # words; two passages that share nearly all their word triples say the same


@dataclass(frozen=True, slots=True)
class Limits:
    """`token_budget` counts word pieces of the passages with their headers; `near_duplicate` is a share from 0 to 1."""

    top_k: int
    token_budget: int
    per_source: int
    near_duplicate: float


def pack(found: Found, limits: Limits) -> Context:
    """The best passages that fit, best first; `Passage.tokens` are what a passage costs.

    No document crowds out the rest, unless the question names it. A passage that does not fit is left out and smaller
    ones behind it may still come in. The first passage always comes in, so that a budget below one passage does not turn
    every question away.
    """
    kept: list[Passage] = []
    left_out: list[LeftOut] = []
    shingles: list[frozenset[tuple[str, ...]]] = []
    sources: Counter[str] = Counter()
    named = {passage.document_id for passage in found.passages if not _NAMED.isdisjoint(passage.hit.places)}
    alone = max(limits.per_source, limits.top_k // max(len(named), 1))
    spent = 0
    for passage in found.passages:
        own = _shingles(passage.text)
        if len(kept) == limits.top_k:
            left_out.append(LeftOut(passage, "top_k"))
        elif any(_overlap(own, other) >= limits.near_duplicate for other in shingles):
            left_out.append(LeftOut(passage, "near_duplicate"))
        elif sources[passage.document_id] == (alone if passage.document_id in named else limits.per_source):
            left_out.append(LeftOut(passage, "source_cap"))
        elif kept and spent + passage.tokens > limits.token_budget:
            left_out.append(LeftOut(passage, "token_budget"))
        else:
            kept.append(passage)
            shingles.append(own)
            sources[passage.document_id] += 1
            spent += passage.tokens
    return Context(tuple(kept), tuple(left_out), spent, found.query)


def _shingles(text: str) -> frozenset[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    if len(words) < _SHINGLE:
        return frozenset([tuple(words)])
    return frozenset(zip(*(words[i:] for i in range(_SHINGLE)), strict=False))


def _overlap(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    """Jaccard similarity (Broder 1997): shared triples over all triples."""
    return len(one & other) / len(one | other)
