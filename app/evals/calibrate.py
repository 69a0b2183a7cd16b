"""`grounded eval calibrate`: the bars of abstention fitted to the operator's own cases, and what they are worth.

The documents go the way of every ingest into a temporary state, every question is answered by quoting, however unsure, and a
bar is put over the confidences. With a tier its model writes the answers too, and a bar is put over the probability that
the verifier gives to the best sentence of each. Nothing of the questions stands in the file that is written, only numbers.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from app.abstention_settings import AbstentionSettings
from app.calibration import SHIPPED_FOR, Calibration, verifier_fingerprint
from app.commands.output import emit_json
from app.evals.abstaining import (
    Cases,
    Target,
    at,
    auroc,
    bar_for,
    changes,
    chosen,
    held_out,
    intervals,
    risk_coverage,
    target_of,
)
from app.evals.answers import Outcome, Row, ask_all, drawn
from app.evals.corpus import COLLECTION, Corpus, corpus_of, ingest, ingested, opened_anew, progress, read_rows
from app.evals.folder import sources_of, without
from app.evals.rows import BadEvalData
from app.evals.scores import holds
from app.settings import Settings
from generation.abstention import Bars
from generation.route import EXTRACTIVE
from ingest.run import FileReport, Request, Summary

_ALWAYS = 1e-9  # a bar that everything reaches
_HOPELESS = 0.25  # of the answerable cases that the target gives up, those that may be taken for hopeless


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a calibration is for: the target, the tier whose model writes too, and the file that is written."""

    target: str = "answered=0.98"
    tier: str | None = None
    write: Path | None = None


async def calibrate(settings: Settings, folder: Path, file: Path, wanted: Wanted, limit: int | None, seed: int) -> int:
    """Ingest, ask, fit, print one JSON document, and write the bars where a file is named. Raises BadEvalData, UnknownTier."""
    target = target_of(wanted.target)
    questions = drawn(_rows(file), limit, seed)
    async with _corpus(_answering(settings), folder, file) as corpus:
        corpus.grounded.router.admit(wanted.tier, COLLECTION)
        outcomes = await ask_all(corpus, questions, EXTRACTIVE)
        written = await ask_all(corpus, questions, wanted.tier) if wanted.tier else []
        embedder, before = corpus.grounded.generations.live.fingerprint, corpus.grounded.bars.now()
    before = replace(before, answer=settings.generation.abstain_below or before.answer)
    cases, near = cases_of(questions, outcomes), _nearness(questions, outcomes)
    bars = Bars(_hopeless(near, target), chosen(cases, target))
    told = report(cases, near, bars, before, target, seed)
    model, carried = _model(_supported(questions, written), target)
    verifier = verifier_fingerprint(settings)
    if wanted.write is not None:
        made_of = {name: told[name] for name in ("n", "answerable", "target", "auroc")}
        _write(wanted.write, Calibration(embedder, bars, verifier, carried, made_of))
    found = {"embedder": embedder, "shipped_embedder": embedder == SHIPPED_FOR, "verifier": verifier}
    file_told = None if wanted.write is None else str(wanted.write)
    emit_json({**told, "model": model, **found, "written": file_told})
    return 0


def _rows(file: Path) -> list[dict[str, Any]]:
    """Raises BadEvalData where no question is said to be answerable: there is nothing to fit to."""
    rows = [{"answers": [], "answerable": True, **row} for row in read_rows(file, question=str)]
    if not any(row["answerable"] for row in rows):
        raise BadEvalData(f"{file.name} holds no answerable question.")
    if all(row["answerable"] for row in rows):
        progress("No question is unanswerable: the bars can be fitted, but not what they keep out.")
    return rows


def _answering(settings: Settings) -> Settings:
    """The same settings, but that nothing is declined, and everybody asked."""
    told = {
        "generation": settings.generation.model_copy(update={"abstain_below": _ALWAYS}),
        "abstention": AbstentionSettings(calibration=settings.abstention.calibration, before_model="ask"),
        "verification": settings.verification.model_copy(update={"none_carried": "mark"}),
    }
    return settings.model_copy(update=told)


@asynccontextmanager
async def _corpus(settings: Settings, folder: Path, file: Path) -> AsyncIterator[Corpus]:
    """Of the rows of `corpus.jsonl` where the folder has one, else of its files."""
    rows = folder / "corpus.jsonl"
    if rows.is_file():
        async with ingested(settings, read_rows(rows, _id=str, text=str)) as corpus:
            yield corpus
        return
    async with opened_anew(settings) as grounded:
        request = Request(folder, COLLECTION, without(folder, file))
        sources = await sources_of(grounded, request)
        summary = await ingest(grounded, request, _tell)
        yield await corpus_of(grounded, sources[0].root, summary)


