"""`grounded`: the flags of every command. Heavy imports stand inside the commands, so that --help answers at once."""

import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)
config_app = typer.Typer(no_args_is_help=True, help="Show and check the configuration.")
eval_app = typer.Typer(no_args_is_help=True, help="Measure quality and speed. One JSON document on stdout.")
app.add_typer(config_app, name="config")
app.add_typer(eval_app, name="eval")


def _named(collection: str) -> str:
    """The name itself; what the service would not answer for is refused before anything is made under it."""
    from ingest.model import COLLECTION_NAME

    if not re.fullmatch(COLLECTION_NAME, collection):
        raise typer.BadParameter("1 to 63 of a-z, 0-9, - and _, the first a letter or a digit.")
    return collection


Collection = Annotated[str, typer.Option(help="The collection to use.", callback=_named)]
Filters = Annotated[
    list[str] | None,
    typer.Option("--filter", help="Only documents with key=value, or with !=, <, <=, >, >=; may be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.callback()
def _grounded() -> None:
    """Answers questions from your documents and proves every sentence."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    question: Annotated[
        str | None, typer.Option("--try", help="Ask this once when ready, and print the answer.")
    ] = None,
) -> None:
    """Start the service and the page."""
    from app.commands.serve import serve as command

    _run(lambda: command(_settings(host=host, port=port), question))


@app.command()
def ingest(
    path: Annotated[Path | None, typer.Argument(help="A folder or a file.")] = None,
    collection: Collection = "default",
    include: Annotated[list[str] | None, typer.Option(help="Only names that match this glob; may be repeated.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No names that match this glob; may be repeated.")] = None,
    prune: Annotated[
        bool | None,
        typer.Option("--prune/--no-prune", help="Forget files that are gone. Default: if any file is there."),
    ] = None,
    gitignore: Annotated[
        bool | None, typer.Option("--gitignore/--no-gitignore", help="Honour .gitignore files. Default: as configured.")
    ] = None,
    watch: Annotated[bool, typer.Option(help="Go on: run again whenever the folder changes.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Print the change set, change nothing.")] = False,
    force: Annotated[bool, typer.Option(help="Read unchanged files too.")] = False,
    fail_fast: Annotated[bool, typer.Option(help="Stop at the first file that fails.")] = False,
    as_json: AsJson = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object per file on stdout.")] = False,
    no_progress: Annotated[bool, typer.Option(help="No progress bar.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what failed.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="List known files that are not in the index, and why.")
    ] = False,
) -> None:
    """Bring the index in step with a folder."""
    from app.commands.ingest import Show
    from app.commands.ingest import ingest as once
    from app.commands.watch import watch as forever
    from app.patterns import patterns
    from ingest.run import Request

    if report:
        from app.commands.report import report as tell

        _run(lambda: tell(_settings(), collection, as_json=as_json))
    if path is None:
        raise typer.BadParameter("Name a folder or a file, or ask for --report.")
    if watch and (prune or dry_run or as_json):
        raise typer.BadParameter("--watch goes with neither --prune, --dry-run nor --json; with --jsonl it does.")
    form: Literal["text", "json", "jsonl"] = "jsonl" if jsonl else "json" if as_json else "text"
    progress = sys.stderr.isatty() and not no_progress and not quiet

    def command() -> Any:
        settings = _settings(ingest=None if gitignore is None else {"gitignore": gitignore})
        wanted = patterns(settings, include or (), exclude or ())
        request = Request(path, collection, wanted, prune, force, dry_run, fail_fast)
        if watch:
            return forever(settings, request, Show(form, progress, quiet))
        return once(settings, request, form, progress=progress, quiet=quiet)

    _run(command)


@app.command()
def reindex(
    golden: Annotated[
        Path | None, typer.Option(help="Questions to measure the new index by: a .jsonl file, or a folder of them.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Swap whatever the golden set says, or without one.")] = False,
    rollback: Annotated[bool, typer.Option(help="Go back to the index that was live before this one.")] = False,
    drop_old: Annotated[bool, typer.Option(help="Remove every index but the live one.")] = False,
    no_progress: Annotated[bool, typer.Option(help="No progress bar.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build the index anew with the configured embedder, beside the live one, and swap it in if it is as good."""
    from app.commands.reindex import Wanted
    from app.commands.reindex import reindex as command

    if rollback and drop_old:
        raise typer.BadParameter("--rollback goes back to what --drop-old removes.")
    wanted = Wanted(golden, force, rollback, drop_old)
    progress = sys.stderr.isatty() and not no_progress
    _run(lambda: command(_settings(), wanted, as_json=as_json, progress=progress))


@app.command()
def ask(
    question: Annotated[str | None, typer.Argument(help="What you want to know.")] = None,
    collection: Collection = "default",
    top_k: Annotated[int, typer.Option(help="Passages that the answer may rest on.")] = 8,
    filters: Filters = None,
    batch: Annotated[
        Path | None, typer.Option(help="Ask the questions of this file, one JSON object a line; - is stdin.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="With --batch, add results to this file; what it answers is not asked again.")
    ] = None,
    resume: Annotated[str | None, typer.Option(help="Take up the batch with this id.", metavar="JOB_ID")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="With --batch, say only what failed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a question, or all questions of a file."""
    from app.commands.ask import ask as command

    if [question, batch, resume].count(None) != 2:
        raise typer.BadParameter("Ask a question, or name a file with --batch or a batch with --resume.")
    if question is None:
        if filters or as_json or top_k != 8:
            raise typer.BadParameter("--filter, --top-k and --json are for one question; a batch says it in its lines.")
        _ask_batch(batch, resume, output, collection, quiet=quiet)
    elif output is not None:
        raise typer.BadParameter("--output is for --batch and --resume.")
    body = {"question": question, "collection": collection, "top_k": top_k}
    _run(lambda: command(_settings(), body, filters or (), as_json=as_json))


def _ask_batch(file: Path | None, resume: str | None, output: Path | None, collection: str, *, quiet: bool) -> None:
    from app.commands.batch import Wanted, ask_batch

    wanted = Wanted(file, resume, output, collection, quiet)
    _run(lambda: ask_batch(_settings(), wanted))


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    collection: Collection = "default",
    limit: Annotated[int, typer.Option(help="Passages to show.")] = 10,
    filters: Filters = None,
    explain: Annotated[
        bool, typer.Option(help="Every candidate: its rank and share in each arm, and its fate.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the passages that a question finds, with their rank in each arm."""
    from app.commands.ask import search as command

    _run(lambda: command(_settings(), query, collection, limit, filters or (), explain=explain, as_json=as_json))


@app.command("explain")
def explain_answer(
    answer: Annotated[str, typer.Argument(help="The id of an answer.", metavar="ANSWER_ID")], as_json: AsJson = False
) -> None:
    """Show why an answer got its passages: every candidate, its ranks, and what became of it."""
    from app.commands.explain import explain as command

    _run(lambda: command(_settings(), answer, as_json=as_json))


@app.command()
def doctor(
    offline: Annotated[bool, typer.Option(help="Prove that start, ingest and answer need no network.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check everything that can be wrong; each line comes with its fix."""
    from app.commands.doctor import doctor as command

    _run(lambda: command(offline=offline, as_json=as_json))


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    force: Annotated[bool, typer.Option(help="Replace the file if it is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write everything into one file, also while the service runs."""
    from app.commands.backup import back_up

    async def command() -> int:
        return back_up(_settings(), file, force=force, as_json=as_json)

    _run(command)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that grounded backup wrote.")], as_json: AsJson = False
) -> None:
    """Fill an empty state folder from a backup. Nothing is embedded again."""
    from app.commands.backup import put_back

    _run(lambda: put_back(_settings(), file, as_json=as_json))


@config_app.command("show")
def config_show(as_json: AsJson = False) -> None:
    """Every setting, its value and where it comes from."""
    from app.commands.config import show

    _run(lambda: show(_settings(), as_json=as_json))


@config_app.command("docs", hidden=True)
def config_docs(folder: Path = Path("data/handbook")) -> None:
    """Write the generated tables of the manual."""
    from app.commands.config import write_docs

    _run(lambda: write_docs(folder))


@app.command()
def openapi() -> None:
    """The OpenAPI document of the service."""
    from app.commands.config import openapi as command

    _run(lambda: command(_settings()))


@eval_app.command("beir")
def eval_beir(
    folder: Annotated[Path, typer.Argument(help="corpus.jsonl, queries.jsonl, qrels_test.tsv.")],
    limit: Annotated[int | None, typer.Option(help="Only the first N questions.")] = None,
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
    qa: Annotated[Path, typer.Option(help="Questions with their answers, one JSON object a line.")],
    limit: Annotated[int | None, typer.Option(help="Only N questions, drawn with the seed.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the questions.")] = 0,
    as_json: AsJson = True,
) -> None:
    """Answer quality: gold answers found, abstention, citations, latency."""
    del as_json
    from app.evals.qa import qa as command

    _run(lambda: command(_settings(), folder, qa, limit, seed))


@eval_app.command("folder")
def eval_folder(
    folder: Annotated[Path, typer.Argument(help="A folder of documents.")],
    qa: Annotated[Path, typer.Option(help="Questions, one JSON object a line; a row may name its file and page.")],
    limit: Annotated[int | None, typer.Option(help="Only N questions, drawn with the seed.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the questions.")] = 0,
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
    folder: Annotated[Path, typer.Argument(help="A folder of documents to measure with.")] = Path("data/handbook"),
    questions: Annotated[Path, typer.Option(help="Questions, one JSON object a line.")] = Path(
        "data/evals/handbook.jsonl"
    ),
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
    folder: Annotated[Path, typer.Argument(help="A folder of documents, which is copied with variations.")] = Path(
        "data/handbook"
    ),
    questions: Annotated[Path, typer.Option(help="Questions, one JSON object a line.")] = Path(
        "data/evals/handbook.jsonl"
    ),
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
    folder: Annotated[Path, typer.Argument(help="corpus.jsonl, queries.jsonl, qrels_test.tsv.")],
    limit: Annotated[int | None, typer.Option(help="Only the first N questions.")] = None,
    seed: Annotated[int, typer.Option(help="For the confidence interval.")] = 0,
    as_json: AsJson = True,
) -> None:
    """What it costs that of each token vector only the signs are stored: nDCG beside that of the whole vectors."""
    del as_json
    from app.evals.signs import signs

    _run(lambda: signs(_settings(), folder, limit, seed))


@eval_app.command("table")
def eval_table(
    files: Annotated[list[Path], typer.Argument(help="What the eval commands printed, one file each.")],
) -> None:
    """Write reports as tables into README and manual."""
    from app.evals.table import table

    _run(lambda: table(files))


def main() -> None:
    """The `grounded` command."""
    app()


def ingest_main() -> None:
    """The `ingest` command: the same as `grounded ingest`."""
    sys.argv = [sys.argv[0], "ingest", *sys.argv[1:]]
    app(prog_name="grounded")


def _settings(**flags: Any) -> Any:
    from app.commands.output import say
    from app.settings import load, unknown_variables
    from app.telemetry import configure

    for warning in unknown_variables():
        say(f"warning: {warning}")
    settings = load(**flags)
    configure(settings.log_format, "warning")  # a command speaks for itself; `serve` asks for more
    return settings


def _run(command: Any) -> None:
    """Run a command and leave with its exit code. What fails while it is being built is told like the rest."""
    from app.commands.output import report, run
    from ingest.errors import GroundedError

    try:
        work = command()
    except GroundedError as error:
        raise SystemExit(report(error)) from None
    raise SystemExit(run(work))
