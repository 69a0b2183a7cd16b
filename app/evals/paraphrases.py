"""Sentences told in other words by rule, so that they still say nothing that their passage does not: clauses dropped or moved,
two sentences joined, common words exchanged, numbers spelt otherwise. Pure, decided by the random numbers handed in."""

import re
from collections.abc import Sequence
from random import Random

from generation.verification.words import listed

_LEAD = re.compile(
    r"^(?:However|Therefore|Moreover|Furthermore|Thus|Hence|Note that|Also|In addition|For example|Finally),? ?"
)
_PARENTHESIS = re.compile(r" \([^()]{2,80}\)")
_TRAIL = re.compile(r"(?:, (?:which|where|so|but|and|since|because|although|while|as)|;) [^.]*(?=\.$)")
_CONDITION = re.compile(r"^(If|When|Where|Because|Since|Unless|Although|While) ([^,]{8,120}), (.+)\.$")
EXCHANGED = {
    "use": "employ", "uses": "employs", "used": "employed", "show": "display", "shows": "displays", "allows": "lets",
    "permits": "allows", "need": "require", "needs": "requires", "requires": "needs", "return": "give back",
    "returns": "gives back", "create": "make", "creates": "makes", "created": "made", "build": "construct", "begin": "start",
    "begins": "starts", "start": "begin", "starts": "begins", "large": "big", "small": "little", "big": "large",
    "important": "significant", "method": "procedure", "function": "routine", "number": "count", "get": "obtain",
    "obtain": "get", "obtained": "got", "find": "locate", "finds": "locates", "found": "located", "help": "assist",
    "choose": "select", "chosen": "selected", "select": "choose", "selected": "chosen", "remove": "delete",
    "removed": "deleted", "change": "alter", "changes": "alters", "changed": "altered", "compute": "calculate",
    "computes": "calculates", "computed": "calculated", "calculate": "compute", "calculated": "computed",
    "describe": "explain", "describes": "explains", "described": "explained", "given": "provided", "provide": "offer",
    "provides": "offers", "provided": "given", "quickly": "fast", "different": "distinct", "similar": "alike",
    "usually": "typically", "often": "frequently", "called": "named", "specify": "state", "specified": "stated",
    "specifies": "states", "contains": "holds", "contain": "hold", "holds": "contains", "error": "failure",
    "raised": "thrown", "ignored": "disregarded", "avoid": "prevent", "default": "standard", "value": "setting",
    "values": "settings", "example": "instance", "people": "persons", "file": "document", "also": "too", "list": "series",
    "input": "data given", "output": "result", "result": "outcome", "results": "outcomes", "equal": "identical",
    "determine": "establish", "determined": "established", "performed": "done", "perform": "do", "performs": "does",
    "faster": "quicker", "easy": "simple", "simple": "easy", "hard": "difficult", "difficult": "hard", "assumed": "supposed",
    "defines": "sets", "defined": "set", "represents": "stands for", "represent": "stand for", "sent": "transmitted",
    "written": "recorded", "stored": "kept", "kept": "stored", "answer": "reply", "question": "query", "words": "terms",
}  # fmt: skip
_WORD = re.compile(r"[A-Za-z]+")
_SPELT = dict(
    zip(
        listed("2 3 4 5 6 7 8 9 10 11 12"),
        listed("two three four five six seven eight nine ten eleven twelve"),
        strict=True,
    )
)
_DIGITS = re.compile(r"(?<![\w.,-])(?:[2-9]|1[0-2])(?![\w.,%-])")
_SHARE = 0.7  # of the words that could be exchanged


def trimmed(sentence: str, random: Random) -> str:
    """Without what leads in, what stands in brackets, and what trails behind."""
    text = _LEAD.sub("", sentence)
    if random.random() < 0.7:
        text = _PARENTHESIS.sub("", text)
    if random.random() < 0.7:
        text = _TRAIL.sub("", text, count=1)
    return text[:1].upper() + text[1:]


def reordered(sentence: str) -> str:
    """The condition behind what it is a condition of."""
    match = _CONDITION.match(sentence)
    if match is None:
        return sentence
    return f"{match[3][:1].upper()}{match[3][1:]} {match[1].lower()} {match[2]}."


def reworded(sentence: str, random: Random) -> str:
    """With some of its words exchanged."""

    def other(match: re.Match[str]) -> str:
        new = EXCHANGED.get(match[0])
        return new if new is not None and random.random() < _SHARE else match[0]

    return _DIGITS.sub(lambda match: _SPELT[match[0]], _WORD.sub(other, sentence))


def joined(sentence: str, passage: Sequence[str]) -> str:
    """Together with the sentence that follows it."""
    at = passage.index(sentence) + 1 if sentence in passage else len(passage)
    if at >= len(passage):
        return sentence
    return f"{sentence.rstrip('.')}, and {passage[at][:1].lower()}{passage[at][1:]}"


def paraphrased(sentence: str, passage: Sequence[str], random: Random) -> str:
    """One in five as it stands, the others by one or more of these ways."""
    if random.random() < 0.2:
        return sentence
    text = joined(sentence, passage) if random.random() < 0.2 else sentence
    text = reordered(trimmed(text, random))
    return reworded(text, random) if random.random() < 0.7 else text
