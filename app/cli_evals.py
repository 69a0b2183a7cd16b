"""`grounded eval`: the flags of every evaluation. Heavy imports stand inside the commands, as in `app.cli`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli_run import AsJson
from app.cli_run import run_command as _run
from app.cli_run import settings_of as _settings

Documents = Annotated[Path, typer.Argument(help="A folder of documents.")]
Judged = Annotated[Path, typer.Argument(help="corpus.jsonl, queries.jsonl, qrels_test.tsv.")]
Questions = Annotated[Path, typer.Option(help="Questions, one JSON object a line.")]
Cases = Annotated[Path, typer.Option(help="Questions with their answers, one JSON object a line.")]
FirstOnly = Annotated[int | None, typer.Option(help="Only the first N questions.")]
Drawn = Annotated[int | None, typer.Option(help="Only N questions, drawn with the seed.")]
Labelled = Annotated[Path, typer.Argument(help="Labelled texts, one JSON object a line.")]
FirstRows = Annotated[int | None, typer.Option("--limit", help="Only the first N rows.")]
DrawSeed = Annotated[int, typer.Option(help="Draws the questions.")]
MANUAL, MANUALS_CASES = Path("data/handbook"), Path("data/evals/handbook.jsonl")

eval_app = typer.Typer(no_args_is_help=True, help="Measure quality and speed. One JSON document on stdout.")


@eval_app.command("beir")
def eval_beir(
    folder: Judged,
    limit: FirstOnly = None,
    seed: Annotated[int, typer.Option(help="For the confidence intervals.")] = 0,
    chunking: Annotated[
        str | None, typer.Option(help="Cut all by this strategy, with :TOKENS for a size.", metavar="STRATEGY[:TOKENS]")
    ] = None,
    joined: Annotated[
        str | None, typer.Option(help="Rows of one title are one file of this ending.", metavar="ENDING")
    ] = None,
    as_json: AsJson = True,
) -> None:
    """Retrieval quality: nDCG and recall of each arm, of the fusion and of the reranked order."""
    del as_json
    from app.evals.beir import Cut, beir, chunking_rule

    _run(lambda: beir(_settings(), folder, limit, seed, Cut(chunking_rule(chunking), joined)))


@eval_app.command("qa")
def eval_qa(
    folder: Annotated[Path, typer.Argument(help="Holds corpus.jsonl.")],
    qa: Cases,
    limit: Drawn = None,
    seed: DrawSeed = 0,
    as_json: AsJson = True,
) -> None:
    """Answer quality: gold answers found, abstention, citations, latency."""
    del as_json
    from app.evals.qa import qa as command

    _run(lambda: command(_settings(), folder, qa, limit, seed))


@eval_app.command("folder")
def eval_folder(
    folder: Documents,
    qa: Annotated[Path, typer.Option(help="Questions, one JSON object a line; a row may name its file and page.")],
    limit: Drawn = None,
    seed: DrawSeed = 0,
    as_json: AsJson = True,
) -> None:
    """Answers about real documents: the right file and page cited; and what their ingest costs."""
    del as_json
    from app.evals.folder import folder as command

    _run(lambda: command(_settings(), folder, qa, limit, seed))


@eval_app.command("extract")
def eval_extract(
    folder: Annotated[Path, typer.Argument(help="A folder of files, with or without index.jsonl.")],
    limit: Annotated[int | None, typer.Option(help="Only the first N files.")] = None,
    as_json: AsJson = True,
) -> None:
    """Readers: a verdict for every file, the words of references that are found, encodings that are told."""
    del as_json
    from app.evals.extract import extract

    _run(lambda: extract(_settings(), folder, limit))


@eval_app.command("bench")
def eval_bench(
    folder: Annotated[Path, typer.Argument(help="A folder of documents to measure with.")] = MANUAL,
    questions: Questions = MANUALS_CASES,
    files: Annotated[
        int, typer.Option(help="Small files of the folder in the section sync; 0 leaves it out.")
    ] = 10_000,
    seed: Annotated[int, typer.Option(help="Draws the order of the questions.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Speed: each stage's median and p95 beside its budget, ingest beside bare embedding, and a second ingest."""
    from app.evals.bench import bench

    _run(lambda: bench(_settings(), folder, questions, seed, files, as_json=as_json))


@eval_app.command("growth")
def eval_growth(
    folder: Annotated[Path, typer.Argument(help="A folder of documents, which is copied with variations.")] = MANUAL,
    questions: Questions = MANUALS_CASES,
    sizes: Annotated[str, typer.Option(help="Numbers of chunks to measure at.")] = "10000,100000",
    clients: Annotated[int, typer.Option(help="Clients at the same time; 0 leaves the running service out.")] = 32,
    seconds: Annotated[float, typer.Option(help="How long one client, and then all of them, ask.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Draws the variations.")] = 0,
    kept: Annotated[Path | None, typer.Option(help="Grow this state folder and keep it.")] = None,
    as_json: AsJson = True,
) -> None:
    """Growth: latency, memory, disk and time to build, at each number of chunks; many clients beside one."""
    del as_json
    from app.evals.growth import Wanted, growth, sizes_of

    def command() -> Any:
        return growth(_settings(), folder, questions, Wanted(sizes_of(sizes), clients, seconds, seed), kept)

    _run(command)


