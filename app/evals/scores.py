"""Pure measures: bootstrap intervals, AUROC, percentiles, and how texts are folded before they are compared."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

_NOT_WORD = re.compile(r"[^\w]+")
_RESAMPLES = 2000


def folded(text: str) -> str:
    """Without case, accents and punctuation; words one space apart."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _NOT_WORD.sub(" ", "".join(c for c in plain if not unicodedata.combining(c))).strip()


def holds(text: str, wanted: str) -> bool:
    """Whether `wanted` stands in `text` as whole words, after folding. An empty one stands nowhere."""
    needle = folded(wanted)
    return bool(needle) and f" {needle} " in f" {folded(text)} "


def interval(values: Sequence[float], seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean (Efron 1979), over questions."""
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        return 0.0, 0.0
    draws = np.random.default_rng(seed).integers(0, sample.size, (_RESAMPLES, sample.size))
    low, high = np.percentile(sample[draws].mean(axis=1), [2.5, 97.5])
    return round(float(low), 4), round(float(high), 4)


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Probability that a positive scores above a negative, ties counting half (Mann and Whitney 1947); None without both."""
    if not positive or not negative:
        return None
    mine, others = np.asarray(positive)[:, None], np.asarray(negative)[None, :]
    return round(float((mine > others).mean() + (mine == others).mean() / 2), 4)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    if not values:
        return {"p50": 0.0, "p95": 0.0}
    p50, p95 = np.percentile(np.asarray(values), [50, 95])
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}


def mean(values: Sequence[float]) -> float:
    """The mean; 0 of nothing."""
    return round(float(np.mean(values)), 4) if values else 0.0
