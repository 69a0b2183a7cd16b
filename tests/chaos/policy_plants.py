"""Bugs to plant where sentences are cited, judged and held to the policy. See `plants.py`."""

from tests.chaos.mutant import Mutant

_POLICY = "generation/policy.py"
_CHECKS = "generation/checks.py"
_FILTER = "generation/filters/answer.py"
_DOSSIER = "generation/dossier.py"
_HELD = "tests/generation/test_policy.py"
_CITED = "tests/generation/test_checks.py"
_WHOLE = "tests/generation/test_dossier.py"

POLICY = (
    Mutant(
        "a sentence that is left out stays where it was sent",
        _POLICY,
        '        return [TextRetracted(self._kept, self._kept + len(text), "unsupported")]\n',
        "        return []\n",
        _HELD,
    ),
    Mutant(
        "claims behind a sentence that was left out stand where they came",
        _POLICY,
        "        start = self._kept + len(self._text) - (self._came - (claim.start - self._from))\n",
        "        start = claim.start\n",
        _HELD,
    ),
    Mutant(
        "claims keep the numbers that they came with",
        _POLICY,
        "replace(claim, index=self._index, start=start,",
        "replace(claim, start=start,",
        _HELD,
    ),
    Mutant(
        "an answer that must not stay is sent by sentence before that is known",
        _POLICY,
        '        return self._release() if self._carried and not self._policy.does("abstain") else []\n',
        "        return self._release() if self._carried else []\n",
        _HELD,
    ),
    Mutant(
        "an answer of which nothing is left is an answer",
        _POLICY,
        "        if self._is_empty() and",
        "        if False and",
        _HELD,
    ),
    Mutant(
        "paragraphs run together where a sentence was left out",
        _POLICY,
        '    return other if other.count("\\n") > one.count("\\n") or not one else one\n',
        "    return other\n",
        _HELD,
    ),
    Mutant(
        "what an attempt left out counts for the next one",
        _POLICY,
        "        sent = self._sent\n        self._begin()\n",
        "        sent = self._sent\n",
        _HELD,
    ),
    Mutant(
        "of data something is left out",
        _POLICY,
        '        if self._policy.action(claim) in ("drop", "abstain"):\n',
        '        if self._policy.action(claim) == "abstain":\n',
        _HELD,
    ),
    Mutant(
        "a sentence whose text the filter takes back along is lost",
        _FILTER,
        "                self._waiting.append(claim)\n\n",
        "                pass\n\n",
        _HELD,
    ),
    Mutant(
        "a contradiction passes as carried in part",
        _CHECKS,
        '        status = "unsupported"  # a passage that says the opposite carries no part of it\n',
        "        status = judged.verdict\n",
        _CITED,
    ),
    Mutant(
        "a sentence without a mark is cited below the bar",
        _CHECKS,
        "(judged.score or 0.0) < checks.attributed_from:",
        "(judged.score or 0.0) < checks.attributed_from - 1e-5:",
        _CITED,
    ),
    Mutant(
        "two passages together are cited for what neither says",
        _CHECKS,
        "        every = (judged.evidence[0].n,)\n",
        "        break\n",
        _CITED,
    ),
    Mutant(
        "words choose the quote where the verifier has found another",
        _CHECKS,
        "        spans += own or [quote for quote in placed if quote.n == n]\n",
        "        spans += [quote for quote in placed if quote.n == n] or own\n",
        _CITED,
    ),
    Mutant(
        "an answer with an unsupported sentence has passed",
        _DOSSIER,
        '    if counts["supported"] == counts.total():\n',
        '    if counts["supported"]:\n',
        _WHOLE,
    ),
    Mutant(
        "what lacked a part of the service may be cached",
        "generation/cacheable.py",
        "        and not end.degraded\n",
        "",
        _WHOLE,
    ),
)
