"""What stands near an answer and is none: sentences that tell where to read on, links, entries of a changelog. Pure.

They share a question's words more than any answer does, since they name its topic and little else.
"""

import re
from functools import lru_cache

from retrieval.model import Passage

_LINK = re.compile(r"\[[^\[\]\n]{0,400}\]\([^()\s]{0,400}\)|https?://\S{1,400}")
_POINTER = re.compile(
    r"\b(?:you|we|i)(?:['’]ll|['’]ve| will| can| could| have| already| also| just| later| first| then)* "
    r"(?:read|learn(?:ed|t)?|see|saw|seen|look(?:ed)?|cover(?:ed)?|explain(?:ed)?|show|tell|teach|talk(?:ed)?) "
    r"(?:you |it |them |at )?(?:later |also )?(?:about|how|more|all|some)\b"
    r"|\b(?:read|learn|find(?: out)?|see|know) (?:more|also|the (?:docs?|documentation|section|chapter|page|guide))\b"
    r"|\bas (?:you|we)(?:['’]ve| have)? (?:read|saw|seen|learned) (?:above|before|earlier|already)\b"
    r"|\bas (?:seen|shown|mentioned|described|explained|said) (?:above|before|earlier|in \[)"
    r"|\b(?:for )?more (?:info|information|details|about)\b"
    r"|\b(?:in|see|read) (?:this|the (?:next|previous|following|main|same)) (?:section|chapter|page|tutorial|part|guide)s?\b"
    r"|\blet['’]s (?:see|talk|review|look)\b|\bjump to\b"
    r"|\bthis (?:section|chapter|page|tutorial|part|guide) (?:is about|covers|describes|explains|shows|tells|says)\b",
    re.IGNORECASE,
)
_TAG = re.compile(r"\\?</?[A-Za-z][^<>\n]{0,400}>")
# "Let's say that you want ...", "There are cases where you might want to ...": the question again, with a story around it.
_SCENARIO = re.compile(
    r"\b(?:let['’]s|let us) (?:say|imagine|suppose|assume)\b|\b(?:imagine|suppose) (?:that )?(?:you|we|there)\b|\bimagine that\b"
    r"|\bthere(?:['’]s| are| is| could be| may be| might be) (?:a |also |some |many |several |other )*"
    r"(?:cases?|scenarios?|situations?|times|occasions)\b"
    r"|\bin (?:some|many|other|certain) (?:cases|scenarios|situations),? (?:you|we)\b"
    r"|\b(?:you|we) (?:might|may) (?:also )?(?:want|need|wish|like)\b",
    re.IGNORECASE,
)
# "Import it, then add ...", "To override it, put ...", "You can add ...": what a reader is to do.
_INSTRUCTS = re.compile(
    r"^\W{0,4}(?:(?:first|then|now|next|finally|and|after that),? (?:then,? )?)?(?:(?:to|for|in|on) \w[^.:;\n]{0,80}, )?"
    r"(?:you (?:can |should |must |will |(?:have|need) to |only |just |first |then )*|just |simply )?"
    r"(?:add|call|change|choose|configure|copy|create|declare|define|enable|import|include|inherit|install|instantiate|make"
    r"|mount|open|override|pass|provide|put|raise|replace|return|run|select|send|set|start|subclass|type|use|write)\b(?!['’])",
    re.IGNORECASE,
)
# "And then you can ...", "Instead, ...", "In this case ...", "You could also ...": it goes on from a sentence that is not quoted.
_LEANS = re.compile(
    r"^\W{0,4}(?:(?:and|but|so|or|instead|also|because|however|otherwise|now|it|they|this|these|those|that)\b"
    r"|(?:in|for|with|after|by) (?:this|that|these|those|such)\b|(?:you|we|it) (?:can|could|may|might) also\b)",
    re.IGNORECASE,
)
_CHANGELOG = re.compile(
    r"(?:change[-_ ]?log|changes|history|news|release[-_ ]?notes|releases|what['’]?s[-_ ]?new)", re.IGNORECASE
)


def is_pointer(text: str) -> bool:
    """Whether a sentence, in English, says where something is told: "You can read more about it in the next chapter"."""
    return _POINTER.search(text) is not None


def is_scenario(text: str) -> bool:
    """Whether a sentence, in English, only pictures a case: it asks again and answers nothing."""
    return _SCENARIO.search(text) is not None


def instructs(text: str) -> bool:
    """Whether a sentence, in English, tells its reader what to do: what a question that asks how wants to know."""
    return _INSTRUCTS.match(text) is not None


def leans(text: str) -> bool:
    """Whether a sentence, in English, goes on from the one before it, without which it says half."""
    return _LEANS.match(text) is not None


def marked_up(text: str) -> float:
    """Share of the text's characters that are tags of HTML."""
    return sum(map(len, _TAG.findall(text))) / max(len(text), 1)


def linked(text: str) -> float:
    """Share of the text's characters that are links, with their labels."""
    return sum(len(link) for link in _LINK.findall(text)) / max(len(text), 1)


def is_changelog(passage: Passage) -> bool:
    """Whether it comes from a list of changes, by its title or the name of its file."""
    return _named_as_changes(passage.title, passage.name)


@lru_cache(maxsize=1024)  # asked for every sentence of a passage
def _named_as_changes(title: str, name: str) -> bool:
    stem = name.rpartition("/")[2].partition(".")[0]
    return any(_CHANGELOG.fullmatch(each) for each in (title, stem))
