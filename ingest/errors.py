"""What can go wrong on a file's way. Each leaf has a code, a cause (the message) and a next step.

GroundedError                anything this product says on purpose; `app/error_table.py` gives each leaf a status
└── IngestError
    ├── FileError            one file is not ingested; its neighbours are
    │   ├── Unreadable       the system would not let us read it
    │   ├── Unsupported      no reader for this kind of file
    │   ├── NotText          called text, but its bytes are not
    │   ├── TooLarge         above the size, page or text limit
    │   ├── Broken           damaged, or not what its name says
    │   ├── Encrypted        needs a password
    │   ├── EmptyText        read well, and holds no text (a scan, an empty file)
    │   ├── ArchiveBomb      unpacks to far more than it is; this one and the next four are quarantined
    │   ├── XmlEntities      its XML declares entities of its own
    │   ├── ResourceLimit    its reader ran out of memory or of processor time
    │   ├── ReaderTimeout    its reader ran out of time
    │   ├── ReaderCrashed    its reader died
    │   └── FolderEmptied    a folder holds nothing where documents were; a disk may be missing, so they are kept
    ├── FolderNotFound       there is no such folder
    ├── FolderEmpty          nothing in it to ingest
    ├── StateLocked          another process owns the state folder
    ├── StateNotWritable     the state folder cannot be written
    ├── IndexIncomplete      fewer points arrived than were sent; the old version goes on answering
    ├── CatalogUnavailable   the catalog cannot be opened, read or written
    │   └── CatalogCorrupt   what it holds is not what was written
    ├── StorageFull          no space left
    ├── StorageFailed        the disk could not read or write
    └── GenerationMismatch   the index was built with another embedder or splitter
"""

from typing import Literal

Verdict = Literal["failed", "quarantined", "empty_text"]


