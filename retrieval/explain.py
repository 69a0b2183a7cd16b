"""Why a search found what it found: every candidate with its ranks, its shares and what became of it. Pure; it holds ids
and numbers, and whoever shows it reads the texts again with the asker's own rights."""

from retrieval.model import Candidate, Context, Explanation, Found, Hit, Outcome

_CLOSE = frozenset(("rerank", "cross"))  # arms that read passages closely


def explained(found: Found, context: Context) -> Explanation | None:
    """The candidates of the search, and what packing left of them: of those that were neither read nor dropped, enough
    others stood before them. None for what does not tell how it was found."""
    if found.asked is None or found.fusion is None:
        return None
    fusion, outcomes = found.fusion, _outcomes(found, context)
    read = {passage.id for passage in found.passages} if _reranked(found) else set()

    def candidate(hit: Hit) -> Candidate:
        close = hit.id in read
        return Candidate(hit, fusion.shares(hit, close=close), outcomes.get(hit.id, "not_read"), close)

    return Explanation(found.asked, fusion, tuple(map(candidate, found.candidates)), found.timings_ms, found.degraded)


def _reranked(found: Found) -> bool:
    return any(not _CLOSE.isdisjoint(passage.hit.places) for passage in found.passages)


def _outcomes(found: Found, context: Context) -> dict[str, Outcome]:
    kept: dict[str, Outcome] = {passage.id: "kept" for passage in context.passages}
    left_out: dict[str, Outcome] = {entry.passage.id: entry.reason for entry in context.left_out}
    return {**found.dropped, **left_out, **kept}
