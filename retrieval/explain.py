"""Why a search found what it found: every candidate with its ranks, its shares and what became of it. Pure; it holds ids
and numbers, and whoever shows it reads the texts again with the asker's own rights."""

from collections.abc import Mapping

from retrieval.model import Candidate, Context, Explanation, Found, Hit, Outcome

_CLOSE = frozenset(("rerank", "cross"))  # arms that read passages closely


def explained(found: Found, context: Context) -> Explanation:
    """The candidates of the search, and what packing left of them. Raises ValueError for what no search returned."""
    if found.asked is None or found.fusion is None:
        raise ValueError("not what a search returned")
    outcomes = _outcomes(found, context)
    close = any(not _CLOSE.isdisjoint(passage.hit.places) for passage in found.passages)
    read = {passage.id for passage in found.passages}
    candidates = tuple(
        Candidate(hit, found.fusion.shares(hit, close=close and hit.id in read), _outcome(hit, outcomes))
        for hit in found.candidates
    )
    return Explanation(found.asked, found.fusion, candidates, found.timings_ms, found.degraded)


def _outcomes(found: Found, context: Context) -> dict[str, Outcome]:
    kept: dict[str, Outcome] = {passage.id: "kept" for passage in context.passages}
    left_out: dict[str, Outcome] = {entry.passage.id: entry.reason for entry in context.left_out}
    return {**found.dropped, **left_out, **kept}


def _outcome(hit: Hit, outcomes: Mapping[str, Outcome]) -> Outcome:
    """Of what was neither read nor dropped: enough others stood before it."""
    return outcomes.get(hit.id, "not_read")
