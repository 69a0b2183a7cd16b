"""How much two texts have in common, by their word triples. Pure."""

import re

Shingles = frozenset[tuple[str, ...]]

_WORD = re.compile(r"\w+")
_SHINGLE = 3  # words; two passages that share nearly all their word triples say the same


def shingles(text: str) -> Shingles:
    """All runs of three words; of a shorter text the text itself."""
    words = _WORD.findall(text.casefold())
    if len(words) < _SHINGLE:
        return frozenset([tuple(words)])
    return frozenset(zip(*(words[i:] for i in range(_SHINGLE)), strict=False))


def overlap(one: Shingles, other: Shingles) -> float:
    """Jaccard similarity (Broder 1997): shared triples over all triples."""
    return len(one & other) / len(one | other)
