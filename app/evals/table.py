"""`grounded eval table`: the JSON that the eval commands printed, as tables between the markers of README and manual.

So no figure there is typed by hand, and each stands under the command that made it.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from app.commands.config import replace_between
from app.commands.output import say
from app.evals.capacity_table import capacity_lines
from app.evals.chunking_table import chunking_lines
from app.evals.corpus import BadEvalData
from app.evals.growth_table import growth_lines
from app.evals.routing_table import marker_of, routing_lines
from app.evals.throughput_table import throughput_lines

_README = Path("README.md")  # gets what a newcomer asks for first; the manual has it all
_PAGES = (_README, Path("data/handbook/numbers.md"))
_CHUNKING = Path("data/handbook/chunking.md")
_PERFORMANCE = Path("data/handbook/performance.md")
_CAPACITY = Path("data/handbook/capacity.md")
_ROUTING = Path("data/handbook/routing.md")
_ORDERS = ("bm25", "dense", "hybrid", "reranked")


async def table(
    files: Sequence[Path],
    pages: Sequence[Path] = _PAGES,
    chunking: Path = _CHUNKING,
    performance: Path = _PERFORMANCE,
    routing: Path = _ROUTING,
    capacity: Path = _CAPACITY,
) -> int:
    """Sort the reports by kind and write them. A report's name is its file's name; reports of a way of chunking and of
    growth have pages of their own, and each page is left alone for which there is no report. The page on capacity needs
    one of growth and one of throughput, and says what an ingest takes where there is one of `grounded eval bench`."""
    reports = {file.stem: _read(file) for file in files}
    grown = [reports.pop(name) for name in list(reports) if "growth" in reports[name] or "signs" in reports[name]]
    routed = [reports.pop(name) for name in list(reports) if "models" in reports[name] or "routes" in reports[name]]
    served = [reports.pop(name) for name in list(reports) if "throughput" in reports[name]]
    cut = [report for report in reports.values() if report.get("chunking")]
    numbers = {name: report for name, report in reports.items() if not report.get("chunking")}
    if numbers:
        short = [*_beir(numbers), *_qa(numbers), *_bench(numbers)]
        every = [*_beir(numbers), *_qa(numbers), *_folder(numbers), *_extract(numbers), *_bench(numbers)]
        for page in pages:
            _write(page, "numbers", short if page == _README else every)
    if grown:
        _write(performance, "growth", growth_lines(grown, performance))
    for report in served:
        _write(performance, "throughput", throughput_lines(report))
        if sizes := [row for report in grown for row in report.get("growth", ()) if row.get("service")]:
            chunk_s = next((_chunk_s(found) for found in numbers.values() if "stages_ms" in found), None)
            _write(capacity, "capacity", capacity_lines(sizes, report["throughput"], chunk_s))
    for report in routed:
        _write(routing, marker_of(report), routing_lines(report))
    if cut:
        _write(chunking, "chunking", chunking_lines(cut, chunking))
    return 0


def _chunk_s(report: Mapping[str, Any]) -> float:
    """Core seconds of a chunk's ingest; all cores are at work while it lasts."""
    return int(report["machine"].split()[0]) / float(report["ingest"]["chunks_per_s"])


def _write(page: Path, marker: str, lines: list[str]) -> None:
    replace_between(page, marker, lines)
    say(f"{page}: {len(lines)} lines")


