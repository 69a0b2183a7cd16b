"""Bugs to plant in what models are told, in answers that are data, and in moderation. See `plants.py`."""

from tests.chaos.mutant import Mutant

_PROMPT = "generation/prompt.py"
_LIBRARY = "generation/prompt_library.py"
_EXAMPLES = "generation/examples.py"
_LIMITS = "generation/schema_limits.py"
_STRUCTURED = "generation/structured.py"
_MODERATION = "generation/moderation.py"
_ENDPOINT = "generation/adapters/openai_moderation.py"
_FILLED = "tests/generation/test_prompt.py"
_VERSIONS = "tests/generation/test_prompt_library.py"
_CHOSEN = "tests/generation/test_examples.py"
_SCHEMAS = "tests/generation/test_schema_limits.py"
_DATA = "tests/generation/test_structured.py"
_LOOKED = "tests/generation/test_moderation.py"

PROMPTS = (
    Mutant(
        "what is filled in is filled in again",
        _PROMPT,
        "    return _FIELD.sub(lambda match: fields[match.group(1)], template)\n",
        "    for name, value in fields.items():\n        template = template.replace('{{' + name + '}}', value)\n"
        "    return template\n",
        f"{_FILLED}::test_what_is_filled_in_is_never_read",
    ),
    Mutant(
        "a marker may stand in what is quoted",
        _PROMPT,
        "    while any(marker in text for text in quoted):\n",
        "    while False:\n",
        f"{_FILLED}::test_a_marker_occurs_in_nothing_that_is_quoted",
    ),
    Mutant(
        "the prefix is another one in each request",
        _PROMPT,
        '    "system": frozenset(),\n',
        '    "system": frozenset(("question", "marker")),\n',
        _VERSIONS,
    ),
    Mutant(
        "a prompt without the question is used",
        _PROMPT,
        '    wanted += [("user", field) for field in ("question", "marker") if',
        '    wanted += [("user", field) for field in ("marker",) if',
        _VERSIONS,
    ),
    Mutant(
        "a broken prompt takes the place of the last good one",
        _LIBRARY,
        "    def now(self) -> Prompt:\n",
        "    def now(self) -> Prompt:\n        return self._library.find(self._library.chosen(self._name))\n\n"
        "    def _kept(self) -> Prompt:\n",
        f"{_VERSIONS}::test_a_change_counts_for_the_next_question_and_a_broken_one_changes_nothing",
    ),
    Mutant(
        "shipped prompts go before one's own",
        _LIBRARY,
        "        self._folders = [SHIPPED] if own is None else [own, SHIPPED]\n",
        "        self._folders = [SHIPPED] if own is None else [SHIPPED, own]\n",
        f"{_VERSIONS}::test_ones_own_folder_goes_before_the_shipped_prompts",
    ),
    Mutant(
        "examples are answers alone",
        _EXAMPLES,
        "        taken = sorted([*answers[: self._wanted - 1], refusals[0]])\n",
        "        taken = sorted(answers[: self._wanted])\n",
        f"{_CHOSEN}::test_the_nearest_are_chosen_and_one_refusal",
    ),
    Mutant(
        "examples stand in the order of their likeness",
        _EXAMPLES,
        "        taken = sorted([*answers[: self._wanted - 1], refusals[0]])\n",
        "        taken = [*answers[: self._wanted - 1], refusals[0]]\n",
        f"{_CHOSEN}::test_they_keep_their_order_so_that_the_same_choice_is_the_same_text",
    ),
    Mutant(
        "references lead elsewhere",
        _LIMITS,
        '        if reference != "#" and not reference.startswith("#/"):\n',
        '        if not reference.startswith(("#", "http")):\n',
        f"{_SCHEMAS}::test_what_is_refused",
    ),
    Mutant(
        "references that double are not counted",
        _LIMITS,
        "        return parts\n",
        "        return 1\n",
        f"{_SCHEMAS}::test_what_is_refused",
    ),
    Mutant(
        "patterns are matched by going back",
        _STRUCTURED,
        "_PATTERNS = jsonschema_rs.RegexOptions(size_limit=500_000, dfa_size_limit=500_000)\n",
        "_PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=10**12)\n",
        _SCHEMAS,
    ),
    Mutant(
        "what the model makes up where the sources do not answer is the answer",
        _STRUCTURED,
        "            if value.get(UNANSWERED) is True:\n                return None\n",
        "",
        f"{_DATA}::test_the_models_schema_has_a_way_to_say_that_the_sources_do_not_answer",
    ),
    Mutant(
        "places of sentences do not count what is escaped",
        _STRUCTURED,
        "        self._length += len(text)\n",
        '        self._length += len(text.replace("\\\\", ""))\n',
        f"{_DATA}::test_whatever_is_in_it_the_answer_is_json_and_places_are_right",
    ),
    Mutant(
        "the reply is not held against the schema",
        _STRUCTURED,
        "        for error in self._validator.iter_errors(value):\n",
        "        for error in ():\n",
        f"{_DATA}::test_what_cannot_be_used",
    ),
    Mutant(
        "a sentence goes out before it is looked at",
        _MODERATION,
        "        return held if await self._passes(text) else []\n",
        "        await self._passes(text)\n        return held\n",
        f"{_LOOKED}::TestAnswers::test_a_sentence_is_looked_at_before_it_goes_out",
    ),
    Mutant(
        "what stands behind a withheld sentence goes out",
        _MODERATION,
        "        if self._found:\n            return []\n        if isinstance(event, TextRetracted):\n",
        "        if isinstance(event, TextRetracted):\n",
        f"{_LOOKED}::TestAnswers::test_a_sentence_is_looked_at_before_it_goes_out",
    ),
    Mutant(
        "moderation that fails lets through, whatever is set",
        _MODERATION,
        "            if not self._fail_open:\n                raise\n",
        "",
        f"{_LOOKED}::TestAnswers::test_a_failure_is_told_or_ends_it",
    ),
    Mutant(
        "sensitive texts are sent to a moderation elsewhere",
        _MODERATION,
        "        if collection in self._kept_from:\n",
        "        if False:\n",
        f"{_LOOKED}::test_what_may_not_be_sent_is_not_and_that_is_a_failure",
    ),
    Mutant(
        "a verdict for some of the texts is one for all",
        _ENDPOINT,
        "        if not isinstance(results, list) or len(results) != len(texts):\n",
        "        if not isinstance(results, list):\n",
        f"{_LOOKED}::TestEndpoint::test_what_is_no_verdict_is_a_failure_and_never_a_pass",
    ),
)
