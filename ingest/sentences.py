"""Sentence boundaries, by rule and without a model: good enough to quote by, and the same everywhere in the product.

Linear in the length of the text, whatever the text: no pattern here can be made to go back over what it has read.
"""

import re
from collections.abc import Iterator
from itertools import pairwise


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A stop ends a sentence when white space follows and then something that can begin one; what is abbreviated in front of
# it does not end one. Blank lines always end one; so do list items and the stops of scripts that put no space behind.
_STOP = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]*_`]*+(?=\s)"
    r"|[।॥؟۔]++(?=\s)"
    r"|[。！？｡]++[」』”’）)]*+"
    r"|\n[ \t]*+\n\s*+"
    r"|\n(?=[ \t]*+(?:[-*+•]|\d{1,3}[.)])[ \t])"
)
_OPENING = frozenset("\"'“‘«([{*_`<¿¡")
# Never at the end of a sentence, in practice. English, German and French each time.
_TITLES = _words(
    "mr mrs ms dr prof st sgt lt col gen rev hon messrs vs cf e.g i.e viz al approx resp incl excl "
    "bzw vgl sog inkl exkl zzgl abzgl ggf evtl bspw insb einschl z.b d.h i.d.r u.a p.ex mme mmes mlle"
)
# Only in front of a number: "No. 5", "Fig. 2", "Mar. 3", "ca. 2", "Abs. 4", "env. 20".
_COUNTED = _words(
    "no nos fig figs eq eqs sec sect vol ch chap p pp art arts para paras ed ref refs ver ext tel est c ca "
    "jan feb mar apr jun jul aug sep sept oct nov dec "
    "nr nrn abs abb tab bd kap ziff rn rz aufl geb gest max jän mär okt dez "
    "env janv févr avr juil déc"
)
# In the middle or at the end: the next word tells.
_EITHER = _words("etc inc ltd co corp jr sr u.s u.k u.n e.u a.m p.m ph.d b.c a.d usw usf mio mrd tsd")
_STARTERS = _words(
    "the a an this that these those it its he she they we you i in on at if when while for from by with "
    "as to after before but and or so however therefore there here what who how why where which all some "
    "most each no not our their his her my your one two see use such since although because both many "
    "more several then "
    "der die das dies diese dieser dieses ein eine es er sie wir ich im am bei mit le la les un une il elle nous vous ce cette"
)
# "am 3. Mai": where days are counted with a stop, the month tells.
_MONTHS = _words("januar jänner februar märz april mai juni juli august september oktober november dezember")
# "z. B.", "u. a.", "i. d. R.": a letter with a stop before or behind another one is no word of its own.
_BEHIND_LETTER = re.compile(r"(?<![^\W_])[^\W\d_]\.[ \u00a0]?[^\W\d_]$")
_LETTER_AND_STOP = re.compile(r"[^\W\d_]\.")
_WORD_LONGEST = 12  # characters looked back at; no abbreviation above is longer


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Half-open spans of the sentences of `text`, in order, without the white space around them; together they hold
    every character that is not white space."""
    cuts = [0, *(match.end() for match in _STOP.finditer(text) if _ends(text, match)), len(text)]
    spans = (_trim(text, start, end) for start, end in pairwise(cuts))
    return [(start, end) for start, end in spans if start < end]


def _ends(text: str, match: re.Match[str]) -> bool:
    stop = match.group()
    if stop[0] not in ".!?…":
        return True
    following = next(_letters_behind(text, match.end()), "")
    if following.islower() and not text[match.end() : match.end() + 40].lstrip().startswith("`"):
        return False
    return not (stop == "." and _is_abbreviated(text, match))


def _letters_behind(text: str, start: int) -> Iterator[str]:
    """What the next sentence would begin with, quotes and brackets passed over; a bounded look."""
    for letter in text[start : start + 40]:
        if not letter.isspace() and letter not in _OPENING:
            yield letter


def _is_abbreviated(text: str, match: re.Match[str]) -> bool:
    head = text[max(0, match.start() - _WORD_LONGEST) : match.start()]
    word = re.split(r"[\s\"'“‘(\[/,;:*_–—-]", head)[-1]
    if word.isdigit() and len(word) <= 3 and _begins_line(text, match.start() - len(word)):
        return True  # the number of a list item
    following = text[match.end() : match.end() + 40].split(maxsplit=1)
    first = following[0] if following else ""
    next_word = first.strip("\"'“‘([*_.,;:!?)]”’").lower()
    if word.isalpha() and word.islower() and len(word) == 1:
        if _LETTER_AND_STOP.fullmatch(first):
            return True
        if _BEHIND_LETTER.search(head):
            return next_word not in _STARTERS
    return _holds_on(word.lower(), next_word, capital=word[:1].isupper())


def _begins_line(text: str, start: int) -> bool:
    """Whether nothing but a little indentation stands in front on this line; a bounded look."""
    before = text[max(0, start - 40) : start]
    indentation = before.rpartition("\n")[2]
    return not indentation.strip() and (len(indentation) < len(before) or start <= 40)


def _holds_on(word: str, next_word: str, *, capital: bool) -> bool:
    """Whether the sentence goes on behind `word.`, given the word that follows."""
    if word in _TITLES:
        return True
    if word in _COUNTED:
        return next_word[:1].isdigit()
    if word.isdigit():
        return len(word) <= 2 and next_word in _MONTHS
    initial = len(word) == 1 and word.isalpha() and capital
    return (word in _EITHER or initial) and next_word not in _STARTERS


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