def _read(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = orjson.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise BadEvalData(f"{file.name} is not a report.") from error
    return found


def _beir(reports: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = {name: report for name, report in reports.items() if "ndcg@10" in report}
    if not found:
        return []
    columns = ("set", *_ORDERS, "fusion gains", "reranking gains")
    head = ["`grounded eval beir DIR`, nDCG@10 on two CPU cores; gains with their 95 % intervals by paired bootstrap:"]
    rows = [_beir_row(name, report) for name, report in found.items()]
    means = [sum(r["ndcg@10"][order] for r in found.values()) / len(found) for order in _ORDERS]
    last = [f"{mean:.3f}" for mean in means] + [_mean_gain(found.values(), order) for order in ("hybrid", "reranked")]
    note = "Fusion is compared with the better of BM25 and dense search on each set, reranking with the fusion."
    return [*head, "", _row(*columns), _rule(len(columns)), *rows, _row("mean", *last), "", note, ""]


def _beir_row(name: str, report: Mapping[str, Any]) -> str:
    gains = (_gain(*_measured(report, order)) for order in ("hybrid", "reranked"))
    return _row(name, *(f"{report['ndcg@10'][order]:.3f}" for order in _ORDERS), *gains)


def _mean_gain(reports: Collection[Mapping[str, Any]], order: str) -> str:
    """Of sets that count alike. They are independent, so the squares of their half widths add up."""
    each = [_measured(report, order) for report in reports]
    gain = sum(one for one, _, _ in each) / len(each)
    half = math.sqrt(sum(((high - low) / 2) ** 2 for _, low, high in each)) / len(each)
    return _gain(gain, gain - half, gain + half)


def _measured(report: Mapping[str, Any], order: str) -> tuple[float, float, float]:
    found = report["gains"][order]
    return found["ndcg@10"], *found["ci95"]


def _gain(gain: float, low: float, high: float) -> str:
    return f"{gain:+.3f} ({low:+.3f} to {high:+.3f})"


def _qa(reports: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = {name: report for name, report in reports.items() if "answerable" in report and "context" not in report}
    if not found:
        return []
    columns = (
        "set",
        "gold answer in the first two sentences",
        "gold sentence",
        "AUROC",
        "quotes exact",
        "p50 ms",
        "p95 ms",
    )
    head = ["`grounded eval qa DIR --qa FILE`, extractive answers:", "", _row(*columns), _rule(len(columns))]
    return [*head, *(_qa_row(name, report) for name, report in found.items()), ""]


def _qa_row(name: str, report: Mapping[str, Any]) -> str:
    answerable, latency = report["answerable"], report["latency_ms"]
    return _row(
        name,
        f"{answerable['contains_gold_first_two']:.3f}",
        _share(answerable["gold_sentence"]),
        _share(report["auroc"]),
        f"{report['citation']['quote_exact']:.3f}",
        latency["p50"],
        latency["p95"],
    )


def _folder(reports: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for name, report in ((name, report) for name, report in reports.items() if "context" in report):
        cited, found, i = report["citation"], report["context"], report["ingest"]
        lines += [f"`grounded eval folder DIR --qa FILE`, {name}, {report['n']} questions:", ""]
        lines += [_row("known", "questions", "in the context", "cited", "cited first"), _rule(5)]
        for kind in ("file", "page"):
            shares = (found[f"gold_{kind}"], cited[f"gold_{kind}"], cited[f"gold_{kind}_first"])
            lines.append(_row(kind, cited[f"with_{kind}"], *map(_share, shares)))
        speed = f"{i['pages_per_s']} pages/s read, the whole in {i['seconds']:.0f} s"
        ratio = f"{i['ratio_to_bare_embedding']} times the bare embedding of the same texts"
        size = f"{i['files']} files ({i['pages']} pages, {i['chunks']} chunks)"
        lines += ["", f"Ingest of {size}: {speed}, {ratio}; peak memory {i['peak_rss_mb']} MB.", ""]
    return lines


def _extract(reports: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for name, report in ((name, report) for name, report in reports.items() if "verdicts" in report):
        told = f"{report['n']} files, {report['crashes']} crashes, {report['hangs']} hangs"
        lines += [f"`grounded eval extract DIR` on {name}: {told}.", ""]
        if found := report["encodings"]:
            lines += [
                f"{found['right']} of {found['n']} texts came out as their label says ({found['share']:.3f}).",
                "",
            ]
        formats = {key: row for key, row in report["formats"].items() if row["read"]}
        if formats:
            rows = (_row(key, f["n"], f["read"], _share(f["median_word_recall"])) for key, f in formats.items())
            lines += [_row("format", "files", "read", "median word recall"), _rule(4), *rows, ""]
    return lines


def _bench(reports: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for report in (report for report in reports.values() if "stages_ms" in report):
        lines += [f"`make bench`, {report['questions']} questions, {report['machine']}:", ""]
        lines += [_row("stage", "p50 ms", "p95 ms", "budget of the field, ms"), _rule(4)]
        lines += [_row(stage, ms["p50"], ms["p95"], ms["budget"]) for stage, ms in report["stages_ms"].items()]
        i = report["ingest"]
        speed = f"{i['files_per_s']} files/s, {i['chunks_per_s']} chunks/s"
        ratio = f"{i['ratio_to_bare_embedding']} times the bare embedding of the same chunks"
        lines += ["", f"Ingest of {i['files']} files ({i['chunks']} chunks): {speed}, {ratio}.", ""]
    return lines


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _rule(columns: int) -> str:
    return _row(*["---"] * columns)
