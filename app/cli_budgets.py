"""The flags of `grounded budgets`."""

from typing import Annotated

import typer

from app.cli_run import AsJson
from app.cli_run import run_command as _run
from app.cli_run import settings_of as _settings

budgets_app = typer.Typer(no_args_is_help=True, help="Set and show what keys and tenants may spend on models.")
UsdDay = Annotated[str | None, typer.Option(help="USD in a day, UTC; none takes the limit away.")]
UsdMonth = Annotated[str | None, typer.Option(help="USD in a calendar month, UTC; or none.")]
TokensDay = Annotated[str | None, typer.Option(help="Tokens, in and out, in a day; or none.")]
TokensMonth = Annotated[str | None, typer.Option(help="Tokens, in and out, in a calendar month; or none.")]


@budgets_app.command("set")
def set_budget(
    whose: Annotated[str, typer.Argument(help="The id of a key or a bearer, or tenant:NAME.", metavar="WHOSE")],
    usd_day: UsdDay = None,
    usd_month: UsdMonth = None,
    tokens_day: TokensDay = None,
    tokens_month: TokensMonth = None,
    as_json: AsJson = False,
) -> None:
    """Set limits; those that are not named stay as they are. What is spent already counts."""
    from app.commands.budgets import PLACES, limits_of
    from app.commands.budgets import set_budget as command

    given = dict(zip(PLACES, (usd_day, usd_month, tokens_day, tokens_month), strict=True))
    _run(lambda: command(_settings(), whose, limits_of(given), as_json=as_json))


@budgets_app.command("list")
def list_budgets(as_json: AsJson = False) -> None:
    """Show every budget, and how much of it is gone in this day or month."""
    from app.commands.budgets import list_budgets as command

    _run(lambda: command(_settings(), as_json=as_json))
