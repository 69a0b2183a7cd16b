"""Bugs to plant where questions are routed and paid for. See `plants.py`."""

from tests.chaos.mutant import Mutant

_ROUTER = "app/routing.py"
_COST = "app/cost.py"
_ESCALATION = "generation/escalation.py"
_DRAFTING = "app/drafting.py"
_JOURNEYS = "tests/app/test_routing.py"
_WRITTEN_AGAIN = "tests/generation/test_escalation.py"
_COSTS = "tests/app/test_cost.py"

ROUTING = (
    Mutant(
        "a sensitive collection is sent to anybody",
        _ROUTER,
        "        return named and (tier.self_hosted or collection not in self._rules.sensitive)\n",
        "        return named\n",
        f"{_JOURNEYS}::test_no_word_of_a_sensitive_collection_leaves_for_another_endpoint",
    ),
    Mutant(
        "a step beside the answer does not ask what may be sent where",
        _ROUTER,
        "        return next((name for name in helpers if name in allowed), None)\n",
        "        return next(iter(helpers), None)\n",
        f"{_JOURNEYS}::test_no_word_of_a_sensitive_collection_leaves_for_another_endpoint",
    ),
    Mutant(
        "passages are counted at any endpoint",
        "app/wiring_models.py",
        '"estimate" if wanted == "auto" and asked is None else wanted',
        "wanted",
        f"{_JOURNEYS}::test_passages_are_counted_by_nobody_who_may_not_get_them",
    ),
    Mutant(
        "whoever asks for a tier gets it",
        _ROUTER,
        "        if tier not in self.allowed(collection):\n",
        "        if False:\n",
        f"{_JOURNEYS}::TestRefused",
    ),
    Mutant(
        "cached tokens are free",
        _COST,
        "    read = (usage.input_tokens - cached) * prices.input + cached * cached_price\n",
        "    read = (usage.input_tokens - cached) * prices.input\n",
        _COSTS,
    ),
    Mutant(
        "every attempt is paid at one price",
        _COST,
        'prices.get(attempt.tier or "", FREE)) for attempt',
        "next(iter(prices.values()), FREE)) for attempt",
        _COSTS,
    ),
    Mutant(
        "an answer that was thrown away is not paid",
        _DRAFTING,
        "                yield with_attempt(event, *before) if isinstance(event, DraftEnd) else event\n",
        "                yield event\n",
        f"{_JOURNEYS}::TestEscalation",
    ),
    Mutant(
        "text that failed is left standing",
        _ESCALATION,
        "    if trial.shown:\n",
        "    if False:\n",
        _WRITTEN_AGAIN,
    ),
    Mutant(
        "a first sentence is sent before it has passed",
        _ESCALATION,
        "        if self._at_once or self._passed or isinstance(event, DraftEnd):\n",
        "        if True:\n",
        _WRITTEN_AGAIN,
    ),
    Mutant(
        "what was held of a draft that began anew is sent",
        _ESCALATION,
        '            self._held, self._written = [], ""  # the draft began anew, and nothing of it had been sent\n',
        "",
        _WRITTEN_AGAIN,
    ),
    Mutant(
        "checked text is withdrawn",
        _DRAFTING,
        '            if isinstance(event, TextRetracted) and release == "sentence":\n',
        "            if False:\n",
        f"{_JOURNEYS}::test_a_sentence_that_was_sent_is_never_withdrawn",
    ),
    Mutant(
        "a threshold belongs to the cheaper tier",
        "generation/route.py",
        "    return sum(points >= threshold for threshold in thresholds)\n",
        "    return sum(points > threshold for threshold in thresholds)\n",
        "tests/generation/test_route.py",
    ),
)
