"""The flags of `grounded keys`."""

from typing import Annotated, Any

import typer

from app.cli_budgets import TokensDay, TokensMonth, UsdDay, UsdMonth
from app.cli_run import AsJson
from app.cli_run import run_command as _run
from app.cli_run import settings_of as _settings

keys_app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")


@keys_app.command()
def create(
    name: Annotated[str, typer.Option(help="What it is for; shown in lists.")],
    scope: Annotated[list[str], typer.Option(help="ask, ingest, admin; with commas or repeated.")] = ["ask"],  # noqa: B006
    tenant: Annotated[str, typer.Option(help="Whose documents it is about.")] = "default",
    groups: Annotated[
        list[str] | None,
        typer.Option(help="Labels whose documents it may read beside those without labels; '*' for all."),
    ] = None,
    collection: Annotated[
        list[str] | None, typer.Option(help="Only this collection; may be repeated. Default: all of the tenant.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="When it ends: 90d, 12h, 1y or a date. Default: never.")] = None,
    budget_usd_day: UsdDay = None,
    budget_usd_month: UsdMonth = None,
    budget_tokens_day: TokensDay = None,
    budget_tokens_month: TokensMonth = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is printed once and kept only as a hash."""
    from app.commands.budgets import PLACES, limits_of
    from app.commands.keys import Wanted
    from app.commands.keys import create as command

    budgets = (budget_usd_day, budget_usd_month, budget_tokens_day, budget_tokens_month)

    def made() -> Any:
        limits = limits_of(dict(zip(PLACES, budgets, strict=True)))
        wanted = Wanted(name, scope, tenant, groups or (), collection or (), expires, limits)
        return command(_settings(), wanted, as_json=as_json)

    _run(made)


@keys_app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """Show every key there was: what it may do, and whether it still may."""
    from app.commands.keys import list_keys as command

    _run(lambda: command(_settings(), as_json=as_json))


@keys_app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The id of a key, or of a bearer as the log tells it.", metavar="KEY_ID")],
    as_json: AsJson = False,
) -> None:
    """Refuse a key from now on, also where it is being used."""
    from app.commands.keys import revoke as command

    _run(lambda: command(_settings(), key, as_json=as_json))
