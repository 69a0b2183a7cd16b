"""The flags of `grounded webhooks`."""

from typing import Annotated

import typer

from app.cli_run import AsJson
from app.cli_run import run_command as _run
from app.cli_run import settings_of as _settings

webhooks_app = typer.Typer(no_args_is_help=True, help="See webhooks that were given up, and send them again.")


@webhooks_app.command()
def dead(
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, the newest first.")] = 50,
    after: Annotated[str | None, typer.Option(help="Only those behind this one, for the next page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the dead letters: webhooks that were sent as often as configured, or whose receiver is gone."""
    from app.commands.webhooks import dead as command

    _run(lambda: command(_settings(), limit, after, as_json=as_json))


@webhooks_app.command()
def retry(
    webhook: Annotated[str, typer.Argument(help="The id of a dead letter.", metavar="WEBHOOK_ID")],
    as_json: AsJson = False,
) -> None:
    """Send a dead letter again, with all its attempts."""
    from app.commands.webhooks import retry as command

    _run(lambda: command(_settings(), webhook, as_json=as_json))