def _tell(report: FileReport, _summary: Summary) -> None:
    if report.error is not None:
        progress(f"{report.path}: {report.error.message}")


def cases_of(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> Cases:
    """An answer is right where it holds a gold one; where a question names none, an answer to what can be answered is."""
    pairs = list(zip(rows, outcomes, strict=True))
    right = [
        bool(row["answerable"])
        and outcome.answered
        and (not row["answers"] or any(holds(outcome.text, one) for one in row["answers"]))
        for row, outcome in pairs
    ]
    sure = [max(outcome.confidence, 0.0) for outcome in outcomes]  # where nothing was found, nothing was sure
    answerable = [bool(row["answerable"]) for row in rows]
    return Cases(np.array(sure), np.array(answerable), np.array(right))


def _nearness(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> Cases | None:
    """The same for what is known before anybody is asked; None where no passage was read closely."""
    scores = [
        max((place.score for p in outcome.sources.values() if (place := p.hit.places.get("rerank"))), default=None)
        for outcome in outcomes
    ]
    known = [(score, bool(row["answerable"])) for score, row in zip(scores, rows, strict=True) if score is not None]
    if not any(answerable for _, answerable in known):
        return None
    found = np.array([score for score, _ in known]), np.array([answerable for _, answerable in known])
    return Cases(*found, found[1])


def _supported(rows: Sequence[Row], written: Sequence[Outcome]) -> Cases | None:
    """The model's own answers by the probability of their best sentence. What it declined by itself is no case here, nor is
    an answer that no verifier has judged."""
    if not written:
        return None
    cases = cases_of(rows, written)
    judged = [n for n, one in enumerate(written) if one.answered and _is_judged(one)]
    sure = np.array([max(claim.score or 0.0 for claim in written[n].claims) for n in judged], dtype=np.float64)
    return Cases(sure, cases.answerable[judged], cases.right[judged]) if judged else None


def _is_judged(answer: Outcome) -> bool:
    """Whether each sentence got a verdict; one without a citation has got one."""
    return bool(answer.claims) and all(claim.status != "unchecked" for claim in answer.claims)


def _model(cases: Cases | None, target: Target) -> tuple[dict[str, Any] | None, float | None]:
    """Figures of the model's answers and the bar over them: of the right ones, as many are to pass as of the answerable
    questions are to be answered. Without a right answer there is nothing to fit to."""
    if cases is None or not cases.right.any():
        return None, None
    judged = Cases(cases.confidence, cases.right, cases.right)
    bar = chosen(judged, target)
    found = at(judged, bar)
    wrong = None if found["abstained"] is None else round(1 - found["abstained"], 4)
    figures = {"n": len(cases), "right": int(cases.right.sum()), "auroc": auroc(judged), "carried": bar}
    return {**figures, "passed": {"right": found["answered"], "wrong": wrong}}, bar


def _hopeless(near: Cases | None, target: Target) -> float | None:
    """Who asks a model can still be told that the passages do not answer, so fewer are given up here."""
    if near is None:
        return None
    given_up = _HOPELESS * (1 - target.share) if target.kind == "answered" else 0.0
    return bar_for(near.confidence[near.answerable], 1 - given_up)


def report(cases: Cases, near: Cases | None, bars: Bars, before: Bars, target: Target, seed: int) -> dict[str, Any]:
    """The figures; `before` are the bars that are in force."""
    ranges = intervals(cases, bars.answer, seed)
    figures = {"auroc": auroc(cases), **at(cases, bars.answer)}
    return {
        "n": len(cases),
        "answerable": int(cases.answerable.sum()),
        "target": str(target),
        "auroc": {"value": figures.pop("auroc"), "ci95": ranges["auroc"]},
        "bars": {"near": bars.near, "answer": bars.answer},
        "at": {name: {"value": value, "ci95": ranges[name]} for name, value in figures.items()},
        "held_out": held_out(cases, target, seed),
        "in_force": {"near": before.near, "answer": before.answer, **at(cases, before.answer)},
        "changes": changes(cases, before.answer, bars.answer),
        "before_model": None if near is None else _before_model(near, bars, before),
        "risk_coverage": risk_coverage(cases),
    }


def _before_model(near: Cases, bars: Bars, before: Bars) -> dict[str, Any]:
    """Questions for which no model would be asked, with the new bar and with the one in force."""

    def spared(bar: float | None) -> dict[str, float | None]:
        found = at(near, -1.0 if bar is None else bar)
        lost = None if found["answered"] is None else round(1 - found["answered"], 4)
        return {"answerable": lost, "unanswerable": found["abstained"]}

    return {"auroc": auroc(near), "not_asked": spared(bars.near), "not_asked_in_force": spared(before.near)}


def _write(path: Path, calibration: Calibration) -> None:
    """Whole or not at all: a service may read it at any time."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(orjson.dumps(calibration.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
    part.replace(path)