class GroundedError(Exception):
    """Base of everything that is said on purpose. `message` is the cause; `next_step` is what the reader can do."""

    code = "internal_error"
    next_step = "Look at the log of the service for this request id."

    def __init__(self, message: str, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if next_step is not None:
            self.next_step = next_step

    def __reduce__(self) -> tuple[type["GroundedError"], tuple[str, str]]:
        """Errors travel from the reader process to ours."""
        return type(self), (self.message, self.next_step)


class IngestError(GroundedError):
    """An ingest, or a part of it, failed."""

    code = "ingest_failed"


class FileError(IngestError):
    """One file is not ingested. The others are. With `quarantine` it is one that does harm, not one that is damaged."""

    code = "file_failed"
    quarantine = False

    @property
    def verdict(self) -> Verdict:
        """What lists and reports say of the file."""
        return "quarantined" if self.quarantine else "failed"


class Unreadable(FileError):
    """The system would not let us read the file."""

    code = "unreadable"
    next_step = "Check that the file exists and that this user may read it, then run ingest again."


class Unsupported(FileError):
    """There is no reader for this kind of file."""

    code = "unsupported_media_type"
    next_step = (
        "Convert it to a format that is read, such as Markdown, HTML, PDF or DOCX, or leave it out with --exclude."
    )


class NotText(FileError):
    """The name says text, the bytes do not."""

    code = "not_text"
    next_step = "Give the file the extension of what it is, or leave it out with --exclude."


class TooLarge(FileError):
    """Above a limit."""

    code = "file_too_large"
    next_step = "Split the file, or raise GROUNDED_INGEST__MAX_FILE_MB."


class Broken(FileError):
    """Damaged, or not what its name says."""

    code = "broken_file"
    next_step = "Open the file in its own program and save it again, then run ingest again."


class Encrypted(FileError):
    """Needs a password."""

    code = "encrypted_file"
    next_step = "Save a copy without a password and ingest that."


class EmptyText(FileError):
    """Read well, holds no text."""

    code = "empty_text"

    @property
    def verdict(self) -> Verdict:
        """There is nothing in it to lose."""
        return "empty_text"

    next_step = "If it is a scan, run it through OCR first; an empty file can stay as it is."


class ArchiveBomb(FileError):
    """A package that is made to unpack to far more than it is: ratio, size, number of members, overlaps, lies."""

    code = "archive_bomb"
    next_step = "Do not open it if you do not know where it comes from; if you do, save it in smaller parts."
    quarantine = True


class XmlEntities(FileError):
    """XML that declares entities of its own, which no program that writes documents does."""

    code = "xml_entities"
    next_step = "Do not open it if you do not know where it comes from; if you do, save it again in its own program."
    quarantine = True


class ResourceLimit(FileError):
    """The reader needed more memory, or more time of the processor, than one file may use."""

    code = "resource_limit"
    next_step = "Split the file, or, if you trust it, raise GROUNDED_INGEST__READ_MEMORY_MB and ingest it with --force."
    quarantine = True


class ReaderTimeout(FileError):
    """The reader took longer than one file may take."""

    code = "reader_timeout"
    next_step = (
        "Split the file, or, if it is merely large, raise GROUNDED_INGEST__READ_TIMEOUT_S and ingest it with --force."
    )
    quarantine = True


class ReaderCrashed(FileError):
    """The reader died on this file."""

    code = "reader_crashed"
    next_step = "Leave the file out with --exclude, or convert it to another format."
    quarantine = True


class FolderEmptied(FileError):
    """A folder holds nothing where documents were. A disk that is not mounted looks like this, so they are kept."""

    code = "folder_emptied"
    next_step = (
        "If a disk belongs there, mount it and run ingest again; "
        "if the files were deleted, remove the empty folder or run ingest with --prune."
    )


class FolderNotFound(IngestError):
    """There is no such folder."""

    code = "folder_not_found"
    next_step = "Check the path; it is taken relative to the folder you are in."


class FolderEmpty(IngestError):
    """Nothing to ingest."""

    code = "folder_empty"
    next_step = "Check the path and the --include and --exclude patterns; hidden files are left out."


class StateLocked(IngestError):
    """Another process owns the state folder."""

    code = "state_locked"
    next_step = "Stop that process, or give this one a state folder of its own with GROUNDED_STATE."


class StateNotWritable(IngestError):
    """The state folder cannot be written."""

    code = "state_not_writable"
    next_step = "Make it writable for this user, or choose another with GROUNDED_STATE."


def remembered(code: str | None, message: str | None) -> FileError | None:
    """The error that a file had when it was last tried, for files that have not changed since; --force tries them again.
    None for errors that may be over although the file is the same: rights, and limits that are looked at first."""
    kinds = (
        NotText,
        Broken,
        Encrypted,
        EmptyText,
        ArchiveBomb,
        XmlEntities,
        ResourceLimit,
        ReaderTimeout,
        ReaderCrashed,
    )
    return next((kind(message or "It could not be read.") for kind in kinds if kind.code == code), None)


def next_step_of(code: str) -> str:
    """What to do about a file with this code."""
    return next((kind.next_step for kind in FileError.__subclasses__() if kind.code == code), FileError.next_step)


class IndexIncomplete(IngestError):
    """Fewer points arrived than were sent. The old version goes on answering."""

    code = "index_incomplete"
    next_step = "Run ingest again; if it happens twice, run grounded doctor."


class CatalogUnavailable(IngestError):
    """The catalog cannot be opened, read or written."""

    code = "catalog_unavailable"
    next_step = "Run grounded doctor. If the file is damaged, move the state folder away and ingest again."


class CatalogCorrupt(CatalogUnavailable):
    """What the catalog holds is not what was written: its disk errs, or something else wrote into its file."""

    code = "catalog_corrupt"
    next_step = (
        "Stop the service and check the disk. Then restore the last backup with grounded restore FILE, "
        "or move the state folder away and ingest again."
    )


class StorageFull(IngestError):
    """No space left on the device that holds the state folder."""

    code = "storage_full"
    next_step = "Free some space, then run ingest again; what was acknowledged is kept."


class StorageFailed(IngestError):
    """The device that holds the state folder could not read or write."""

    code = "storage_io"
    next_step = "Check the disk and its mount, then try again; what was acknowledged is kept."


class GenerationMismatch(IngestError):
    """The index was built with another embedding model than the configured one, and that model can no longer be had."""

    code = "generation_mismatch"
    next_step = (
        "Run grounded reindex to build the index anew with the configured embedder, or go back to the former one."
    )
