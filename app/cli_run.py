"""What every command line entry does: read the settings, run the command, leave with its exit code."""

from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def settings_of(**flags: Any) -> Any:
    """The settings of this run, with a warning for each variable that is none. Raises ConfigurationError."""
    from app.commands.output import say
    from app.settings import load, secrets_of, unknown_variables
    from app.telemetry import configure

    for warning in unknown_variables():
        say(f"warning: {warning}")
    settings = load(**flags)
    configure(
        settings.log_format, "warning", secrets_of(settings)
    )  # a command speaks for itself; `serve` asks for more
    return settings


def run_command(command: Any) -> None:
    """Run a command and leave with its exit code. What fails while it is being built is told like the rest."""
    from app.commands.output import report, run
    from ingest.errors import GroundedError

    try:
        work = command()
    except GroundedError as error:
        raise SystemExit(report(error)) from None
    raise SystemExit(run(work))
