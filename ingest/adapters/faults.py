"""What goes wrong with the catalog's database, in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from ingest.errors import CatalogCorrupt, CatalogUnavailable, GroundedError
from ingest.storage import storage_fault


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Errors of the database, which lies in `folder`.

    A row that cannot even be decoded (a date that is none, broken JSON) was not written so by us.
    """
    try:
        yield
    except DatabaseError as error:
        raise _fault(error, folder) from error
    except SQLAlchemyError as error:
        raise CatalogUnavailable("The catalog cannot be opened, read or written.") from error
    except ValueError as error:
        raise CatalogCorrupt("A row of the catalog is damaged.") from error


def _fault(error: DatabaseError, folder: Path) -> GroundedError:
    cause = error.orig or error
    if (known := storage_fault(cause, folder)) is not None:
        return known
    if isinstance(error, OperationalError) or not ("malformed" in str(cause) or "not a database" in str(cause)):
        return CatalogUnavailable("The catalog cannot be opened, read or written.")
    return CatalogCorrupt("The catalog's file is damaged.")
