"""What each way of chunking measures, as the grids of the manual: a row per strategy and a column per set.

A cell of which there is no report stays as it stands on the page, so that one set can be measured anew.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Report = Mapping[str, Any]
Cells = dict[tuple[str, str], str]  # by strategy and set

_COMMAND = "`grounded eval beir DIR --chunking STRATEGY`, nDCG@10"
_AS_SERVED, _BEFORE, _CHUNKS = (
    f"{_COMMAND} as the service ranks:",
    f"{_COMMAND} before reranking:",
    "Chunks that each strategy cuts:",
)


def chunking_lines(reports: Sequence[Report], page: Path) -> list[str]:
    """The grids with what the reports say, and with what stands on the page where they say nothing."""
    standing = _standing(page.read_text(encoding="utf-8"))
    lines: list[str] = []
    for title in (_AS_SERVED, _BEFORE, _CHUNKS):
        told = {(str(report["chunking"]), _set(report)): _told(report, title) for report in reports}
        lines += [title, "", *_grid({**standing.get(title, {}), **told}), ""]
    return lines


def _told(report: Report, title: str) -> str:
    if title == _CHUNKS:
        return str(report["ingest"]["chunks"])
    return f"{report['ndcg@10']['reranked' if title == _AS_SERVED else 'hybrid']:.3f}"


def _grid(cells: Cells) -> list[str]:
    strategies, sets = (list(dict.fromkeys(key[place] for key in cells)) for place in (0, 1))
    head = [_row(("strategy", *sets)), _row(["---"] * (len(sets) + 1))]
    return head + [
        _row((f"`{strategy}`", *(cells.get((strategy, one), "") for one in sets))) for strategy in strategies
    ]


def _standing(text: str) -> dict[str, Cells]:
    """The cells of each grid on a page, empty ones too: they keep the order of rows and columns."""
    found: dict[str, Cells] = {}
    title, sets = "", list[str]()
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if line in (_AS_SERVED, _BEFORE, _CHUNKS):
            title, sets = line, []
        elif title and cells and not sets:
            sets = cells[1:]
        elif title and cells and cells[0] != "---":
            found.setdefault(title, {}).update(
                {(cells[0].strip("`"), one): c for one, c in zip(sets, cells[1:], strict=True)}
            )
        elif title and line and not cells:
            title = ""
    return found


def _set(report: Report) -> str:
    return f"{report['set']}, joined" if report.get("joined") else str(report["set"])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
