"""Every knob, read once, frozen. Order: flag > environment GROUNDED_* > grounded.toml > default.

Sections stand by subject in the files `*_settings.py`. The descriptions say what a knob does to the operator; the manual's
table is generated from this class.
"""

import difflib
import os
import tomllib
from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from app.abstention_settings import AbstentionSettings
from app.batch_settings import BatchSettings, WebhookSettings
from app.cache_settings import CacheSettings
from app.filter_settings import FilterSettings
from app.generation_settings import GenerationSettings
from app.index_settings import IndexSettings, ReindexSettings
from app.ingest_settings import IngestSettings
from app.key_settings import OidcSettings
from app.limit_settings import BudgetSettings, LimitSettings
from app.model_settings import EmbedderSettings, RerankerSettings
from app.prompt_settings import ModerationSettings, PromptSettings
from app.retrieval_settings import ContextSettings, QuerySettings, RetrievalSettings
from app.secret_files import secret_in, shared_mode
from app.tier_settings import RoutingSettings, TierSettings
from app.verification_settings import VerificationSettings
from ingest.errors import GroundedError

PREFIX = "GROUNDED_"
CONFIG_FILE = "GROUNDED_CONFIG"
API_KEY = "GROUNDED_API_KEY"
_NOT_SETTINGS = ("GROUNDED_URL", API_KEY, f"{API_KEY}_FILE")  # read by the command line as a client


class ConfigurationError(GroundedError):
    """The configuration cannot be used."""

    code = "configuration_error"
    next_step = "Correct or remove the setting; the chapter Configuration of the manual explains every one."


class Settings(BaseSettings):
    """All settings. Built once at the start of a command, never at import."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    state: Path = Field(
        Path("data/state"), description="The folder of catalog, index and uploads; it belongs on a real disk."
    )
    database_url: SecretStr = Field(
        SecretStr(""),
        description="PostgreSQL, as postgresql://user:password@host:5432/name, for catalog, keys and jobs of several replicas; "
        "without it they are in a file of the state folder. May be given as GROUNDED_DATABASE_URL_FILE.",
    )
    qdrant_url: str = Field(
        "",
        description="Address of a Qdrant server; short for index.engine qdrant_server with this index.url.",
    )
    uploads: Path | None = Field(
        None,
        description="The folder of uploaded files; without it one below the state folder. Replicas need one that all of them "
        "reach under the same path.",
    )
    redis_url: SecretStr = Field(
        SecretStr(""),
        description="Redis, as redis://user:password@host:6379/0, for what several replicas count together; without it each "
        "process counts by itself. May be given as GROUNDED_REDIS_URL_FILE.",
    )
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. Any other than one of this machine alone needs keys: see grounded keys create.",
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
    max_wait_s: float = Field(
        30.0,
        gt=0,
        description="Longest wait for a place. Who has waited for so long, or would as the line moves, gets 503 overloaded.",
    )
    ping_s: float = Field(
        15.0, gt=0, description="Silence on a stream after which a comment is sent, so that proxies keep it open."
    )
    stalled_s: float = Field(
        30.0,
        gt=0,
        description="A client that takes nothing of its stream for so long is dropped, and its place is free.",
    )
    resume_grace_s: float = Field(
        30.0,
        ge=0,
        description="For so long a resumable answer goes on without a reader, and can be read again once it has ended.",
    )
    resume_mb: int = Field(
        64, ge=1, description="Memory for the events of resumable answers; the oldest that have ended make way."
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
    abstention: AbstentionSettings = AbstentionSettings()
    prompts: PromptSettings = PromptSettings()
    moderation: ModerationSettings = ModerationSettings()
    verification: VerificationSettings = VerificationSettings()
    filter: FilterSettings = FilterSettings()
    cache: CacheSettings = CacheSettings()
    batch: BatchSettings = BatchSettings()
    webhooks: WebhookSettings = WebhookSettings()
    oidc: OidcSettings = OidcSettings()
    limits: LimitSettings = LimitSettings()
    budgets: BudgetSettings = BudgetSettings()
    tiers: tuple[TierSettings, ...] = Field(
        (),
        description="The models that may answer, as [[tiers]] tables from the cheapest to the dearest; see the chapter "
        "Tiers and routing.",
    )
    routing: RoutingSettings = RoutingSettings()

    @model_validator(mode="before")
    @classmethod
    def _with_qdrant(cls, values: Any) -> Any:
        """What is said of the index itself stands above the short form."""
        if isinstance(values, dict) and values.get("qdrant_url") and isinstance(values.get("index", {}), dict):
            short = {"engine": "qdrant_server", "url": values["qdrant_url"]}
            return {**values, "index": {**short, **values.get("index", {})}}
        return values

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("the address of a PostgreSQL begins with postgresql://")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("the address of a Redis begins with redis://, rediss:// or unix://")
        return value

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
    _refuse_shared_secrets()
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
        near = nearest(name, [*setting_names(), *_tier_keys(first["loc"])])
        hint = f" Did you mean {near!r}?" if near and not name.startswith(near) else ""
        raise ConfigurationError(f"Setting {name!r}: {first['msg']}.{hint}") from error


def _tier_keys(place: tuple[int | str, ...]) -> list[str]:
    """What may stand where something wrong stood, in a table of tiers."""
    if len(place) < 2 or place[0] != "tiers":
        return []
    return [f"tiers.{place[1]}.{key}" for key in TierSettings.model_fields]


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
    return config_path().name if _in_file(_file_values(), name) is not None else "default"


def secrets_from_files() -> dict[str, Any]:
    """Values of GROUNDED_..._FILE variables, for settings that hold secrets, nested like the settings."""
    values: dict[str, Any] = {}
    for name, info in fields():
        path = os.environ.get(f"{variable(name)}_FILE")
        if info.annotation is SecretStr and path:
            section, _, leaf = name.rpartition(".")
            into = values.setdefault(section, {}) if section else values
            try:
                into[leaf] = secret_in(Path(path))
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", "it is no text")
                raise ConfigurationError(f"{variable(name)}_FILE cannot be read: {why}.") from error
    return values


def secrets_of(settings: Settings) -> list[str]:
    """Every secret that the settings hold or lead to, so that what is written can be freed of them."""
    found = [_at(settings, name) for name, info in fields() if info.annotation is SecretStr]
    texts = [secret.get_secret_value() for secret in (*found, *(tier.api_key for tier in settings.tiers))]
    for tier in settings.tiers:
        if tier.api_key_file is not None:
            with suppress(OSError, UnicodeDecodeError):
                texts.append(secret_in(tier.api_key_file))
    return [text for text in texts if text]


def _at(settings: Settings, name: str) -> Any:
    return reduce(getattr, name.split("."), settings)


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


def _refuse_shared_secrets() -> None:
    """A file that others may read holds no secret."""
    values = _file_values()
    held = [name for name, info in fields() if info.annotation is SecretStr and _in_file(values, name)]
    tiers = values.get("tiers", ())
    held += ["tiers.api_key"] if any(isinstance(tier, dict) and tier.get("api_key") for tier in tiers) else []
    if held and shared_mode(config_path().stat().st_mode):
        raise ConfigurationError(
            f"{config_path().name} holds {held[0]}, and others than its owner may read it.",
            f"Run chmod 600 {config_path().name}, or give the secret by the environment or a file of its own.",
        )


def _in_file(values: Any, name: str) -> Any:
    """What stands in the configuration file under a setting's name; None for nothing."""
    for part in name.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


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
