"""Questions put differently, by rule: in ways that leave the question what it is, and in ways that make it another one. Pure,
and decided by the generator of random numbers that is handed in. The rules know nothing of those of the cache's guard."""

import re
from collections.abc import Callable, Sequence
from random import Random

from app.evals.paraphrases import EXCHANGED
from generation.verification.words import listed

Rule = Callable[[str, Random], str | None]
Pair = tuple[str, str]

_WH = listed("What Which Who When Where Why How")
_AUXILIARY = re.compile(
    r"\b(is|are|was|were|can|could|will|would|should|must|may|does|do|did|has|have)\b(?! not)", re.IGNORECASE
)
_DIGITS = re.compile(r"(?<![\w.])\d+(?![\w.])")
_CONTENT = re.compile(r"\b[a-z]{5,}\b")
# Said of the same question in two ways that are not the same: the first is what is kept, the second what is asked.
_QUALIFIED: dict[str, tuple[Pair, ...]] = {
    "number": (
        (" with 5 documents", " with 8 documents"),
        (" on port 8000", " on port 8001"),
        (" in version 3.8", " in version 3.80"),
    ),
    "unit": (
        (" within 10 minutes", " within 10 hours"),
        (" above 64 MB", " above 64 GB"),
        (" below 5 percent", " below 5 points"),
    ),
    "date": ((" in 2021", " in 2023"), (" on 3 March", " on 3 May"), (" since 2024-05-01", " since 2024-06-01")),
    "time": ((" before the update", " after the update"), (" today", " yesterday"), (" at the moment", " in the past")),
    "name": ((" for Anna Meyer", " for Anna Mayer"), (" in Berlin", " in Bern"), (" with Redis", " with Memcached")),
    "identifier": ((" in top_k", " in top_n"), (" for rt001", " for rt010"), (" with --force", " with --prune")),
    "condition": (
        (" with a proxy", " without a proxy"),
        (" if it fails", " unless it fails"),
        (" as root", " except as root"),
    ),
    "quantifier": (
        (" for all tenants", " for some tenants"),
        (" for every file", " for no file"),
        (" at least once", " at most once"),
    ),
    "comparative": (
        (" with more memory", " with less memory"),
        (" for the largest file", " for the smallest file"),
    ),
    "roles": ((" from Anna to Bob", " from Bob to Anna"), (" when cats chase dogs", " when dogs chase cats")),
    "sign": ((" at 5 degrees", " at -5 degrees"), (" in C", " in C++"), (" when a = b", " when a != b")),
}
_OPPOSITE_PAIRS = (
    ("first", "last"),
    ("minimum", "maximum"),
    ("on", "off"),
    ("before", "after"),
    ("always", "never"),
    ("with", "without"),
    ("more", "less"),
    ("most", "least"),
    ("up", "down"),
    ("in", "out"),
    ("start", "stop"),
)
_OPPOSITES = {**dict(_OPPOSITE_PAIRS), **{other: one for one, other in _OPPOSITE_PAIRS}}


def negated(question: str, random: Random) -> str | None:
    """With a "not"."""
    found = list(_AUXILIARY.finditer(question))
    if not found:
        return None
    at = random.choice(found).end()
    return f"{question[:at]} not{question[at:]}"


def asks_otherwise(question: str, random: Random) -> str | None:
    """With another question word."""
    first, _, rest = question.partition(" ")
    if first not in _WH or not rest:
        return None
    others = [word for word in _WH if word != first and {word, first} != {"What", "Which"}]
    return f"{random.choice(others)} {rest}"


def word_changed(question: str, random: Random, others: Sequence[str] = ()) -> str | None:
    """With another word in place of one, taken from another question."""
    found = list(_CONTENT.finditer(question))
    words: list[str] = [word for other in others for word in _CONTENT.findall(other) if word[:4] not in question]
    if not found or not words:
        return None
    match = random.choice(found)
    return question[: match.start()] + random.choice(words) + question[match.end() :]


def turned(question: str, random: Random) -> str | None:
    """With the opposite of one of its words."""
    found = [match for match in re.finditer(r"\b[a-z]+\b", question) if match[0] in _OPPOSITES]
    if not found:
        return None
    match = random.choice(found)
    return question[: match.start()] + _OPPOSITES[match[0]] + question[match.end() :]


