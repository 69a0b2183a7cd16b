"""Which reader reads what. A reader's module is imported when its first file comes, so asking costs nothing."""

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import PurePosixPath

from ingest.errors import Unsupported
from ingest.model import Parsed

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_OPEN = "application/vnd.oasis.opendocument"


@dataclass(frozen=True, slots=True)
class Format:
    """`module` is a file of this package with a function `read(name, data) -> Parsed`. `version` goes up when it reads
    another text from the same file: files that were read before are read anew at the next ingest."""

    media_type: str
    module: str
    version: int = 1


FORMATS = {
    ".md": Format("text/markdown", "markdown", version=2),
    ".markdown": Format("text/markdown", "markdown", version=2),
    ".html": Format("text/html", "html"),
    ".htm": Format("text/html", "html"),
    ".xhtml": Format("text/html", "html"),
    ".txt": Format("text/plain", "plain"),
    ".text": Format("text/plain", "plain"),
    ".log": Format("text/plain", "plain"),
    ".rst": Format("text/x-rst", "rst"),
    ".pdf": Format("application/pdf", "pdf"),
    ".docx": Format(DOCX, "docx"),
    ".xlsx": Format(XLSX, "xlsx"),
    ".xlsm": Format(XLSX, "xlsx"),
    ".pptx": Format(PPTX, "pptx"),
    ".odt": Format(f"{_OPEN}.text", "odt"),
    ".ods": Format(f"{_OPEN}.spreadsheet", "odt"),
    ".odp": Format(f"{_OPEN}.presentation", "odt"),
    ".epub": Format("application/epub+zip", "epub"),
    ".ipynb": Format("application/x-ipynb+json", "notebook"),
    ".json": Format("application/json", "json_lines"),
    ".jsonl": Format("application/jsonl", "json_lines"),
    ".ndjson": Format("application/jsonl", "json_lines"),
    ".eml": Format("message/rfc822", "email"),
    ".csv": Format("text/csv", "csv"),
    ".tsv": Format("text/tab-separated-values", "csv"),
}
_LANGUAGES = {
    "python": (".py", ".pyi"),
    "javascript": (".js", ".mjs", ".cjs", ".jsx"),
    "typescript": (".ts", ".tsx"),
    "java": (".java",),
    "kotlin": (".kt", ".kts"),
    "scala": (".scala",),
    "c": (".c", ".h"),
    "c++": (".cc", ".cpp", ".cxx", ".hpp", ".hh"),
    "csharp": (".cs",),
    "go": (".go",),
    "rust": (".rs",),
    "swift": (".swift",),
    "ruby": (".rb",),
    "php": (".php",),
    "perl": (".pl", ".pm"),
    "lua": (".lua",),
    "r": (".r",),
    "julia": (".jl",),
    "haskell": (".hs",),
    "elixir": (".ex", ".exs"),
    "erlang": (".erl",),
    "clojure": (".clj",),
    "dart": (".dart",),
    "sh": (".sh", ".bash", ".zsh"),
    "powershell": (".ps1",),
    "sql": (".sql",),
    "css": (".css", ".scss"),
    "yaml": (".yaml", ".yml"),
    "toml": (".toml",),
    "ini": (".ini", ".cfg", ".conf"),
    "proto": (".proto",),
    "graphql": (".graphql",),
    "terraform": (".tf",),
}
FORMATS |= {
    ending: Format(f"text/x-{language}", "code") for language, endings in _LANGUAGES.items() for ending in endings
}


def supported(name: str) -> bool:
    """Whether a file of this name would be read. Only the extension is looked at, in any case."""
    return _ending(name) in FORMATS


def stamped(fingerprint: str, name: str) -> str:
    """A fingerprint of how a file of this name is cut, and of how it is read. Chunks' ids are made from it, since another
    text of the same bytes must never get the vectors of the one before."""
    chosen = FORMATS.get(_ending(name))
    return fingerprint if chosen is None or chosen.version == 1 else f"{fingerprint}/read-{chosen.version}"


def read(name: str, data: bytes, max_pages: int | None = None) -> Parsed:
    """The file by the reader its extension asks for. Raises Unsupported, and what that reader raises."""
    chosen = FORMATS.get(_ending(name))
    if chosen is None:
        raise Unsupported(f"There is no reader for {name}.")
    reader = import_module(f"ingest.readers.{chosen.module}")
    pages = {} if max_pages is None or chosen.module != "pdf" else {"max_pages": max_pages}
    parsed: Parsed = reader.read(name, data, **pages)
    return replace(parsed, media_type=chosen.media_type)


def _ending(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
