"""The reports of `grounded eval models` and `grounded eval routes` as Markdown tables."""

from collections.abc import Mapping
from typing import Any

from app.commands.output import emit, emit_json

Report = Mapping[str, Any]


def routing_lines(report: Report) -> list[str]:
    """The lines of either report."""
    return models_lines(report) if "models" in report else routes_lines(report)


def marker_of(report: Report) -> str:
    """Where in the manual it stands."""
    return "models" if "models" in report else "routes" if report["labelled"] else "shares"


def shown(report: Report, *, as_json: bool) -> int:
    """Print it, as JSON or as the tables of the manual."""
    if as_json:
        emit_json(dict(report))
    else:
        emit("\n".join(routing_lines(report)).rstrip())
    return 0


def models_lines(report: Report) -> list[str]:
    """A row per tier, the routed mix last, and what the mix saves."""
    head = ("answers by", "right", "declined", "failed", "p50 ms", "p95 ms", "tokens in", "tokens out", "USD per 1000")
    ways = dict(report["tiers"]) | ({"routed": report["routed"]} if "routed" in report else {})
    rows = [_row(f"`{name}`", *_cells(way)) for name, way in ways.items()]
    lines = [f"`grounded eval models`, {report['n']} questions:", "", _row(*head), _rule(len(head)), *rows, ""]
    if "routed" not in report:
        return lines
    mix = report["routed"]
    shares = ", ".join(f"{share:.0%} `{name}`" for name, share in mix["share"].items())
    saved = mix["saving_beside_all_large"]
    beside = "" if saved is None else f"; beside `{report['all_large']}` for all it saves {saved:.1%}"
    return [*lines, f"The routed mix was written by {shares}{beside}.", ""]


def routes_lines(report: Report) -> list[str]:
    """Shares and agreement of each half, the confusion of the second, and the cost."""
    parts = {"first half": report["first_half"], "second half": report["second_half"]}
    low, high = report["thresholds"][:2]
    head = ("questions", "n", "same as labelled", "sent lower", "sent higher", "simple", "medium", "complex")
    lines = [f"`grounded eval routes`, {report['n']} questions, thresholds {low:g} and {high:g}:", ""]
    if not report["labelled"]:
        share = ", ".join(f"{share:.1%} {name}" for name, share in report["all"]["share"].items())
        return [*lines, f"Taken for: {share}.", "", *_cost_lines(report)]
    lines += [_row(*head), _rule(len(head))]
    for name, part in parts.items():
        told = (f"{part[key]:.1%}" for key in ("agreement", "below", "above"))
        lines.append(_row(name, part["n"], *told, *(f"{share:.1%}" for share in part["share"].values())))
    lines += ["", "Of the second half, by label and by the tier that got it:", ""]
    confusion = report["second_half"]["confusion"]
    lines += [_row("labelled", *confusion), _rule(1 + len(confusion))]
    lines += [_row(label, *given.values()) for label, given in confusion.items()]
    return [*lines, "", *_cost_lines(report)]


def _cost_lines(report: Report) -> list[str]:
    cost = report["cost"]
    if cost is None:
        return []
    prices = ", ".join(f"`{name}` {given} and {made}" for name, (given, made) in cost["prices"].items())
    part = "Cost of the second half" if report["labelled"] else "Cost"
    tokens = f"{cost['input_tokens']:.0f} tokens of prompt in the mean, {report['output_tokens']} of answer"
    lines = [
        f"{part}, by arithmetic: {tokens}, at USD per million tokens of input and output: {prices}.",
        "",
        _row("answered by", "USD per 1000 questions"),
        _rule(2),
        *(_row(name.replace("_", " "), f"{usd:.4f}") for name, usd in cost["usd_per_1000"].items()),
        "",
    ]
    if cost["saving"] is None:
        return lines
    by_label = cost["saving_by_label"]
    beside = "" if by_label is None else f"; a router that always agreed with the labels would save {by_label:.1%}"
    return [*lines, f"Beside the dearest tier for all, routing saves {cost['saving']:.1%}{beside}.", ""]


def _cells(way: Report) -> list[str]:
    right = "" if way["accuracy"] is None else f"{way['accuracy']:.1%}"
    ms, tokens = way["latency_ms"], way["tokens"]
    usd = f"{way['cost_usd_per_1000']:.4f}"
    return [right, f"{way['abstained']:.1%}", *map(str, (way["failed"], ms["p50"], ms["p95"], *_io(tokens), usd))]


def _io(tokens: Report) -> tuple[int, int]:
    return tokens["input"], tokens["output"]


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _rule(columns: int) -> str:
    return _row(*["---"] * columns)
