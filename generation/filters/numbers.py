"""Cards, social security numbers, IPv4 addresses, telephone numbers and IBANs. Pure."""

from collections.abc import Set as AbstractSet
from typing import Final

from generation.filters.checksums import IBAN_LENGTHS, card, iban, us_ssn
from generation.filters.finding import Found
from generation.filters.shadow import compiled

_GROUP = compiled(r"[0-9]+")
_CARD_LAYOUTS = (
    compiled(r"[0-9]{12,19}"),
    *(compiled(rf"[0-9]{{4}}(?:{gap}[0-9]{{4}}){{2,3}}(?:{gap}[0-9]{{1,4}})") for gap in ("[ ]", "-", r"\.")),
    *(compiled(rf"[0-9]{{4}}(?:{gap}[0-9]{{4}}){{3}}") for gap in ("[ ]", "-", r"\.")),
    *(compiled(rf"[0-9]{{4}}{gap}[0-9]{{6}}{gap}[0-9]{{4,5}}") for gap in ("[ ]", "-", r"\.")),
)
_SSN = compiled(r"([0-9]{3})(?:-([0-9]{2})-|[ ]([0-9]{2})[ ])([0-9]{4})")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = compiled(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_VERSION = compiled(r"[0-9](?:\.[0-9]){3}")
_ABROAD = compiled(r"[0-9]{1,4}\)?(?:[ .\-/]?\(?[0-9]{1,12}\)?){0,7}")
_NANP = compiled(
    r"(?:1[ .\-]?)?(?:\([2-9][0-9]{2}\)[ ]?[2-9][0-9]{2}[ .\-][0-9]{4}"
    r"|[2-9][0-9]{2}\)[ ]?[2-9][0-9]{2}[ .\-][0-9]{4}"
    r"|[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}|[2-9][0-9]{2}[ ][2-9][0-9]{2}[ ][0-9]{4}"
    r"|[2-9][0-9]{2}\.[2-9][0-9]{2}\.[0-9]{4})"
)
_TRUNK = compiled(
    r"0[1-9][0-9]{0,3}(?:[ \-/]|\)[ ]?)"
    r"(?:[0-9]{2,4}(?:[ ][0-9]{2,4}){1,4}|[0-9]{2,4}(?:-[0-9]{2,4}){1,4}|[0-9]{3,8})"
)
_DIALLED = compiled(r"00[1-9][0-9]{0,2}(?:[ \-/]\(?[0-9]{1,9}\)?){1,6}")
_ANY_NUMBER = compiled(r"[0-9]{1,5}\)?(?:[ .\-/]?\(?[0-9]{2,6}\)?){1,5}|[0-9]{7,12}")
_EXTENSION = compiled(r"[ ,]{0,2}(?:x|ext\.?|extension)[ .:]{0,2}[0-9]{1,6}\b", any_case=True)
_TELEPHONE = compiled(
    r"(?:(?:phone|tel|mobile|cell|fax|call|dial|whatsapp|sms)[a-z.]{0,8}"
    r"|\b(?:ring|text|reach|contact|answering|messages?|(?:my|his|her|our|their) number))[^0-9a-z]{0,3}"
    r"(?:(?:me|us|him|her|them|at|on|is|number|no|nr|to)[^0-9a-z]{1,3}){0,3}[(]?$"
    r"|\b(?:desk|office|home|work|direct)[^0-9a-z]{0,2}:[^0-9a-z]{0,2}$",
    any_case=True,
)
_TOLD_BEHIND = compiled(r"[ \-,(]{1,3}(?:office|fax|mobile|cell|phone|telephone|tel|desk|home|work)\b", any_case=True)
_SECURITY = compiled(r"(?:ssn|social security)[^0-9]{0,16}$", any_case=True)
_HEAD = compiled(r"[A-Za-z]{2}[0-9]{2}")
_REST = compiled(
    r"[A-Za-z0-9]{11,30}|(?:[ ][A-Za-z0-9]{4}){2,7}(?:[ ][A-Za-z0-9]{1,4})?|(?:-[A-Za-z0-9]{4}){2,7}(?:-[A-Za-z0-9]{1,4})?"
)
_WORD: Final = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_DIGIT: Final = frozenset(b"0123456789")
_SIGNED: Final = frozenset(bytes([digit]) for digit in _DIGIT)
# ITU E.164: the country codes that are given out, of one, two and three digits.
_CODES: Final = """
1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92
93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 234 235 236 237 238 239 240 241 242
243 244 245 246 247 248 249 250 251 252 253 254 255 256 257 258 260 261 262 263 264 265 266 267 268 269 290 291 297 298 299
350 351 352 353 354 355 356 357 358 359 370 371 372 373 374 375 376 377 378 380 381 382 383 385 386 387 389 420 421 423 500
501 502 503 504 505 506 507 508 509 590 591 592 593 594 595 596 597 598 599 670 672 673 674 675 676 677 678 679 680 681 682
683 685 686 687 688 689 690 691 692 800 808 850 852 853 855 856 870 878 880 881 882 883 886 888 960 961 962 963 964 965 966
967 968 970 971 972 973 974 975 976 977 979 992 993 994 995 996 998
"""
_COUNTRIES: Final = frozenset(_CODES.split())
_NORTH_AMERICAN = 11
_FEWEST, _MOST = 8, 13  # digits of a number with its country code, in groups


class Numbers:
    """Whatever begins with a group of digits, a plus or a bracket in front of it included."""

    def __init__(self, kinds: AbstractSet[str]) -> None:
        """Of `credit_card`, `us_ssn`, `ip_address`, `phone` those that are looked for."""
        every = (("credit_card", _card), ("us_ssn", _ssn), ("ip_address", _ipv4), ("phone", _phone))
        self._tries = [(kind, look) for kind, look in every if kind in kinds]

    def first(self, text: bytes, start: int) -> Found | None:
        at = start
        while (group := _GROUP.search(text, at)) is not None:
            begin, at = group.span()
            if begin and text[begin - 1] in _DIGIT:
                continue
            for kind, look in self._tries:
                span = look(text, begin)
                if span is not None:
                    first = max(span[0], start)
                    return Found(kind, first, first, span[1])
        return None


class Ibans:
    """International bank account numbers, in one piece or in groups of four."""

    def first(self, text: bytes, start: int) -> Found | None:
        while (head := _HEAD.search(text, start)) is not None:
            begin = head.start()
            end = _iban_end(text, begin)
            if end is not None:
                return Found("iban", begin, begin, end)
            start = begin + 1
        return None


def _iban_end(text: bytes, begin: int) -> int | None:
    length = IBAN_LENGTHS.get(text[begin : begin + 2].decode().upper())
    if length is None or (begin and text[begin - 1] in _WORD):
        return None
    rest = _REST.match(text, begin + 4)
    if rest is None:
        return None
    seen, end = 4, begin + 4
    while seen < length and end < rest.end():
        seen += text[end] in _WORD
        end += 1
    compact = text[begin:end].decode("latin-1").replace(" ", "").replace("-", "")
    whole = seen == length and (end == len(text) or text[end] not in _WORD)
    return end if whole and iban(compact) else None


def _digits(piece: bytes) -> str:
    return bytes(char for char in piece if char in _DIGIT).decode()


def _apart(text: bytes, begin: int, end: int) -> bool:
    """Whether no digits stand on either side, nor joined by a hyphen or a full stop."""
    behind = text[end : end + 2]
    if behind and (behind[0] in _WORD or (behind[:1] in b"-./" and behind[1:] and behind[1] in _DIGIT)):
        return False
    return _begins(text, begin)


def _begins(text: bytes, begin: int) -> bool:
    before = text[max(begin - 2, 0) : begin]
    return not (before and (before[-1] in _WORD or (before[-1:] in b"-./" and before[0] in _DIGIT)))


def _card(text: bytes, begin: int) -> tuple[int, int] | None:
    for layout in _CARD_LAYOUTS:
        match = layout.match(text, begin)
        if match is None or (match.end() < len(text) and text[match.end()] in _DIGIT):
            continue
        if card(_digits(match.group())):
            return begin, int(match.end())
    return None


def _ssn(text: bytes, begin: int) -> tuple[int, int] | None:
    match = _SSN.match(text, begin)
    if match is not None and _apart(text, *match.span()):
        if b" " in match.group() and _in_row(text, *match.span()):
            return None
        area, dashed, spaced, serial = (part.decode() if part else "" for part in match.groups())
        return match.span() if us_ssn(area, dashed or spaced, serial) else None
    group = _GROUP.match(text, begin)
    if (
        group.end() - begin == 9
        and _apart(text, begin, group.end())
        and _SECURITY.search(text[max(begin - 32, 0) : begin])
    ):
        nine = group.group().decode()
        return group.span() if us_ssn(nine[:3], nine[3:5], nine[5:]) else None
    return None


def _ipv4(text: bytes, begin: int) -> tuple[int, int] | None:
    """Addresses that are everybody's are nobody's: this machine, any, all. Four single digits are a version."""
    match = _IPV4.match(text, begin)
    if match is None or not _apart(text, *match.span()) or match.group().startswith((b"127.", b"0.", b"255.")):
        return None
    if text[max(begin - 1, 0) : begin] in (b".", b"-") or _VERSION.fullmatch(match.group()):
        return None
    return begin, int(match.end())


def _phone(text: bytes, begin: int) -> tuple[int, int] | None:
    bracket = begin - 1 if begin and text[begin - 1] in b"(" else begin
    if bracket and text[bracket - 1] in b"+":
        found = _abroad(text, bracket - 1, begin)
        return found and (found[0], _extended(text, found[1]))
    for first in dict.fromkeys((bracket, begin)):  # the bracket may be one around all of the number
        if _begins(text, first):
            for look in (_nanp, _trunk, _dialled, _told):
                end = look(text, first, begin)
                if end is not None:
                    return first, _extended(text, end)
    return None


def _extended(text: bytes, end: int) -> int:
    """Where the extension behind a number ends, if one follows."""
    extension = _EXTENSION.match(text, end)
    return int(extension.end()) if extension else end


def _alone(text: bytes, first: int, end: int) -> bool:
    """Whether no digits stand on either side of a number and its extension."""
    return _apart(text, first, _extended(text, end))


def _in_row(text: bytes, first: int, end: int) -> bool:
    """Whether this is a part of a longer row of digits: a table, a sum of money, bits."""
    before, behind = text[max(first - 2, 0) : first], text[end : end + 2]
    counted = before[:1] in _SIGNED and before[1:] in (b" ", b",")
    return counted or (behind[:1] == b" " and behind[1:] in _SIGNED)


def _abroad(text: bytes, plus: int, begin: int) -> tuple[int, int] | None:
    match = _ABROAD.match(text, begin)
    if match is None or not any(_digits(match.group()).startswith(code) for code in _COUNTRIES):
        return None
    most = 11 if text[begin : begin + 1] == b"1" else _MOST
    end = begin
    for group in _GROUP.finditer(text, begin, match.end()):
        if len(_digits(text[begin : group.end()])) > most:
            break
        end = group.end()
    count = len(_digits(text[begin:end]))
    whole = end == len(text) or text[end] not in _DIGIT
    return (plus, end) if whole and count >= (11 if most == 11 else _FEWEST) else None


def _nanp(text: bytes, first: int, begin: int) -> int | None:
    match = _NANP.match(text, begin)
    if match is None or (b")" in match.group()) != (b"(" in text[first : match.end()]):
        return None
    spaced = b" " in match.group() and b")" not in match.group()
    if not _alone(text, first, match.end()) or (spaced and _in_row(text, first, match.end())):
        return None
    return int(match.end())


def _trunk(text: bytes, first: int, begin: int) -> int | None:
    match = _TRUNK.match(text, begin)
    if match is None or (b")" in match.group()) != (first < begin):
        return None
    count = len(_digits(match.group()))
    whole = 9 <= count <= 12 and _alone(text, first, match.end()) and not _in_row(text, first, match.end())
    return match.end() if whole else None


def _dialled(text: bytes, first: int, begin: int) -> int | None:
    """With 00 and a country code, in groups."""
    match = _DIALLED.match(text, begin)
    if match is None or first < begin or not 10 <= len(_digits(match.group())) - 2 <= 13:
        return None
    number = _digits(match.group())[2:]
    known = len(number) == _NORTH_AMERICAN if number[0] == "1" else any(number.startswith(c) for c in _COUNTRIES)
    alone = _alone(text, first, match.end()) and not _in_row(text, first, match.end())
    return match.end() if known and alone else None


def _told(text: bytes, first: int, begin: int) -> int | None:
    """Any number that the words around it call one of a telephone."""
    match = _ANY_NUMBER.match(text, begin)
    if match is None or not 7 <= len(_digits(match.group())) <= 12 or not _alone(text, first, match.end()):
        return None
    said = _TELEPHONE.search(text[max(first - 40, 0) : first]) or _TOLD_BEHIND.match(text, match.end())
    return match.end() if said else None
