"""What goes at once when a document is hidden: its texts, and the answers that rest on it, of batches and kept ones."""

from sqlalchemy import Connection, delete, func, select, tuple_, update

from ingest.adapters.batch_tables import batch_questions, batch_sources
from ingest.adapters.sql_revisions import changed
from ingest.adapters.tables import chunks, versions

_AT_ONCE = 400  # SQLite takes a limited number of values in one statement


def remove_texts(db: Connection, document_id: str) -> None:
    """No byte of the document stays in a row but for its name, by which its row is found until all is removed."""
    for table in (chunks, versions):
        db.execute(delete(table).where(table.c.document_id == document_id))
    changed(db, [document_id])
    q, s = batch_questions.c, batch_sources.c
    resting = [tuple(row) for row in db.execute(select(s.job_id, s.number).where(s.document_id == document_id))]
    for at in range(0, len(resting), _AT_ONCE):
        some = resting[at : at + _AT_ONCE]
        gone = tuple_(q.job_id, q.number).in_(some)
        db.execute(update(batch_questions).where(gone).values(state="withdrawn", result=None, asked=None))
        db.execute(delete(batch_sources).where(tuple_(s.job_id, s.number).in_(some)))


def resting_answers(db: Connection, document_id: str) -> int:
    """How many answers of batches rest on the document."""
    asked = select(func.count()).select_from(batch_sources).where(batch_sources.c.document_id == document_id)
    return int(db.execute(asked).scalar_one())
