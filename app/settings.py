"""Every knob, read once, frozen. Order: flag > environment GROUNDED_* > grounded.toml > default.

The descriptions say what a knob does to the operator; the manual's table is generated from this class.
"""

import difflib
import os
import tomllib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from app.chunking import ChunkingRule
from app.model_settings import EmbedderSettings, RerankerSettings
from ingest.errors import GroundedError
from ingest.rules import Rule

PREFIX = "GROUNDED_"
CONFIG_FILE = "GROUNDED_CONFIG"
_NOT_SETTINGS = ("GROUNDED_URL", "GROUNDED_API_KEY")  # read by the command line as a client


class ConfigurationError(GroundedError):
    """The configuration cannot be used."""

    code = "configuration_error"
    next_step = "Run grounded config show to see each value and where it comes from."


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MetadataRule(_Section):
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


class IngestSettings(_Section):
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


class RetrievalSettings(_Section):
    """How passages are found."""

    lexical: Literal["engine", "rank_bm25"] = Field(
        "engine",
        description="Who searches by words: the engine's BM25, or the library rank-bm25, which scores every passage in "
        "memory and finds the same.",
    )
    rank_bm25_chunks: int = Field(
        10_000,
        ge=1,
        description="With rank_bm25, a larger collection is searched by vectors alone, and its answers say so.",
    )
    candidates: int = Field(
        50, ge=1, le=1000, description="Hits asked of each search arm; more costs time and finds a little more."
    )
    rrf_k: int = Field(60, ge=0, description="The constant of reciprocal rank fusion; larger flattens the ranks.")
    dense_weight: float = Field(1.0, ge=0, description="Weight of dense search in the fusion.")
    bm25_weight: float = Field(1.0, ge=0, description="Weight of BM25 in the fusion.")
    named_weight: float = Field(
        0.5,
        ge=0,
        description="Weight of the searches within those documents that the question names; 0 leaves them out.",
    )
    rerank_k: int = Field(
        10,
        ge=0,
        description="The constant of the second fusion, with the reranker's order; smaller trusts first places more.",
    )
    rerank_weight: float = Field(
        3.0, ge=0, description="Weight of the reranker's order in the fusion; 0 switches reranking off."
    )
    read_closely: int = Field(20, ge=1, le=200, description="How many of the fused hits the reranker reads.")
    timeout_s: float = Field(5.0, gt=0, description="A search that takes longer is given up with deadline_exceeded.")
    embed_timeout_s: float = Field(
        2.0, gt=0, description="A question that is not embedded by then is searched for by its words alone."
    )
    dense_timeout_s: float = Field(1.0, gt=0, description="A dense search that takes longer is done without.")
    bm25_timeout_s: float = Field(2.0, gt=0, description="A BM25 search that takes longer is done without.")
    rerank_timeout_s: float = Field(
        0.5, gt=0, description="Late interaction that takes longer is done without; degraded tells of all four."
    )


class IndexSettings(_Section):
    """Where vectors and words are searched."""

    engine: Literal["qdrant_edge", "qdrant_server"] = Field(
        "qdrant_edge",
        description="qdrant_edge searches within the service and needs nothing else; qdrant_server asks a Qdrant server or "
        "cluster, for an index that is too large for one machine.",
    )
    url: str = Field("http://127.0.0.1:6333", description="Address of the Qdrant server.")
    api_key: SecretStr = Field(
        SecretStr(""), description="The key of the Qdrant server; may be given as GROUNDED_INDEX__API_KEY_FILE."
    )
    grpc: bool = Field(
        True, description="Send points and searches over gRPC, which is faster; off where only HTTP gets through."
    )
    grpc_port: int = Field(6334, ge=1, le=65535, description="Port of Qdrant for gRPC.")
    collection: str = Field(
        "grounded",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Alias of the index in Qdrant, and what the names of its collections begin with. Two services that "
        "share one Qdrant need two.",
    )
    shard_number: int = Field(
        1, ge=1, le=256, description="Parts that the index is spread over, for several machines; fixed once it is made."
    )
    replication_factor: int = Field(
        1, ge=1, le=16, description="Copies of each part, so that a machine may fail; fixed once the index is made."
    )
    write_consistency_factor: int = Field(
        1,
        ge=1,
        le=16,
        description="Copies that must have a write before it counts as done; replication_factor at most.",
    )
    quantization: Literal["off", "scalar"] = Field(
        "off",
        description="scalar searches 8-bit copies of the vectors and looks at the best again in full: a quarter of the "
        "memory; fixed once the index is made.",
    )
    timeout_s: float = Field(
        1.0, gt=0, le=60, description="A search that Qdrant has not answered by then is done without."
    )
    write_timeout_s: float = Field(
        30.0, gt=0, le=600, description="A write or a count that Qdrant has not answered by then has failed."
    )
    check_s: float = Field(
        30.0, ge=1, le=3600, description="Time between two counts of what Qdrant holds; see on_failure."
    )
    on_failure: Literal["degrade", "refuse"] = Field(
        "degrade",
        description="While the engine answers in part or lacks passages: degrade answers from what is left and says so, "
        "refuse gives index_unavailable.",
    )

    @model_validator(mode="after")
    def _enough_copies(self) -> Self:
        if self.write_consistency_factor > self.replication_factor:
            raise ValueError("write_consistency_factor is larger than replication_factor: no write would ever be done")
        return self


