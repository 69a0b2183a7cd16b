"""Checks that tell a number of a kind from any other number. Pure."""

from typing import Final

# ISO 13616 registry: how long an IBAN of each country is.
IBAN_LENGTHS: Final = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA",
        30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_AMEX, _DINERS = (15,), (14, 15, 16, 17, 18, 19)
_LONG = (16, 17, 18, 19)
# ISO/IEC 7812 issuers: first and last prefix, and the lengths of their numbers.
_ISSUERS: Final = (
    ("4", "4", (13, 16, 19)), ("51", "55", (16,)), ("2221", "2720", (16,)), ("34", "34", _AMEX), ("37", "37", _AMEX),
    ("6011", "6011", _LONG), ("644", "649", _LONG), ("65", "65", _LONG), ("35", "35", _LONG), ("1800", "1800", (15,)),
    ("2131", "2131", (15,)), ("300", "305", _DINERS), ("3095", "3095", _DINERS), ("36", "36", _DINERS), ("38", "39", _DINERS),
    ("62", "62", _LONG), ("50", "50", tuple(range(12, 20))), ("56", "69", tuple(range(12, 20))),
)  # fmt: skip


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) << (place & 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def card(digits: str) -> bool:
    """Whether some issuer gives out numbers like this one."""
    issued = any(len(digits) in lengths and first <= digits[: len(first)] <= last for first, last, lengths in _ISSUERS)
    return issued and luhn(digits) and len(set(digits)) > 1


def iban(compact: str) -> bool:
    """ISO 13616: the length of the country, and 97 leaves 1."""
    compact = compact.upper()
    if IBAN_LENGTHS.get(compact[:2]) != len(compact) or not compact.isalnum():
        return False
    moved = compact[4:] + compact[:4]
    return int("".join(str(int(char, 36)) for char in moved)) % 97 == 1


def us_ssn(area: str, group: str, serial: str) -> bool:
    """Numbers that the Social Security Administration gives out; the two from its advertisements are nobody's."""
    if area in ("000", "666") or area >= "900" or group == "00" or serial == "0000":
        return False
    return (area, group, serial) not in (("078", "05", "1120"), ("219", "09", "9999"))
