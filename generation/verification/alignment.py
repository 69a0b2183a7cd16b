"""How well each word of a sentence is matched by each statement of its passages: by its letters, and by late interaction of
token vectors (ColBERT's MaxSim), which knows words of the same meaning."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from generation.verification.evidence import Statement
from generation.verification.words import Word, content, words

Floats = NDArray[np.float32]

# A token's best cosine among the tokens of a statement: unrelated ones reach .2, the same word in another sentence .8.
_NOTHING, _SAME = 0.2, 0.8
_OTHER_NAME = 0.5  # what a name or number that is not there can get at most: another of its kind always is near
_EVIDENCE = 3  # statements that may carry a sentence together
_GAIN = 0.02  # a further statement must carry this share more to count


@dataclass(frozen=True, slots=True)
class Alignment:
    """`words` are those of the sentence that carry meaning; `soft` has how well each statement carries each of them, 0 to 1,
    of shape (words, statements); `tokens` has the best cosine of each of the sentence's t tokens, of shape (t, statements),
    and is None without token vectors."""

    words: tuple[Word, ...]
    soft: Floats
    tokens: Floats | None

    @property
    def weights(self) -> Floats:
        """What each word counts; they sum to 1."""
        raw = np.array([word.weight or 1.0 for word in self.words], dtype=np.float32)
        return np.asarray(raw / raw.sum(), dtype=np.float32)

    @property
    def coverage(self) -> Floats:
        """The share of the sentence that each statement carries."""
        return np.asarray(self.weights @ self.soft, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The statements that carry a sentence together, the best first, and how well each word is carried by them."""

    rows: tuple[int, ...]
    carried: Floats


def align(
    sentence: str,
    statements: Sequence[Statement],
    headings: frozenset[str],
    tokens: Floats | None,
    offsets: Sequence[tuple[int, int]],
) -> Alignment:
    """`tokens` of shape (statements, t) are matches as a SentenceScorer gives them, `offsets` where the t tokens stand in
    the sentence."""
    kept = tuple(content(words(sentence)))
    stems = [{word.stem for word in statement.words} for statement in statements]
    lexical = np.array([[word.stem in own for own in stems] for word in kept], dtype=np.float32)
    lexical = lexical.reshape(len(kept), len(statements))
    if tokens is None:
        return Alignment(kept, _with_headings(kept, lexical, headings), None)
    near = np.clip((_of_words(kept, tokens.T, offsets) - _NOTHING) / (_SAME - _NOTHING), 0.0, 1.0)
    limit = np.array([[_OTHER_NAME if word.is_critical else 1.0] for word in kept], dtype=np.float32)
    soft = np.maximum(lexical, near * limit)
    return Alignment(kept, _with_headings(kept, soft, headings), tokens.T)


def evidence(alignment: Alignment) -> Evidence:
    """Chosen greedily: each time the statement that adds most."""
    carried = np.zeros(len(alignment.words), dtype=np.float32)
    rows: list[int] = []
    for _ in range(min(_EVIDENCE, alignment.soft.shape[1])):
        gains = alignment.weights @ np.maximum(alignment.soft, carried[:, None])
        best = int(gains.argmax())
        if rows and gains[best] - alignment.weights @ carried < _GAIN:
            break
        rows.append(best)
        carried = np.maximum(carried, alignment.soft[:, best])
    return Evidence(tuple(rows), carried)


def _of_words(kept: Sequence[Word], matches: Floats, offsets: Sequence[tuple[int, int]]) -> Floats:
    """The mean over a word's tokens; a word beyond the model's window matches nothing."""
    starts = np.array([start for start, _ in offsets[: len(matches)]], dtype=np.int64)
    out = np.full((len(kept), matches.shape[1]), -1.0, dtype=np.float32)
    for row, word in enumerate(kept):
        first, last = np.searchsorted(starts, [word.start, word.end])
        if first < last:
            out[row] = matches[first:last].mean(axis=0)
    return out


def _with_headings(kept: Sequence[Word], soft: Floats, headings: frozenset[str]) -> Floats:
    """What the headings say counts half as said by every statement."""
    said = np.array([[0.5 * (word.stem in headings)] for word in kept], dtype=np.float32).reshape(len(kept), 1)
    return np.asarray(np.maximum(soft, said), dtype=np.float32)
