"""What an answer depends on, as digests: two askers share an answer only where all of it is equal. Pure.

Whatever a field of the question or a setting is, it is part of the key unless it stands in one of the two lists here: a new
one that nobody thought of costs hits, and never gives a wrong answer.
"""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import orjson

from app.settings import Settings
from retrieval.model import Scope

if TYPE_CHECKING:
    from app.pipeline import Question

FORMAT = 1  # of the key and of what is kept: another one forgets all
# The text is compared by itself, and of whoever asks it counts what may be read: the tenant and the scope. The others change
# how an answer is sent or told of, and not what it says.
NOT_OF_QUESTION = frozenset(("text", "release", "request_id", "cache", "principal"))
NOT_OF_SETTINGS = frozenset(
    (
        "state", "database_url", "redis_url", "uploads", "host", "port", "public_url", "allowed_hosts", "release",
        "citation_style", "ask_get", "max_question_chars", "max_body_kb", "max_upload_mb", "jobs_keep_days", "explanations",
        "explanations_keep_days", "max_running", "max_waiting", "ping_s", "stalled_s", "drain_s", "log_format", "log_level",
        "log_content", "cache", "batch", "webhooks", "reindex", "ingest",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Address:
    """Where an answer is kept: `space` is the digest of all that it depends on but the question's text and the revision of
    the collection, and `text` is that text. `groups` are those of the asker, None for all."""

    space: str
    collection_id: str
    text: str
    groups: frozenset[str] | None

    def at(self, revision: int) -> str:
        """The space at a revision of the collection."""
        return digest([self.space, revision])

    def key(self, revision: int) -> str:
        """Of this very question."""
        return digest([self.space, revision, self.text])


def address(question: "Question", scope: Scope, made_by: str) -> Address:
    """`made_by` is the digest of what answers: settings, prompts, generation of the index, release of the product."""
    asked = {f.name: plain(getattr(question, f.name)) for f in fields(question) if f.name not in NOT_OF_QUESTION}
    space = digest([FORMAT, made_by, question.principal.tenant, plain(scope), asked])
    return Address(space, scope.collection_id, normalised(question.text), scope.groups)


def of_settings(settings: Settings) -> str:
    """Of every setting that could change an answer. Secrets are masked: who pays changes nothing."""
    told = settings.model_dump(mode="json", exclude=set(NOT_OF_SETTINGS))
    return digest(told)


def normalised(text: str) -> str:
    """One spelling of what looks the same; white space does not count but where lines do."""
    text = unicodedata.normalize("NFC", text).strip()
    return text if "\n" in text else " ".join(text.split())


def digest(parts: Any) -> str:
    """Of anything that JSON can tell."""
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def plain(value: Any) -> Any:
    """Dataclasses with their names, sets in order: different values never look the same."""
    if is_dataclass(value):
        told = {f.name: plain(getattr(value, f.name)) for f in fields(value)}
        return [type(value).__name__, told]
    if isinstance(value, set | frozenset):
        return ["set", *sorted(plain(one) for one in value)]
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