def number_changed(question: str, random: Random) -> str | None:
    """With another number."""
    found = list(_DIGITS.finditer(question))
    if not found:
        return None
    match = random.choice(found)
    return f"{question[: match.start()]}{int(match[0]) + random.randint(1, 9)}{question[match.end() :]}"


def near_pairs(questions: Sequence[str], n: int, random: Random) -> list[tuple[str, str, str]]:
    """(kind, kept, asked): questions that are not the same though they look it, kinds in turn; every second one is asked in
    one of the ways that change nothing as well."""
    kept = set(questions)
    kinds = ("negation", "question_word", "word", "opposite", "own_number", *_QUALIFIED)
    found: dict[tuple[str, str], str] = {}
    for turn in range(n * 20):
        if len(found) == n:
            break
        kind, question = kinds[turn % len(kinds)], random.choice(questions)
        pair = _near(kind, question, questions, random)
        if pair is None or pair[1] in kept or pair in found:
            continue
        asked = random.choice(list(SAME.values()))(pair[1], random) if turn % 2 else None
        found[(pair[0], asked or pair[1])] = kind
    return [(kind, *pair) for pair, kind in found.items()]


def _near(kind: str, question: str, questions: Sequence[str], random: Random) -> Pair | None:
    if kind in _QUALIFIED:
        one, other = random.choice(_QUALIFIED[kind])
        stem = question.rstrip("?. ")
        return f"{stem}{one}?", f"{stem}{other}?"
    rules: dict[str, Rule] = {
        "negation": negated,
        "question_word": asks_otherwise,
        "opposite": turned,
        "own_number": number_changed,
        "word": lambda text, dice: word_changed(text, dice, dice.sample(list(questions), min(5, len(questions)))),
    }
    changed = rules[kind](question, random)
    return (question, changed) if changed is not None and changed != question else None


def _polite(question: str, random: Random) -> str | None:
    lead = random.choice(("Hi, ", "Please, ", "Hello! "))
    return f"{lead}{_lower(question)} Thanks!"


def _indirect(question: str, random: Random) -> str | None:
    match = re.match(r"(What|Where|Why|How) (is|are) ([^?]+)\?$", question)
    if match is None or " " in match[3][40:]:
        return None
    lead = random.choice(("Can you tell me", "I would like to know", "Do you know"))
    return f"{lead} {match[1].lower()} {match[3]} {match[2]}?"


def _contracted(question: str, _: Random) -> str | None:
    changed = re.sub(r"^(What|Where|Who|How) is\b", r"\1's", question)
    return changed if changed != question else None


def _how(question: str, random: Random) -> str | None:
    changed = re.sub(r"^How do I ", random.choice(("How can I ", "How do we ", "How to ", "How can you ")), question)
    return changed if changed != question else None


def _unmarked(question: str, random: Random) -> str | None:
    return random.choice((question.rstrip("?"), question.rstrip("?") + "??", _lower(question)))


def _without_article(question: str, _: Random) -> str | None:
    changed = re.sub(r"\b(the|an?) (?=[a-z])", "", question, count=1)
    return changed if changed != question else None


def _which(question: str, _: Random) -> str | None:
    return f"What{question[5:]}" if question.startswith("Which ") else None


def _exchanged(question: str, random: Random) -> str | None:
    found = [match for match in re.finditer(r"\b[a-z]+\b", question) if match[0] in EXCHANGED]
    if not found:
        return None
    match = random.choice(found)
    return question[: match.start()] + EXCHANGED[match[0]] + question[match.end() :]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:] if text[:2] != text[:2].upper() and not text.startswith("Grounded") else text


# Without the last, which takes another word and so is not always what it seems: near pairs are not made by it.
SAME: dict[str, Rule] = {
    "polite": _polite,
    "indirect": _indirect,
    "contracted": _contracted,
    "how": _how,
    "punctuation": _unmarked,
    "article": _without_article,
    "which": _which,
}
PARAPHRASES: dict[str, Rule] = {**SAME, "synonym": _exchanged}
