"""How hard a question is, as far as that can be measured without asking a model: by its form, and by what was found for it.

The words are English; a question in another language is told by its length, its marks and what was found.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from retrieval.model import Arm, Context, Passage
from retrieval.query import Turn, phrases

_WORD = re.compile(r"\w+(?:[.'’+#/@-]\w+)*")
_ASKING = r"(?:what|which|who|whom|whose|when|where|why|how)"
_HELPING = r"(?:is|are|was|were|do|does|did|can|could|should|will|would|must|may|has|have)"
_OWN_SUBJECT = r"(?:i|you|it|they|we|he|she|the|this|that|these|those|there|a|an|my|our|its)"
# "When a file fails, what ...": the first clause asks nothing.
_OPENING_CLAUSE = re.compile(rf"(?:^|(?<=[.?!] ))(?:when|where|while)\s+(?!{_HELPING}\b)[^,?.]*,", re.IGNORECASE)
_QUESTION = re.compile(
    rf"(?:^|[.?!;:]\s+){_ASKING}\b|(?:^|[.?!;:]\s+){_HELPING}\s+\w"
    rf"|(?:,|\band|\bor|\bbut|\bthen|\balso)\s+(?:{_ASKING}\b|{_HELPING}\s+{_OWN_SUBJECT}\b)",
    re.IGNORECASE,
)
_MARKS = re.compile(r"\?(?=\s|$)")
# Words that ask for something, not names of it: "explain why", not "the explanation"; "compare A with B", not "it compares".
_REASONING = re.compile(
    r"\b(?:why|explain (?:why|how|what|the|which|to)|reasons? (?:for|why)|possible reasons?|justify|consequences|implications?"
    r"|trade-?offs?|(?:dis)?advantages?|pros|cons|recommend|advi[sc]e|best way|worth|(?:would|should) (?:i|we|you) (?:use|choose"
    r"|take|prefer|change|adjust)|would you|design|weigh|analy[sz]e|evaluate|assess|diagnose|troubleshoot|root cause|suppose"
    r"|assum(?:e|ing)|given that|scenario|what if|what would|affects?|depends?|work together|interact|guarantees|rule out"
    r"|prove|convince|argue|in (?:what|which) order|end up|lead to|suggest|still|although|even (?:if|though|when)|despite)\b",
    re.IGNORECASE,
)
_COMPARISON = re.compile(
    r"\b(?:compare|comparison (?:of|between)|versus|vs\.?|differ|differences?|distinguish|instead of|rather than|as opposed to"
    r"|unlike|(?:better|worse|faster|slower|safer|cheaper|stricter) than|between .{2,80}? and|which of (?:them|these|those)"
    r"|whether .{2,80}? or|in common|contrast)\b",
    re.IGNORECASE,
)
_BREADTH = re.compile(
    r"(?:^|[.?!,;:]\s+|\band )list\b|\b(?:overview|summar(?:y|i[sz]e)|checklist|everything|step[- ]by[- ]step|end[- ]to[- ]end"
    r"|walk (?:me )?through|each of|all (?:of )?(?:the )?(?:ways|steps|places|settings|cases|kinds|limits|guarantees)"
    r"|every (?:place|way|step|stage|case|limit|setting)|trace|from start to finish)\b",
    re.IGNORECASE,
)
_PROCEDURE = re.compile(
    r"\bhow (?:do|can|could|should|would|must) (?:i|you|we|one|an?|the)\b|\bhow to\b|\bhow is \w+ \w+ed\b|\b(?:set up|steps)\b",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"```|`[^`]*[\s({\[=][^`]*`"
    r"|\b(?:write|give|show|generate|draft|compose|build|create|produce|need|send)\b.{0,60}?\b(?:code|script|config(?:uration)?|snippet"
    r"|commands?|curl|toml|json|ya?ml|rules?|function|query|request|body|filter|unit|one-liner|program|loop|client)\b",
    re.IGNORECASE | re.DOTALL,
)
_CONDITION = re.compile(rf"\b(?:if|while|unless|once|during|whenever|when(?! {_HELPING}\b))\b", re.IGNORECASE)
_CLOSE: tuple[Arm, ...] = ("dense", "bm25", "rerank", "cross")
_STEM = 5  # letters; words that begin with the same are taken for the same


@dataclass(frozen=True, slots=True)
class Features:
    """What was measured. `reasoning` counts words that ask for reasons, consequences or advice, `conditions` those that
    begin a condition; `procedure` says that a way of doing something is asked for, `breadth` that all of something is.

    `documents` is how few documents of the context hold, together, every term of the question that the context holds.
    `confidence`, within [0, 1], is how far the searches agree on one passage: the mean of 1 / rank over them, of the
    passage where it is highest; None where one search alone answered.
    """

    words: int = 0
    questions: int = 1
    reasoning: int = 0
    conditions: int = 0
    comparison: bool = False
    breadth: bool = False
    procedure: bool = False
    code: bool = False
    documents: int = 1
    confidence: float | None = None
    turns: int = 0


def measure(question: str, context: Context, history: Sequence[Turn] = ()) -> Features:
    """The features of a question and of what was found for it. `turns` counts the user's own earlier questions."""
    return Features(
        words=len(_WORD.findall(question)),
        questions=questions(question),
        reasoning=len({found.casefold() for found in _REASONING.findall(question)}),
        conditions=len(_CONDITION.findall(question)),
        comparison=_COMPARISON.search(question) is not None,
        breadth=_BREADTH.search(question) is not None,
        procedure=_PROCEDURE.search(question) is not None,
        code=_CODE.search(question) is not None,
        documents=documents_needed(question, context.passages),
        confidence=agreement(context.passages),
        turns=sum(role == "user" for role, _ in history),
    )


def questions(text: str) -> int:
    """How many questions a text asks: its clauses that begin as questions do, or its question marks if there are more."""
    asked = _OPENING_CLAUSE.sub(" ", text).strip()
    return max(1, len(_QUESTION.findall(asked)), len(_MARKS.findall(text)))


def documents_needed(question: str, passages: Sequence[Passage]) -> int:
    """The size of the greedy cover (Chvatal 1979): the document with most of the terms that are still missing, until
    no document has one more."""
    terms = _terms(" ".join(phrases(question)))
    held: dict[str, set[str]] = {}
    for passage in passages:
        said = f"{passage.title} {' '.join(passage.heading_path)} {passage.text}"
        held.setdefault(passage.document_id, set()).update(terms & _terms(said))
    needed = 0
    missing = set().union(*held.values()) if held else set()
    while missing:
        missing -= max(held.values(), key=lambda own: len(own & missing))
        needed += 1
    return max(1, needed)


def agreement(passages: Sequence[Passage]) -> float | None:
    """See Features.confidence."""
    arms = [arm for arm in _CLOSE if any(arm in passage.hit.places for passage in passages)]
    if len(arms) < 2:
        return None
    return round(max(sum(_reciprocal(passage, arm) for arm in arms) / len(arms) for passage in passages), 4)


def _reciprocal(passage: Passage, arm: Arm) -> float:
    place = passage.hit.places.get(arm)
    return 1 / place.rank if place is not None else 0.0


def _terms(text: str) -> set[str]:
    return {word[:_STEM] for word in map(str.casefold, _WORD.findall(text))}
