"""`python -m app.evals.verifier_fit`: makes the weights of the embedded verifier from synthetic claims.

The claims are sentences of permissively licensed documentation, kept or changed by rule. Signs are held: what speaks against a
sentence never speaks for it. The weights of `told` are shrunk hard, since synthetic paraphrases are nearer to their passages
than those that models write; two numbers, scale and bias, are set afterwards on claims that people labelled, where files of
them are named, and so are the thresholds. Nothing else is learnt from those.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.evals.claims import claims
from app.evals.corpus import progress
from app.evals.held import Held, held
from app.evals.prose import paragraphs
from app.evals.rows import read_rows
from app.settings import load
from generation.verification.evidence import headings, statements
from generation.verification.features import NAMES, Reading, measured

Matrix = NDArray[np.float64]

_OUT = Path("generation/verification/weights.json")
_FOR = frozenset(("covered", "best", "near", "weakest", "kept"))
_LEFT_OUT = {
    "told": frozenset(("unbound", "replaced", "reclassed")),
    "told_words": frozenset(("unbound", "replaced", "reclassed", "near")),
    "quoted": frozenset(("near", "weakest")),
    "contradicted": frozenset(NAMES) - {"negated", "opposed", "turned", "lost_numbers"},
}
_SHRUNK = {"told": 10.0, "told_words": 10.0, "quoted": 0.01, "contradicted": 1.0}
_KEPT = 0.75  # of a sentence's words, from where on it is taken for a quotation
_NEARLY_KEPT = 0.65
_HELD_OUT = 0.2
_PRECISION = 0.97  # two points more than is promised: people and models change sentences in more ways than rules do
_STEPS = 4000
_OPPOSITES = frozenset(("negation", "quantifier", "number", "date", "unit"))


@dataclass(frozen=True, slots=True)
class Table:
    """Features with and without token vectors, and the kinds of the claims."""

    whole: Matrix
    words: Matrix
    kinds: tuple[str, ...]

    @property
    def truth(self) -> Matrix:
        return np.array([kind in ("kept", "supported") for kind in self.kinds], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Weights in the order of NAMES."""

    weights: Matrix
    bias: float

    def at(self, features: Matrix) -> Matrix:
        """The logits."""
        return np.asarray(features @ self.weights + self.bias, dtype=np.float64)

    def scaled(self, logits: Matrix, truth: Matrix) -> "Fitted":
        """With the scale and bias of Platt (1999) that make probabilities of these logits."""
        fitted = fit(logits[:, None], truth, np.array([1.0]), 1e-6)
        scale = float(fitted.weights[0])
        return Fitted(self.weights * scale, self.bias * scale + fitted.bias)

    def as_json(self) -> dict[str, Any]:
        return {
            "weights": {name: round(float(w), 4) for name, w in zip(NAMES, self.weights, strict=True) if w},
            "bias": round(self.bias, 4),
        }


def fit(features: Matrix, truth: Matrix, signs: Matrix, shrunk: float) -> Fitted:
    """Logistic regression with an L2 penalty on standardised features, by projected gradients; a weight keeps the sign that
    `signs` has for it, 0 leaves its feature out."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    x, weights, bias = (features - mean) / spread, np.zeros(features.shape[1]), 0.0
    for step in range(_STEPS):
        error = 1 / (1 + np.exp(-(x @ weights + bias))) - truth
        rate = 0.3 if step < _STEPS // 2 else 0.05
        weights = weights - rate / (1 + shrunk) * (x.T @ error / len(x) + shrunk * weights)
        weights = np.where(weights * signs > 0, weights, 0.0)
        bias -= rate * float(error.mean())
    plain = weights / spread
    return Fitted(plain, bias - float(plain @ mean))


def expert(name: str, table: Matrix, truth: Matrix) -> Fitted:
    """One of the four functions. A contradiction is told by what speaks against support."""
    against = -1.0 if name != "contradicted" else 1.0
    signs = np.array([0.0 if n in _LEFT_OUT[name] else 1.0 if n in _FOR else against for n in NAMES])
    return fit(table, truth, signs, _SHRUNK[name])


def fitted(synthetic: Table, labelled: Sequence[Table]) -> dict[str, Any]:
    """All that the verifier's judge needs."""
    truth, n = synthetic.truth, len(synthetic.kinds)
    known = np.arange(n) < (1 - _HELD_OUT) * n
    parts = _supports(synthetic, labelled, known)
    pairs = [(_said(parts, synthetic.whole)[~known], truth[~known])]
    pairs += [(_said(parts, table.whole), table.truth) for table in labelled]
    opposite = np.array([kind in _OPPOSITES for kind in synthetic.kinds], dtype=np.float64)
    clear = known & ((truth > 0) | (opposite > 0))
    parts["contradicted"] = expert("contradicted", synthetic.whole[clear], opposite[clear])
    together = [np.concatenate(part) for part in zip(*(pairs[1:] or pairs), strict=True)]
    return {
        **{name: part.as_json() for name, part in parts.items()},
        "kept": _KEPT,
        "supported": round(max(_precise(*pairs[0]), _precise(together[0], together[1])), 4),
        "partial": round(_balanced(pairs[1:] or pairs), 4),
    }


