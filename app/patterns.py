"""What of a folder is wanted, as settings and a request say it together."""

from collections.abc import Iterable

from app.settings import Settings
from ingest.scan import Patterns


def patterns(settings: Settings, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> Patterns:
    """Our own state is never wanted, wherever it lies."""
    i = settings.ingest
    return Patterns(tuple(include), tuple(exclude), i.gitignore, i.ignore, settings.state.absolute())