class QuerySettings(_Section):
    """What is searched for."""

    rewrite: Literal["auto", "rules", "off"] = Field(
        "auto",
        description="How a follow-up becomes a question that stands alone: auto asks the chat model where one is configured, "
        "one more call for each question but the first of a conversation; rules carries terms of the turns before; "
        "off searches for the question as it is.",
    )
    rewrite_timeout_s: float = Field(
        3.0, gt=0, description="A chat model that takes longer to rewrite a question is not waited for; rules stand in."
    )


class ContextSettings(_Section):
    """What of the found passages the answer may rest on."""

    token_budget: int = Field(
        2048,
        ge=64,
        description="Tokens of passages given to the generator, counted as the model that answers counts them; more costs "
        "money and time.",
    )
    per_source: int = Field(
        4, ge=1, description="Passages of one document at most, so that no single file crowds out the rest."
    )
    near_duplicate: float = Field(
        0.9, gt=0, le=1, description="Share of equal word triples at which two passages count as the same."
    )
    prefer_latest: bool = Field(
        True,
        description="Of two documents of one name that say the same with other numbers, dates or names, use the newer.",
    )
    widen: Literal["off", "blocks", "section"] = Field(
        "blocks",
        description="Passages grow over their neighbours as the token budget allows: blocks where a list, table or piece of "
        "code was cut, section wherever the section goes on, off never.",
    )
    tokenizer: str = Field(
        "auto",
        description="How tokens of a chat model are counted: the path of its tokenizer.json, or auto, which asks the "
        "endpoint's /tokenize, as vLLM has it, and estimates where there is none; estimate asks nobody.",
    )


class ReindexSettings(_Section):
    """What `grounded reindex` measures a new index by."""

    golden: Path = Field(
        Path("data/evals"),
        description="Golden questions, a file of JSON lines or a folder of them: each with a question and the file that "
        "answers it. A new index is swapped in only if it finds them as well as the live one.",
    )
    allowed_drop: float = Field(
        0.01,
        ge=0,
        le=1,
        description="By how much the mean nDCG@10 on the golden set may fall; 0 allows no loss at all.",
    )


