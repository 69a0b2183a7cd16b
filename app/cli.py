"""`grounded`: the flags of every command. Heavy imports stand inside the commands, so that --help answers at once."""

import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from app.cli_budgets import budgets_app
from app.cli_evals import eval_app
from app.cli_keys import keys_app
from app.cli_run import AsJson
from app.cli_run import run_command as _run
from app.cli_run import settings_of as _settings
from app.cli_webhooks import webhooks_app

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)
config_app = typer.Typer(no_args_is_help=True, help="Show the configuration, and where each value comes from.")
app.add_typer(config_app, name="config")
app.add_typer(eval_app, name="eval")
app.add_typer(keys_app, name="keys")
app.add_typer(budgets_app, name="budgets")
app.add_typer(webhooks_app, name="webhooks")


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
    watch: Annotated[bool, typer.Option("--watch", help="Go on: run again whenever the folder changes.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the change set, change nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Read unchanged files too.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first file that fails.")] = False,
    as_json: AsJson = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object per file on stdout.")] = False,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No progress bar.")] = False,
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
    force: Annotated[bool, typer.Option("--force", help="Swap whatever the golden set says, or without one.")] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Go back to the index that was live before this one.")
    ] = False,
    drop_old: Annotated[bool, typer.Option("--drop-old", help="Remove every index but the live one.")] = False,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No progress bar.")] = False,
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
    tier: Annotated[str | None, typer.Option(help="The tier that must answer. Default: as routed.")] = None,
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
        if filters or tier or as_json or top_k != 8:
            raise typer.BadParameter("--filter, --tier, --top-k and --json are for one question, not for a batch.")
        _ask_batch(batch, resume, output, collection, quiet=quiet)
    elif output is not None:
        raise typer.BadParameter("--output is for --batch and --resume.")
    body = {"question": question, "collection": collection, "top_k": top_k, "tier": tier}
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
        bool, typer.Option("--explain", help="Every candidate: its rank and share in each search, and its fate.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the passages that a question finds, with their rank in each search."""
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
    offline: Annotated[
        bool, typer.Option("--offline", help="Prove that start, ingest and answer need no network.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check everything that can be wrong; each line comes with its fix."""
    from app.commands.doctor import doctor as command

    _run(lambda: command(offline=offline, as_json=as_json))


@app.command()
def prompts(as_json: AsJson = False) -> None:
    """List the prompts that there are, with version and hash, and mark those that are used."""
    from app.commands.prompts import prompts as command

    _run(lambda: command(_settings(), as_json=as_json))


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
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


@app.command()
def move(as_json: AsJson = False) -> None:
    """Copy the state folder's catalog and vectors into the empty PostgreSQL of GROUNDED_DATABASE_URL."""
    from app.commands.move import move as command

    _run(lambda: command(_settings(), as_json=as_json))


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


def main() -> None:
    """The `grounded` command."""
    app()


def ingest_main() -> None:
    """The `ingest` command: the same as `grounded ingest`."""
    sys.argv = [sys.argv[0], "ingest", *sys.argv[1:]]
    app(prog_name="grounded")