@eval_app.command("signs")
def eval_signs(
    folder: Judged,
    limit: FirstOnly = None,
    seed: Annotated[int, typer.Option(help="For the confidence interval.")] = 0,
    as_json: AsJson = True,
) -> None:
    """What it costs that of each token vector only the signs are stored: nDCG beside that of the whole vectors."""
    del as_json
    from app.evals.signs import signs

    _run(lambda: signs(_settings(), folder, limit, seed))


@eval_app.command("verify")
def eval_verify(
    file: Annotated[Path, typer.Argument(help="Claims with passage and label, one JSON object a line.")],
    limit: Annotated[int | None, typer.Option(help="Only N claims, drawn with the seed.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the claims.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Draw the reliability of the probabilities here, as SVG.")] = None,
    as_json: AsJson = True,
) -> None:
    """Verification: supported claims told from all others, at the shipped thresholds; what a claim takes."""
    del as_json
    from app.evals.verify import verify

    _run(lambda: verify(_settings(), file, limit, seed, plot))


@eval_app.command("calibrate")
def eval_calibrate(
    folder: Annotated[Path, typer.Argument(help="A folder of documents, or one that holds corpus.jsonl.")],
    qa: Cases,
    target: Annotated[
        str, typer.Option(help="What the bar is for: answered=SHARE, right=SHARE or balanced.", metavar="TARGET")
    ] = "answered=0.98",
    tier: Annotated[str | None, typer.Option(help="A tier whose model writes the answers too, for its money.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write the bars here, for abstention.calibration.")] = None,
    limit: Drawn = None,
    seed: DrawSeed = 0,
    as_json: AsJson = True,
) -> None:
    """Abstention: bars fitted to your own questions, what they decline and let through, and what that changes."""
    del as_json
    from app.evals.calibrate import Wanted, calibrate

    _run(lambda: calibrate(_settings(), folder, qa, Wanted(target, tier, write), limit, seed))


@eval_app.command("models")
def eval_models(
    folder: Documents = MANUAL,
    cases: Cases = MANUALS_CASES,
    limit: Drawn = None,
    seed: DrawSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Tiers: accuracy, latency, tokens and cost of each, and of the routed mix beside the dearest for all."""
    from app.evals.models import models

    _run(lambda: models(_settings(), folder, cases, limit, seed, as_json=as_json))


@eval_app.command("routes")
def eval_routes(
    folder: Documents = MANUAL,
    cases: Annotated[Path, typer.Option(help="Questions with their class: simple, medium or complex.")] = Path(
        "data/evals/routing.jsonl"
    ),
    output_tokens: Annotated[int, typer.Option(help="Tokens that an answer is taken to have.", min=1)] = 150,
    as_json: AsJson = False,
) -> None:
    """Routing: where questions of known hardness are sent, and what that costs."""
    from app.evals.routes import routes

    _run(lambda: routes(_settings(), folder, cases, output_tokens, as_json=as_json))


@eval_app.command("prompts")
def eval_prompts(
    first: Annotated[str, typer.Argument(help="A version of a prompt, as answer@1.", metavar="A")],
    second: Annotated[str, typer.Argument(help="Another version of it.", metavar="B")],
    folder: Annotated[Path, typer.Option(help="A folder of documents.")] = MANUAL,
    cases: Cases = MANUALS_CASES,
    limit: Drawn = None,
    seed: DrawSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Prompts: two versions on the same cases, and their difference with a paired bootstrap interval."""
    from app.evals.prompts import prompts

    _run(lambda: prompts(_settings(), (first, second), folder, cases, limit, seed, as_json=as_json))


@eval_app.command("pii")
def eval_pii(file: Labelled, limit: FirstRows = None, as_json: AsJson = True) -> None:
    """The output filter on labelled personal data: precision and recall of each kind."""
    del as_json
    from app.evals.pii import pii

    _run(lambda: pii(file, limit))


@eval_app.command("guard")
def eval_guard(file: Labelled, limit: FirstRows = None, as_json: AsJson = True) -> None:
    """The injection detector on labelled texts: attacks and harmless ones that it flags."""
    del as_json
    from app.evals.guard import guard

    _run(lambda: guard(_settings(), file, limit))


@eval_app.command("leak")
def eval_leak(file: Labelled, limit: FirstRows = None, as_json: AsJson = True) -> None:
    """The leak filter on labelled outputs: leaks that it finds, and others that it takes for one."""
    del as_json
    from app.evals.leak import leak

    _run(lambda: leak(file, limit))


@eval_app.command("table")
def eval_table(
    files: Annotated[list[Path], typer.Argument(help="What the eval commands printed, one file each.")],
) -> None:
    """Write reports as tables into README and manual."""
    from app.evals.table import table

    _run(lambda: table(files))


@eval_app.command("cache")
def eval_cache(
    folder: Annotated[Path, typer.Argument(help="A folder of documents to ask about.")] = MANUAL,
    questions: Questions = MANUALS_CASES,
    paraphrases: Annotated[Path, typer.Option(help="Questions with a paraphrase each, one JSON object a line.")] = Path(
        "data/evals/paraphrases.jsonl"
    ),
    pairs: Annotated[int, typer.Option(help="Pairs of questions that look alike and are not.")] = 2000,
    lookups: Annotated[int, typer.Option(help="Lookups across groups and generations.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Draws the pairs and lookups.")] = 0,
    as_json: AsJson = True,
) -> None:
    """The answer cache: paraphrases it knows again, near questions it mistakes, answers that cross, and what a hit takes."""
    del as_json
    from app.evals.cache import cache

    wanted = {"pairs": pairs, "lookups": lookups, "seed": seed}
    _run(lambda: cache(_settings(), folder, questions, paraphrases, wanted))
