"""The report of `python -m tests.upstream throughput` as tables of the manual's chapter on performance."""

from collections.abc import Mapping
from typing import Any

from app.evals.parts import SELF

Report = Mapping[str, Any]
_WAYS = {"extractive": "The built-in answerer, one JSON document", "chat": "A model that answers at once, streamed"}


def throughput_lines(report: Report) -> list[str]:
    """Answers a second by the number of clients, and where the CPU time goes: each way of answering has a table of both."""
    lines = [f"`python -m tests.upstream throughput`, {report['machine']}:", ""]
    for way, title in _WAYS.items():
        found = report["throughput"][way]
        clients = sorted((name for name in found if name.isdigit()), key=int)
        lines += [f"{title}:", "", *_rates(found, clients), "", *_parts(found, clients), ""]
    return lines


def _rates(found: Report, clients: list[str]) -> list[str]:
    lines = _head(
        "clients", "answers/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms an answer", "cores", "longest stall, ms"
    )
    for name in clients:
        s = found[name]
        told = (s[key] for key in ("per_s", "p50", "p95", "p99", "cpu_ms", "cores", "longest_stall_ms"))
        lines.append(_row(name, *told))
    return lines


def _parts(found: Report, clients: list[str]) -> list[str]:
    """The dearest part first, as one client has it; without what the measuring takes."""
    shares = {name: _shares(found[name]["cpu_ms_by_part"]) for name in clients}
    lines = _head("part of the CPU time", *(f"{name} client{'s' * (name != '1')}" for name in clients))
    for part in shares[clients[0]]:
        lines.append(_row(part, *(f"{shares[name].get(part, 0.0):.0%}" for name in clients)))
    return lines


def _shares(ms: Mapping[str, float]) -> dict[str, float]:
    whole = sum(value for part, value in ms.items() if part != SELF) or 1.0
    return {part: value / whole for part, value in ms.items() if part != SELF}


def _head(*cells: str) -> list[str]:
    return [_row(*cells), _row(*["---"] * len(cells))]


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
