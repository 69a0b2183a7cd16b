"""`grounded backup` and `grounded restore`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.backup import Manifest, backup, restore
from app.commands.output import emit_json, say
from app.settings import ConfigurationError, Settings
from app.state import StateFolder
from app.wiring import opened


def back_up(settings: Settings, file: Path, *, force: bool, as_json: bool) -> int:
    """Write the state folder into one file, also while the service runs."""
    _refuse_database(settings)
    manifest = backup(StateFolder(settings.state), file, force=force)
    _tell(manifest, {"file": file.name, "bytes": file.stat().st_size}, as_json=as_json)
    say(f"{manifest.documents} documents, {manifest.chunks} chunks, {file.stat().st_size / 2**20:.1f} MB.")
    say(f"Next: grounded restore {file.name}, on a host with an empty state folder.")
    return 0


async def put_back(settings: Settings, file: Path, *, as_json: bool) -> int:
    """Fill an empty state folder from a backup, its index included."""
    _refuse_database(settings)
    state = StateFolder(settings.state)
    with state.owned():
        manifest = restore(file, state)
        async with opened(settings, state) as grounded:
            await grounded.upkeep
            documents, chunks = await grounded.catalog.count_live()
            points = await grounded.points.count()
    _tell(manifest, {"documents": documents, "chunks": chunks, "points": points}, as_json=as_json)
    say(f"{documents} documents, {chunks} chunks, {points} points in the index.")
    say('Next: grounded ask "..."')
    return 0 if points >= chunks else 1


def _refuse_database(settings: Settings) -> None:
    if settings.database_url.get_secret_value():
        raise ConfigurationError(
            "The catalog is in the database of GROUNDED_DATABASE_URL, and a backup is made of a state folder.",
            "Back up and restore with pg_dump and pg_restore, and the folder of uploads beside it.",
        )


def _tell(manifest: Manifest, found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        told = asdict(manifest)
        emit_json({**told, "members": len(told["members"]), **found})
