"""Questions for what is not so, and the sentences that could answer them. Pure.

"What did the treaty not end?" shares its words with "The treaty ended the war". Told by English words; a question in another
language is taken for one that negates nothing. A sentence may say no in other words, so of those more are known.
"""

import re

_NOT = re.compile(r"\b(?:not|never|cannot)\b|n['’]t\b", re.IGNORECASE)
_SAYS_NO = re.compile(
    r"\b(?:not|never|cannot|no|nor|neither|none|nobody|nothing|without|only|except|instead|rather|unable|unknown|unlike"
    r"|(?:lack|fail|refus|reject|prevent|avoid|exclud|stop)\w*|absen[ct]\w*|miss(?:es|ed|ing)|den(?:y|ies|ied)|forb(?:id\w*|ade)"
    r"|un\w{2,40}ed|(?:un|in)\w{2,40}able)\b|n['’]t\b",
    re.IGNORECASE,
)


def asks_what_is_not(question: str) -> bool:
    """Whether the question negates something."""
    return _NOT.search(question) is not None


def says_no(text: str) -> bool:
    """Whether a text negates something, in whatever words."""
    return _SAYS_NO.search(text) is not None
