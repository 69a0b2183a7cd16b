"""`grounded move`: from the state folder into PostgreSQL."""

from dataclasses import asdict

from app.commands.output import emit_json, say
from app.settings import Settings
from app.state import StateFolder
from app.wiring_move import move as moved


async def move(settings: Settings, *, as_json: bool) -> int:
    """Copy catalog and vectors; the folder stays as it is, for the way back. Nothing may work on it meanwhile."""
    state = StateFolder(settings.state)
    with state.owned():
        found = await moved(settings, state)
    if as_json:
        emit_json(asdict(found))
    say(f"{found.rows} rows and the vectors of {found.vectors} chunks are in the database.")
    say("Next: grounded serve, with the same GROUNDED_DATABASE_URL; the index is filled from there.")
    return 0
