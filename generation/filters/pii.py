"""Personal data and secrets in text that comes in pieces: masked, or the answer ends in front of them. Pure.

What is found has the form and the checksum of its kind. Names, addresses and whatever else only a model would recognise are
not looked for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from generation.filters.credentials import REST_OF_DRAWN, REST_OF_KEY, finder_of
from generation.filters.finding import AHEAD, Finder, Found, in_order
from generation.filters.hold_back import Edit, Scanned
from generation.filters.numbers import Ibans, Numbers
from generation.filters.shadow import compiled, shadow

PiiKind = Literal["credit_card", "iban", "us_ssn", "email", "phone", "ip_address", "secret", "url_credentials"]
Action = Literal["mask", "block", "allow"]
KINDS: tuple[PiiKind, ...] = get_args(PiiKind)
LABELS: Mapping[str, str] = {
    "credit_card": "card number",
    "iban": "IBAN",
    "us_ssn": "social security number",
    "email": "e-mail address",
    "phone": "telephone number",
    "ip_address": "IP address",
    "secret": "secret",
    "url_credentials": "user:password",
}

# What may still become a thing once more text has come: a word, a number in groups, an IBAN in groups, what precedes a secret.
_OPEN = compiled(
    r"(?:[!->@-~\xa1-\xff]{1,400}"
    r"|[+(]{0,2}[0-9](?:[0-9+()/\- ]|\.[0-9+()/\-]){0,44}(?:\.|[,( \-]{0,3}(?:[A-Za-z]{1,9}[ .:]{0,2}[0-9]{0,6})?)?"
    r"|[A-Za-z]{2}[0-9]{2}(?:[ \-]?[A-Za-z0-9]{1,4}){0,8}[ \-]?"
    r"|(?i:secret)[A-Za-z_ ]{0,20}[\"']?\s{0,3}(?:[:=]\s{0,3}[\"']?[A-Za-z0-9/+]{0,40})?"
    r"|-----B[A-Z0-9 ]{0,60}(?:-{1,5}(?:\\|\\n|\s){0,8}[A-Za-z0-9+/=]{0,16})?)$"
)
# Without one of these there is nothing to be found: all numbers have digits, addresses an @ or a colon, and every secret fifteen
# characters in a row.
_ANYTHING = compiled(r"[0-9@:]|[A-Za-z0-9_.\-/+=]{15}")
_TOKEN_REST = compiled(REST_OF_DRAWN)
_KEY_REST = compiled(REST_OF_KEY)
_LONGEST_REST = 80  # bytes of the line that ends a private key, and some more


@dataclass(frozen=True, slots=True)
class Item:
    """Something found, half open."""

    kind: str
    start: int
    end: int


def items(text: str, kinds: Iterable[str] = KINDS) -> list[Item]:
    """All there is in a text, from left to right."""
    seen = shadow(text)
    return [Item(found.kind, found.start, found.end) for found in in_order(_finders(frozenset(kinds)), seen, 0)]


def whole_items(text: str, kinds: Iterable[str] = KINDS) -> list[Item]:
    """As `items`, each to its very end: the rest of a token, and a private key up to the line that ends it."""
    seen, whole, at = shadow(text), list[Item](), 0
    for found in in_order(_finders(frozenset(kinds)), seen, 0):
        if found.start < at:  # inside the secret before it
            continue
        at = found.end
        if found.rest == "token":
            at = int(_TOKEN_REST.match(seen, at).end())
        elif found.rest:
            last = _KEY_REST.search(seen, at)
            at = int(last.end()) if last else len(seen)
        whole.append(Item(found.kind, found.start, at))
    return whole


class Known:
    """What may be said although it is personal: what stands in texts that the reader may read in any case."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)
        self._values: frozenset[tuple[str, str]] | None = None

    def holds(self, kind: str, value: str) -> bool:
        """Whether such a thing stands there, whatever separates its parts."""
        if self._values is None:  # most answers never ask
            self._values = frozenset(
                (item.kind, _plain(text[item.start : item.end])) for text in self._texts for item in items(text)
            )
        return (kind, _plain(value)) in self._values


NOTHING_KNOWN = Known(())


class PiiScanner:
    """Finds personal data on a stream. One for each stream: a secret may go on beyond what was seen of it."""

    def __init__(self, actions: Mapping[str, Action], known: Known = NOTHING_KNOWN) -> None:
        """What to do with each kind; those that are not named are let through, as is what is `known`."""
        self._actions = {kind: action for kind, action in actions.items() if action != "allow"}
        self._finders = _finders(frozenset(self._actions))
        self._known = known
        self._rest = ""

    def scan(self, text: str, start: int, *, final: bool) -> Scanned:
        seen = shadow(text)
        edits: list[Edit] = []
        at: int | None = start
        while at is not None:
            at = self._swallow(seen, at, edits, final=final)
            if at is not None:
                limit = len(seen) if final else max(_certain(seen, at), at)
                at, done = self._until_rest(text, seen, (at, limit), edits)
                if done:
                    return Scanned(tuple(edits), at)
        return Scanned(tuple(edits), edits[-1].end if edits else start)

    def _until_rest(self, text: str, seen: bytes, span: tuple[int, int], edits: list[Edit]) -> tuple[int, bool]:
        """Finds on until a secret whose rest is to be taken away: up to where, and whether that is all for now."""
        at, limit = span
        if _ANYTHING.search(seen, at) is None:  # most words of an answer; nine patterns need not be asked
            return limit, True
        for found in in_order(self._finders, seen, at):
            if found.begin >= limit:
                break
            at = found.end
            edit = self._edit(text, found)
            if edit is None:
                continue
            edits.append(edit)
            self._rest = found.rest
            if edit.stop or found.rest:
                return at, edit.stop
        return max(limit, at), True

    def _edit(self, text: str, found: Found) -> Edit | None:
        if self._known.holds(found.kind, text[found.start : found.end]):
            return None
        stop = self._actions[found.kind] == "block"
        mask = text[found.begin : found.start] + f"‹{LABELS[found.kind]}›"
        return Edit(found.begin, found.end, mask, f"pii.{found.kind}", stop)

    def _swallow(self, seen: bytes, at: int, edits: list[Edit], *, final: bool) -> int | None:
        """Take away the rest of a secret whose beginning is masked; None while its end has not come."""
        if not self._rest:
            return at
        if self._rest == "token":
            end, over = int(_TOKEN_REST.match(seen, at).end()), True
            over = final or end < len(seen)
        else:
            last = _KEY_REST.search(seen, at)
            over = last is not None or final
            end = int(last.end()) if last else len(seen) if final else max(len(seen) - _LONGEST_REST, at)
        if end > at:
            edits.append(Edit(at, end, ""))
        if not over:
            return None
        self._rest = ""
        return end


@lru_cache(maxsize=64)
def _finders(kinds: frozenset[str]) -> tuple[Finder, ...]:
    numbers: list[Finder] = [Numbers(kinds)] if kinds & {"credit_card", "us_ssn", "ip_address", "phone"} else []
    ibans: list[Finder] = [Ibans()] if "iban" in kinds else []
    patterns = [finder for kind in KINDS if kind in kinds for finder in finder_of(kind)]
    return (*numbers, *ibans, *patterns)


def _certain(seen: bytes, start: int) -> int:
    """From where on a thing may have begun that is not whole."""
    tail = max(len(seen) - AHEAD, start)
    match = _OPEN.search(seen, tail)
    return int(match.start()) if match else len(seen)


def _plain(value: str) -> str:
    return "".join(char for char in value.casefold() if char not in " -./()\u00a0")
