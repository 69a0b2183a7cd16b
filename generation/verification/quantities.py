"""Numbers with their units, in one measure: `5 %` is five percent, `1,000` is 1k, and 2 hours are not 2 minutes."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from generation.verification.words import listed

_SMALL = dict(
    zip(
        listed(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
            "eighteen nineteen"
        ),
        range(20),
        strict=True,
    )
)
_TENS = dict(zip(listed("twenty thirty forty fifty sixty seventy eighty ninety"), range(20, 100, 10), strict=True))
_TIMES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_SHORT = {"k": 1e3, "K": 1e3, "M": 1e6, "m": 1e6, "bn": 1e9, "B": 1e9}
_NUMBER_WORD = "|".join([*_SMALL, *_TENS])
_QUANTITY = re.compile(
    r"(?<![\w.])(?P<money>[$€£]\s?)?"
    rf"(?:(?P<digits>\d{{1,3}}(?:[,\u202f\u00a0]\d{{3}})+(?:\.\d+)?|\d+(?:\.\d+)?)|(?P<word>(?:{_NUMBER_WORD})"
    rf"(?:[- ](?:{_NUMBER_WORD}))?))"
    r"(?:(?P<short>k|K|M|bn)\b)?"
    rf"(?P<times>(?:[ -](?:{'|'.join(_TIMES)})\b)*)"
    r"(?:[ \u202f\u00a0-]?(?P<unit>%|°[CF]?|[A-Za-zµ]+(?: cent)?))?",
    re.IGNORECASE,
)
_UNITS: dict[str, tuple[str, float]] = {}
for _measure, _forms in {
    "percent": {1.0: "% percent percentage pct"},
    "second": {
        1e-9: "ns nanosecond",
        1e-6: "us µs microsecond",
        1e-3: "ms msec millisecond",
        1.0: "s sec second",
        60.0: "min minute",
        3600.0: "h hr hour",
        86400.0: "d day",
        604800.0: "week wk",
        2629746.0: "month",
        31556952.0: "year yr",
        315569520.0: "decade",
    },
    "metre": {
        1e-9: "nm nanometer nanometre",
        1e-3: "mm millimeter millimetre",
        1e-2: "cm centimeter centimetre",
        0.0254: "inch",
        0.3048: "ft foot feet",
        1.0: "m meter metre",
        1e3: "km kilometer kilometre",
        1609.344: "mi mile",
    },
    "gram": {1e-3: "mg milligram", 1.0: "g gram", 453.592: "lb pound", 1e3: "kg kilogram kilo", 1e6: "ton tonne"},
    "byte": {
        1.0: "byte",
        1e3: "kb kilobyte",
        1e6: "mb megabyte",
        1e9: "gb gigabyte",
        1e12: "tb terabyte",
        1024.0: "kib",
        1048576.0: "mib",
        1073741824.0: "gib",
    },
    "litre": {1e-3: "ml milliliter millilitre", 1.0: "l liter litre"},
    "hertz": {1.0: "hz hertz", 1e3: "khz", 1e6: "mhz", 1e9: "ghz"},
    "dollar": {1.0: "$ usd dollar"},
    "euro": {1.0: "€ eur euro"},
    "sterling": {1.0: "£ gbp"},
}.items():
    for _factor, _names in _forms.items():
        for _name in _names.split():
            _UNITS[_name] = _measure, _factor
_ABOUT = re.compile(
    r"(?:about|around|approximately|roughly|nearly|almost|over|under|some|circa|than|~|≈)\s*\Z", re.IGNORECASE
)
_EXACT = 1e-6
_ROUNDED = 0.1  # of its own value, that a number may be off where its sentence says "about"
_LOOKED_BACK = 16


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it is said, `value`, with the measure that its unit belongs to, None where it has none of ours; `base` is
    the value in that measure's own unit. `about`: the text does not claim to be exact."""

    value: float
    measure: str | None
    base: float
    about: bool
    start: int
    end: int


def quantities(text: str, taken: Sequence[tuple[int, int]] = ()) -> list[Quantity]:
    """All in order, but what overlaps `taken`, the spans of dates. The word "one" alone is no number."""
    found: list[Quantity] = []
    for match in _QUANTITY.finditer(text):
        if any(match.start() < end and start < match.end() for start, end in taken):
            continue
        if (quantity := _quantity(text, match)) is not None:
            found.append(quantity)
    return found


def carried(claimed: Quantity, said: Sequence[Quantity]) -> bool:
    """Whether one of the others is the same. A number without a unit, here or there, is compared as it is said."""
    return any(_same(claimed, other) for other in said)


def _quantity(text: str, match: re.Match[str]) -> Quantity | None:
    value = _value(match)
    if value is None:
        return None
    end = match.end("times")
    unit = match["unit"] or ""
    measure, factor = _unit("".join((match["money"] or "").split()) or unit)
    if measure is not None and unit:
        end = match.end()
    about = _ABOUT.search(text[max(0, match.start() - _LOOKED_BACK) : match.start()]) is not None
    return Quantity(value, measure, value * factor, about, match.start(), end)


def _value(match: re.Match[str]) -> float | None:
    if match["digits"]:
        value = float(re.sub(r"[,\u202f\u00a0]", "", match["digits"]))
    else:
        parts = re.split(r"[- ]", (match["word"] or "").casefold().strip())
        value = float(sum(_SMALL.get(part, _TENS.get(part, 0)) for part in parts))
        if parts == ["one"] and not match["times"]:
            return None
    if match["short"]:
        value *= _SHORT.get(match["short"], _SHORT.get(match["short"].lower(), 1.0))
    for word in re.split(r"[ -]", match["times"].casefold()):
        value *= _TIMES.get(word, 1.0)
    return value


def _unit(name: str) -> tuple[str | None, float]:
    folded = name.casefold().replace("per cent", "percent")
    for form in (folded, folded.removesuffix("s"), folded.removesuffix("es")):
        if form in _UNITS:
            return _UNITS[form]
    return None, 1.0


def _same(one: Quantity, other: Quantity) -> bool:
    if one.measure and other.measure:
        return one.measure == other.measure and _near(one.base, other.base, about=one.about)
    return _near(one.value, other.value, about=one.about)


def _near(one: float, other: float, *, about: bool) -> bool:
    return math.isclose(one, other, rel_tol=_ROUNDED if about else _EXACT, abs_tol=_EXACT * 1e-6)
