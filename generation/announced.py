"""What a quoted sentence announces and says nothing without: the list, row or code that comes next. Pure."""

import re
from collections.abc import Sequence
from dataclasses import replace

from generation.quotable import Unit
from retrieval.includes import included, is_at
from retrieval.model import Passage

_LEAD_IN = 40  # characters, as of "For example:" between a sentence and its list
_ITEMS = 12  # of a list at most; a longer one is no answer but a catalogue
_LINES = 30  # of a file that is shown whole
_MARKS = "-*+• 0123456789.)\t|\n"  # what stands between a sentence and the first item without being text

_UNSEEN = re.compile(
    r"</?\w[^<>\n]{0,200}>|^[ \t]*(?:`{3,}|~{3,}|///|:::|!!!)[^\n]*$", re.MULTILINE
)  # where a block begins


def with_announced(units: Sequence[Unit], i: int, text: str, *, shows: bool) -> list[Unit]:
    """Unit `i` and what it announces. `units` are all in order; `text` is that of its passage.

    A list becomes one unit together with its sentence. Code stays a unit of its own, and where the answer is better
    shown than told (`shows`) it also comes along without a colon in front.
    """
    unit = units[i]
    behind = [other for other in units[i + 1 : i + 1 + _ITEMS] if other.n == unit.n]
    if unit.kind != "sentence" or not behind:
        return [unit]
    between = _UNSEEN.sub("", text[unit.end : behind[0].start]).strip(_MARKS)
    whole = unit.text.endswith(":") and (not between or behind[0].kind == "item")
    announces = whole or (between.endswith(":") and len(between) <= _LEAD_IN)
    if "#" in between or not (announces or (shows and behind[0].kind == "code" and not between)):
        return [unit]
    if behind[0].kind != "item":
        return [unit, behind[0]]
    return [_joined(unit, behind, text)]


def shown_by(unit: Unit, passages: Sequence[Passage]) -> list[Unit]:
    """The short passages of files that the section of a quoted sentence includes: each whole, as code. Units' numbers are
    those of the passages."""
    own = passages[unit.n - 1]
    section = [p for p in passages if (p.document_id, p.heading_path) == (own.document_id, own.heading_path)]
    paths = [path for passage in section for path in included(passage.text)]
    found = dict.fromkeys(n for path in paths for n, p in enumerate(passages, 1) if is_at(p, path) and _is_short(p))
    return [Unit(n, 0, len(text), text, "code") for n in found if (text := passages[n - 1].text)]


def _is_short(passage: Passage) -> bool:
    return passage.text.count("\n") < _LINES and passage.text == passage.text.strip()


def _joined(unit: Unit, behind: Sequence[Unit], text: str) -> Unit:
    end = unit.end
    for item in behind:
        if item.kind != "item" or "#" in text[end : item.start]:
            break
        end = item.end
    return replace(unit, end=end, text=text[unit.start : end], kind="list")