class GenerationSettings(_Section):
    """Who writes the answer."""

    backend: Literal["extractive", "openai_chat"] = Field(
        "extractive",
        description="extractive quotes the sentences that answer; openai_chat asks any OpenAI-compatible endpoint.",
    )
    base_url: str = Field("", description="The endpoint, for example http://127.0.0.1:8001/v1 for vLLM.")
    model: str = Field("", description="The model's name at the endpoint.")
    api_key: SecretStr = Field(
        SecretStr(""), description="The endpoint's key; may be given as GROUNDED_GENERATION__API_KEY_FILE."
    )
    max_tokens: int = Field(512, ge=1, description="Longest answer, in tokens of the model.")
    temperature: float = Field(
        0.0, ge=0, le=2, description="0 gives the same answer to the same question where the model allows it."
    )
    connect_timeout_s: float = Field(5.0, gt=0, description="Time to reach the endpoint.")
    first_token_timeout_s: float = Field(30.0, gt=0, description="Time until the model says its first word.")
    between_tokens_timeout_s: float = Field(15.0, gt=0, description="Longest silence within an answer.")
    timeout_s: float = Field(120.0, gt=0, description="Time for the whole answer.")
    price_input: float | None = Field(
        None, ge=0, description="USD per million input tokens; needed with openai_chat, 0 for your own hardware."
    )
    price_output: float | None = Field(
        None, ge=0, description="USD per million output tokens; needed with openai_chat, 0 for your own hardware."
    )
    sentences: int = Field(3, ge=1, le=10, description="Sentences that the extractive answer quotes at most.")
    abstain_below: float = Field(
        0.0,
        ge=0,
        le=1,
        description="The extractive answer abstains when its best sentence scores lower; 0 takes the built-in bar.",
    )


class Settings(BaseSettings):
    """All settings. Built once at the start of a command, never at import."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    state: Path = Field(
        Path("data/state"), description="The folder of catalog and index; back it up, give it a real disk."
    )
    host: str = Field(
        "127.0.0.1", description="Address to listen on. There are no keys yet, so only loopback is accepted."
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    public_url: str = Field("", description="Address under which people reach the service; used in links to sources.")
    allowed_hosts: tuple[str, ...] = Field(
        ("127.0.0.1", "localhost", "[::1]"), description="Host headers that are answered; others get host_not_allowed."
    )
    release: Literal["sentence", "token"] = Field(
        "sentence",
        description="sentence sends text once its sentence is checked; token sends it at once and corrects later.",
    )
    citation_style: Literal["none", "bracket", "markdown"] = Field(
        "none", description="Citation marks inside the answer text."
    )
    ask_get: bool = Field(True, description="Allow GET /ask?question=...; questions then stand in proxies' logs.")
    max_question_chars: int = Field(4000, ge=1, description="Longer questions are refused with 422.")
    max_body_kb: int = Field(256, ge=1, description="Larger request bodies are refused with 413 while they are read.")
    max_upload_mb: int = Field(
        256, ge=1, description="Larger uploads are refused with 413 while they are read; one as JSON at 16 MB already."
    )
    jobs_keep_days: int = Field(
        30, ge=1, description="Jobs that have ended, and idempotency keys, are forgotten at a start after so many days."
    )
    explanations: int = Field(
        1000,
        ge=0,
        description="Answers whose explanation is kept, the newest; each takes some 10 kB of disk and holds no text. 0 for none.",
    )
    explanations_keep_days: int = Field(30, ge=1, description="Older explanations are forgotten.")
    max_running: int = Field(8, ge=1, description="Questions answered at the same time; more share the same cores.")
    max_waiting: int = Field(64, ge=0, description="Questions that may wait; one more gets 503 overloaded.")
    ping_s: float = Field(
        15.0, gt=0, description="Silence on a stream after which a comment is sent, so that proxies keep it open."
    )
    stalled_s: float = Field(
        30.0,
        gt=0,
        description="A client that takes nothing of its stream for so long is dropped, and its place is free.",
    )
    drain_s: float = Field(10.0, ge=0, description="Time that open answers get to finish after SIGTERM.")
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="auto writes text to a terminal, JSON lines elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much is logged.")
    log_content: bool = Field(
        False, description="Write question texts to the log. Off: no document, question or answer text in it."
    )
    embedder: EmbedderSettings = EmbedderSettings()
    reranker: RerankerSettings = RerankerSettings()
    ingest: IngestSettings = IngestSettings()
    index: IndexSettings = IndexSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    query: QuerySettings = QuerySettings()
    reindex: ReindexSettings = ReindexSettings()
    context: ContextSettings = ContextSettings()
    generation: GenerationSettings = GenerationSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flag, then environment, then file; no .env and no secrets folder."""
        del dotenv_settings, file_secret_settings
        if isinstance(env_settings, EnvSettingsSource):  # the others are warned of, and must not look like sections
            known = {variable(name).lower() for name in setting_names()}
            env_settings.env_vars = {name: value for name, value in env_settings.env_vars.items() if name in known}
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_path())


