"""Bugs to plant where model endpoints are asked. See `plants.py`."""

from tests.chaos.mutant import Mutant

_STREAM = "generation/adapters/chat_stream.py"
_CHAT = "generation/adapters/openai_chat.py"
_CHAIN = "generation/fallback.py"
_BREAKER = "generation/breaker.py"
_RETRY = "generation/retry.py"
_FAULTS = "tests/upstream/test_faults.py"
_CUTS = "tests/upstream/test_cuts.py"
_OUTAGE = "tests/upstream/test_outage.py"
_CHAINED = "tests/generation/test_fallback.py"

UPSTREAM = (
    Mutant(
        "a stream that ends without its marker is complete",
        _STREAM,
        "        if not self.ended or self.finish is None:\n",
        "        if self.finish is None:\n",
        _CUTS,
    ),
    Mutant(
        "an answer that the engine aborted is complete",
        _STREAM,
        '        if self.finish not in ("stop", "length"):\n',
        '        if self.finish not in ("stop", "length", "abort"):\n',
        "tests/generation/test_openai_chat.py::test_other_reasons_are_no_end",
    ),
    Mutant(
        "an event called error is read over",
        _STREAM,
        '            self._names_error = value == b"error"\n',
        "            self._names_error = False\n",
        _FAULTS,
    ),
    Mutant(
        "a byte order mark swallows the first event",
        _STREAM,
        "            self._at_start, line = False, line.removeprefix(_BOM)\n",
        "            self._at_start = False\n",
        _FAULTS,
    ),
    Mutant("the client tries again by itself", _CHAT, "        max_retries=0,\n", "        max_retries=2,\n", _FAULTS),
    Mutant(
        "text of two models is mixed",
        _CHAIN,
        "        self.void = error if call.drafted else None\n",
        "        self.void = None\n",
        _OUTAGE,
    ),
    Mutant(
        "retries have no budget",
        _CHAIN,
        " or not link.budget.take():\n",
        ":\n",
        f"{_OUTAGE}::test_retries_are_a_tenth_without_any_breaker",
    ),
    Mutant(
        "callers that go away open the breaker",
        _CHAIN,
        "        elif self.error is None or self.error.by_request or (self._cut and not self._fair):\n",
        "        elif self.error is not None and (self.error.by_request or (self._cut and not self._fair)):\n",
        _CHAINED,
    ),
    Mutant(
        "the breaker never opens",
        _BREAKER,
        "        if self._failed_in_a_row >= p.in_a_row:\n            return True\n",
        "        if self._failed_in_a_row >= 0:\n            return False\n",
        f"{_OUTAGE}::test_a_minute_of_outage",
    ),
    Mutant(
        "a probe that hangs keeps the endpoint closed off",
        _BREAKER,
        "        self._until = self._probed_at + self._spell()\n",
        '        self._until = float("inf")\n',
        f"{_OUTAGE}::test_a_minute_of_outage",
    ),
    Mutant(
        "the deadline does not count between pieces that are ready",
        _CHAIN,
        "            if left <= 0:  # a stream that is always ready would never see the limit\n",
        "            if left <= -1e9:\n",
        _CHAINED,
    ),
    Mutant(
        "what was too slow is tried again",
        _RETRY,
        "    return isinstance(error, UpstreamTruncated)\n",
        "    return True\n",
        _CHAINED,
    ),
)
