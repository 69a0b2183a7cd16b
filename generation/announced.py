"""What a quoted sentence announces and says nothing without: the list, row or code that comes next. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from generation.quotable import Unit

_LEAD_IN = 40  # characters, as of "For example:" between a sentence and its list
_ITEMS = 12  # of a list at most; a longer one is no answer but a catalogue
_MARKS = "-*+• 0123456789.)\t|\n"  # what stands between a sentence and the first item without being text


def with_announced(units: Sequence[Unit], i: int, text: str, *, shows: bool) -> list[Unit]:
    """Unit `i` and what it announces. `units` are all in order; `text` is that of its passage.

    A list becomes one unit together with its sentence. Code stays a unit of its own, and where the answer is better
    shown than told (`shows`) it also comes along without a colon in front.
    """
    unit = units[i]
    behind = [other for other in units[i + 1 : i + 1 + _ITEMS] if other.n == unit.n]
    if unit.kind != "sentence" or not behind:
        return [unit]
    between = text[unit.end : behind[0].start].rstrip(_MARKS)
    announces = unit.text.endswith(":") or (between.endswith(":") and len(between) <= _LEAD_IN)
    if "#" in between or not (announces or (shows and behind[0].kind == "code" and not between)):
        return [unit]
    if behind[0].kind != "item":
        return [unit, behind[0]]
    return [_joined(unit, behind, text)]


def _joined(unit: Unit, behind: Sequence[Unit], text: str) -> Unit:
    end = unit.end
    for item in behind:
        if item.kind != "item" or "#" in text[end : item.start]:
            break
        end = item.end
    return replace(unit, end=end, text=text[unit.start : end], kind="list")
