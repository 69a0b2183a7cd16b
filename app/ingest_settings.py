"""How files become chunks: what is read, how it is cut, and what is known about it."""

from typing import Self

from pydantic import Field, model_validator

from app.chunking import ChunkingRule
from app.settings_section import Section
from ingest.rules import Rule


class MetadataRule(Section):
    """A rule about the files that match a glob; `ingest.rules.Rule` says what its fields mean and what they may hold."""

    glob: str
    access: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    author: str = ""
    language: str = ""
    url: str = ""
    metadata: dict[str, str] = Field(default_factory=dict)

    def rule(self) -> Rule:
        """The rule itself. Raises ValueError."""
        return Rule(**{name: getattr(self, name) for name in type(self).model_fields})

    @model_validator(mode="after")
    def _fit(self) -> Self:
        self.rule()
        return self


class IngestSettings(Section):
    """How files become chunks."""

    chunking: tuple[ChunkingRule, ...] = Field(
        (),
        description="Which files are cut in which way: rules with a glob, a strategy and sizes, and the first that "
        "matches a file's name decides. Files that no rule matches are cut by structure, source code by function.",
    )
    max_file_mb: int = Field(50, ge=1, le=10_000, description="Larger files are reported as failed, not read.")
    max_pages: int = Field(5000, ge=1, description="A PDF with more pages is reported as failed.")
    read_timeout_s: float = Field(
        60.0,
        gt=0,
        description="A file that takes its reader longer is reported as reader_timeout; one below 6 MB gets less.",
    )
    read_memory_mb: int = Field(
        512, ge=192, description="A file that needs more memory to read is reported as resource_limit."
    )
    max_text_chars: int = Field(20_000_000, ge=1000, description="A file with more text is reported as failed.")
    group_chunks: int = Field(
        512, ge=1, description="Chunks embedded and committed together; more is faster, and redone after a crash."
    )
    min_free_mb: int = Field(
        256,
        ge=0,
        description="Ingest stops with storage_full below this much free disk; the engine would die without warning.",
    )
    gitignore: bool = Field(
        True, description="Leave out what the .gitignore files of a folder leave out, and forget it if it was in."
    )
    ignore: tuple[str, ...] = Field(
        ("node_modules/", "site-packages/", "__pycache__/"),
        description="Left out of every folder, in the syntax of .gitignore; a .gitignore of the folder overrules it.",
    )
    watch_quiet_s: float = Field(
        0.5, ge=0.05, le=60, description="With --watch, quiet time after a change before the folder is looked at."
    )
    watch_again_s: float = Field(
        300.0,
        ge=0,
        description="With --watch, a look without any change after so long, for disks that tell of none; 0 for never.",
    )
    metadata: tuple[MetadataRule, ...] = Field(
        (),
        description="Rules by glob about who may read files, their tags, author, language and address; see the chapter "
        "Metadata and filters. Written as [[ingest.metadata]] tables; the first that speaks of a field wins.",
    )