def _supports(synthetic: Table, labelled: Sequence[Table], known: NDArray[np.bool_]) -> dict[str, Fitted]:
    """The three functions of support: weights from the synthetic claims that are known, probabilities by those that are held
    out, or by the labelled ones."""
    truth, near = synthetic.truth, synthetic.whole[:, NAMES.index("kept")]
    seen = {"told": known, "told_words": known, "quoted": known & (near >= _NEARLY_KEPT)}
    unseen = {"told": near < _KEPT, "told_words": near < _KEPT, "quoted": near >= _KEPT}
    parts: dict[str, Fitted] = {}
    for name in seen:
        table = synthetic.words if name == "told_words" else synthetic.whole
        x, y = table[~known & unseen[name]], truth[~known & unseen[name]]
        if labelled:
            x, y = _labelled(labelled, name)
        raw = expert(name, table[seen[name]], truth[seen[name]])
        parts[name] = raw.scaled(raw.at(x), y)
    return parts


def _labelled(labelled: Sequence[Table], name: str) -> tuple[Matrix, Matrix]:
    """Of the labelled claims those that this function is asked about."""
    near = np.concatenate([table.whole for table in labelled])[:, NAMES.index("kept")] >= _KEPT
    x = np.concatenate([table.words if name == "told_words" else table.whole for table in labelled])
    mine = near if name == "quoted" else ~near
    return x[mine], np.concatenate([table.truth for table in labelled])[mine]


def _said(parts: dict[str, Fitted], table: Matrix) -> Matrix:
    near = table[:, NAMES.index("kept")] >= _KEPT
    logits = np.where(near, parts["quoted"].at(table), parts["told"].at(table))
    return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float64)


def _precise(said: Matrix, truth: Matrix) -> float:
    """The lowest threshold from which on `_PRECISION` of what is marked is right."""
    order = np.argsort(-said)
    share = np.cumsum(truth[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(share >= _PRECISION)
    return float(said[order[good[-1]]]) if len(good) else 1.0


def _balanced(pairs: Sequence[tuple[Matrix, Matrix]]) -> float:
    """The threshold with the best balanced accuracy, on the mean of the sets."""
    tries = np.linspace(0.01, 0.99, 99)
    rates = [[(said[truth > 0] >= t).mean() + (said[truth == 0] < t).mean() for t in tries] for said, truth in pairs]
    return float(tries[int(np.mean(rates, axis=0).argmax())])


async def table_of(ready: Held, rows: Sequence[tuple[str, str, str]]) -> Table:
    """Features of (claim, passage, kind)."""
    whole, words = [], []
    for number, (claim, passage, _) in enumerate(rows, start=1):
        cited = await ready.cited(passage)
        bare = Reading(tuple(statements(cited)), headings([one for _, one in cited]))
        read = await ready.reader.read(claim)
        found = await ready.scorer.matches(read.query, [p for _, p in cited], [bare.spans_of(n) for n, _ in cited])
        words.append(measured(claim, bare).features.vector)
        whole.append(measured(claim, bare.with_matches(found, read.spans)).features.vector)
        if number % 500 == 0:
            progress(f"{number} of {len(rows)} claims")
    return Table(np.array(whole), np.array(words), tuple(kind for _, _, kind in rows))


async def tables(passages: int, seed: int, calibrate: Sequence[Path]) -> tuple[Table, list[Table]]:
    """Of the synthetic claims, and of each file of labelled ones."""
    random = Random(seed)  # noqa: S311  a sample, not a secret
    texts = paragraphs()
    random.shuffle(texts)
    texts = texts[:passages]
    wide = [f"{a}\n\n{b}" if random.random() < 0.5 else a for a, b in zip(texts, [*texts[1:], ""], strict=True)]
    rows = [(claim.text, claim.passage, claim.kind) for claim in claims(wide, random)]
    files = [[(r["claim"], r["passage"], r["label"]) for r in read_rows(file, claim=str)] for file in calibrate]
    async with held(load()) as ready:
        return await table_of(ready, rows), [await table_of(ready, part) for part in files]


def main(passages: int, seed: int, calibrate: Sequence[Path]) -> None:
    """Write the weights beside the verifier's code."""
    synthetic, labelled = asyncio.run(tables(passages, seed, calibrate))
    named = [f"{file.parent.name}/{file.name}" for file in calibrate]
    made = {"claims": len(synthetic.kinds), "seed": seed, "calibrated": named}
    _OUT.write_text(json.dumps({"made_of": made, **fitted(synthetic, labelled)}, indent=1) + "\n", "utf-8")
    progress(f"{_OUT} is written.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--passages", type=int, default=3500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--calibrate", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    main(given.passages, given.seed, given.calibrate)
