"""Where the answers of a question file stand: the files and pages that its rows name, against those that were cited.

A row may name `file`, one or a list, and `page`, one or a list, counted from 1. Of several files and as many pages the
first page is of the first file, and so on; otherwise each page counts in each file. Without `file`, those of the row's
`doc_ids` count that are files of the folder.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from app.evals.rows import BadEvalData
from app.evals.scores import mean

if TYPE_CHECKING:
    from app.evals.answers import Outcome

Place = tuple[str, int | None]  # a file and a page of it; None where the file has no pages


@dataclass(frozen=True, slots=True)
class Gold:
    """Where a question's answer is known to stand; empty where that is not known."""

    files: frozenset[str] = frozenset()
    pages: frozenset[Place] = frozenset()


def gold_of(row: Mapping[str, Any], names: Iterable[str]) -> Gold:
    """What a row tells, its files found among `names`. Raises BadEvalData for a file that is not there and for what is
    no file or page."""
    known = set(names)
    files = [_named(name, known) for name in _listed(row.get("file"), str)]
    pages = _listed(row.get("page"), int)
    if pages and not files:
        raise BadEvalData(f"The question {row['question'][:60]!r} names a page and no file.")
    paired = len(files) > 1 and len(files) == len(pages)
    places = zip(files, pages, strict=True) if paired else product(files, pages)
    told = [one for name in row.get("doc_ids") or () if len(one := _matching(str(name), known)) == 1]
    return Gold(frozenset(files or (one[0] for one in told)), frozenset(places))


def _listed(told: Any, kind: type) -> list[Any]:
    values = [] if told is None else told if isinstance(told, list) else [told]
    if not all(type(value) is kind for value in values):
        raise BadEvalData(f"{told!r} is no {'page' if kind is int else 'file'}, nor a list of them.")
    return values


def _named(name: str, known: set[str]) -> str:
    found = _matching(name, known)
    if len(found) != 1:
        raise BadEvalData(f"{name!r} names {len(found) or 'no'} {'files' if found else 'file'} of the folder.")
    return found[0]


def _matching(name: str, known: set[str]) -> list[str]:
    """The file itself, or those whose paths end as the name does: question files name them from elsewhere."""
    if name in known:
        return [name]
    return [other for other in known if f"/{other}".endswith(f"/{name}") or f"/{name}".endswith(f"/{other}")]


def shares(golds: Sequence[Gold], outcomes: Sequence["Outcome"], names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Of the questions whose file or page is known, the share where it is among the citations, is the first of them,
    and is among the passages that the answer could be taken from. `names` gives the file's name by document id."""
    pairs = list(zip(golds, outcomes, strict=True))
    filed = [(gold.files, _files(outcome, names)) for gold, outcome in pairs if gold.files]
    paged = [(gold.pages, _pages(outcome, names)) for gold, outcome in pairs if gold.pages]
    return {
        "citation": {
            "with_file": len(filed),
            "gold_file": _share([bool(gold & set(cited)) for gold, (cited, _) in filed]),
            "gold_file_first": _share([bool(gold & set(cited[:1])) for gold, (cited, _) in filed]),
            "with_page": len(paged),
            "gold_page": _share([bool(gold & set(cited)) for gold, (cited, _) in paged]),
            "gold_page_first": _share([bool(gold & set(cited[:1])) for gold, (cited, _) in paged]),
        },
        "context": {
            "gold_file": _share([bool(gold & set(found)) for gold, (_, found) in filed]),
            "gold_page": _share([bool(gold & set(found)) for gold, (_, found) in paged]),
        },
    }


def _share(hits: Sequence[bool]) -> float | None:
    """None where there was nothing to hit."""
    return mean(hits) if hits else None


def _pages(outcome: "Outcome", names: Mapping[str, str]) -> tuple[list[Place], list[Place]]:
    """Where the citations stand, in the order of the answer, and where the passages do."""
    where = {source: (names[passage.document_id], passage.page) for source, passage in outcome.sources.items()}
    cited = [(where[c.source][0], c.page) for c in outcome.citations if c.source in where]
    return cited, list(where.values())


def _files(outcome: "Outcome", names: Mapping[str, str]) -> tuple[list[str], list[str]]:
    cited, found = _pages(outcome, names)
    return [name for name, _ in cited], [name for name, _ in found]