def config_path() -> Path:
    """The configuration file: GROUNDED_CONFIG, or grounded.toml in the folder we are in."""
    return Path(os.environ.get(CONFIG_FILE, "grounded.toml"))


def load(**flags: Any) -> Settings:
    """The settings of this run. `flags` are command line options that were given; they win over everything.

    Raises ConfigurationError, naming the setting, where its value came from and the nearest known name.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    _refuse_unknown_file_keys()
    try:
        return Settings(**secrets_from_files(), **given)
    except SettingsError as error:
        raise ConfigurationError(
            f"The environment cannot be read: {error}.",
            "Lists are written as JSON there, for example GROUNDED_ALLOWED_HOSTS='[\"localhost\"]'.",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        near = nearest(name, setting_names())
        hint = f" Did you mean {near!r}?" if near and not name.startswith(near) else ""
        raise ConfigurationError(f"Setting {name!r}: {first['msg']}.{hint}") from error


def setting_names() -> list[str]:
    """All settings as they stand in the file: `port`, `retrieval.rrf_k`."""
    return [name for name, _ in fields()]


def fields() -> list[tuple[str, FieldInfo]]:
    """Every setting by its dotted name, sections opened, in the order of the class."""
    found: list[tuple[str, FieldInfo]] = []
    for name, info in Settings.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += [(f"{name}.{inner}", inner_info) for inner, inner_info in kind.model_fields.items()]
        else:
            found.append((name, info))
    return found


def variable(name: str) -> str:
    """The environment variable of a setting: `retrieval.rrf_k` is GROUNDED_RETRIEVAL__RRF_K."""
    return PREFIX + name.replace(".", "__").upper()


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like this one, if any is at all like it."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown_variables() -> list[str]:
    """A warning for each GROUNDED_* variable that no setting reads: a misspelt one would be ignored in silence."""
    known = {variable(name) for name in setting_names()}
    known |= {f"{name}_FILE" for name in known} | {CONFIG_FILE, *_NOT_SETTINGS}
    warnings = []
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known and not name.startswith(f"{PREFIX}TEST_"):
            near = nearest(name, known)
            warnings.append(f"{name} is not a setting." + (f" Did you mean {near}?" if near else ""))
    return warnings


def origin(name: str, flags: Collection[str] = ()) -> str:
    """Where a setting's value comes from: flag, the variable's name, the file's name, or default."""
    if name in flags:
        return "flag"
    for candidate in (variable(name), f"{variable(name)}_FILE"):
        if os.environ.get(candidate):
            return candidate
    section: Any = _file_values()
    for part in name.split("."):
        section = section.get(part) if isinstance(section, dict) else None
    return config_path().name if section is not None else "default"


def secrets_from_files() -> dict[str, Any]:
    """Values of GROUNDED_..._FILE variables, for settings that hold secrets, nested like the settings."""
    values: dict[str, Any] = {}
    for name, info in fields():
        path = os.environ.get(f"{variable(name)}_FILE")
        if info.annotation is SecretStr and path:
            section, _, leaf = name.rpartition(".")
            try:
                values.setdefault(section, {})[leaf] = Path(path).read_text().strip()
            except OSError as error:
                raise ConfigurationError(f"{variable(name)}_FILE cannot be read: {error.strerror}.") from error
    return values


def _file_values() -> dict[str, Any]:
    path = config_path()
    if not path.is_file():
        if CONFIG_FILE in os.environ:
            raise ConfigurationError(f"{CONFIG_FILE} names {path.name!r}, which is not a file.")
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path.name} cannot be read as TOML: {error}.") from error


def _refuse_unknown_file_keys() -> None:
    known = setting_names()
    sections = {name.split(".")[0] for name in known if "." in name}
    for key, value in _file_values().items():
        inner = [f"{key}.{leaf}" for leaf in value] if isinstance(value, dict) and key in sections else [key]
        for name in inner:
            if name not in known:
                near = nearest(name, known)
                raise ConfigurationError(
                    f"{config_path().name}: {name!r} is not a setting." + (f" Did you mean {near!r}?" if near else "")
                )
