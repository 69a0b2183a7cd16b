"""Files that a page includes instead of repeating them, as documentation does with the code that it explains. Pure.

The page's text holds the path alone: `{* ../src/app.py *}`, `--8<-- "src/app.py"`, `.. literalinclude:: ../src/app.py`,
`include::app.rb[]`. What such a path is relative to, differs; where it ends, does not.
"""

import re
from collections.abc import Sequence

from retrieval.model import Passage

_INCLUDED = re.compile(
    r"\{[*!]>?[ \t]*([\w./@-]{1,300})(?=[ \t*!])[^\n{}]{0,200}[*!]\}"
    r"|^[ \t]*--8<--[ \t]+[\"']([\w./@-]{1,300})"
    r"|^[ \t]*\.\. (?:literal)?include::[ \t]+([\w./@-]{1,300})"
    r"|^include::([\w./@-]{1,300})\[",
    re.MULTILINE,
)
_UP = re.compile(r"^(?:\.{0,2}/)+")


def included(text: str) -> tuple[str, ...]:
    """The paths that the text includes, in order, without the way up to where they begin."""
    found = ("".join(groups) for groups in _INCLUDED.findall(text))
    return tuple(path for path in (_UP.sub("", each) for each in found) if path)


def is_at(passage: Passage, path: str) -> bool:
    """Whether the passage is of a file whose name ends with this path."""
    return passage.name == path or passage.name.endswith(f"/{path}")


def with_included(passages: Sequence[Passage], top_k: int) -> list[Passage]:
    """The passages, each of the first `top_k` followed by the best one of each file that it includes: without the code that
    it explains a page says half."""
    order: dict[str, Passage] = {}
    for n, passage in enumerate(passages):
        order.setdefault(passage.id, passage)
        for path in included(passage.text) if n < top_k else ():
            best = next((other for other in passages if is_at(other, path)), None)
            if best is not None:
                order.setdefault(best.id, best)
    return list(order.values())
