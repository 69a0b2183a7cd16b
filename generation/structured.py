"""An answer that is data: from a model's reply to JSON that the caller's schema allows, and to the sentences in it. Pure.

A reply may come in a code fence; beyond that nothing is guessed. In string values the numbers of sources are taken out, as
they are out of prose, and what a value says in sentences is told with its place in the answer's text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import orjson

from generation.citations import Marks, asserts
from generation.model import DraftSentence, DraftText, ResponseFormat
from generation.schema_limits import DEEPEST, BadSchemaError, check_limits

UNANSWERED = "not_in_sources"  # the property by which a model that is held to a schema can say so
LONGEST_NAME = 64
_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_NAME}}}")
_FENCE = "```"
_LANGUAGE = re.compile(r"[\w-]*")
# The engine takes time that grows with the text alone, whatever the pattern; the limits are bytes of what it compiles to.
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=500_000, dfa_size_limit=500_000)
_SENTENCE = 4  # words; what is shorter and cites nothing is a name, a date, a label
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_LONGEST_PROBLEM = 300


class UnusableError(ValueError):
    """A reply that is not what was asked for. The message is for the model, which may see its own words; `keyword` is the
    place in the caller's schema, or the kind of failure."""

    def __init__(self, problem: str, keyword: str) -> None:
        super().__init__(problem[:_LONGEST_PROBLEM])
        self.keyword = keyword


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence inside a string value; `start` and `end` are those of its text as it stands in the answer, escaped."""

    start: int
    end: int
    sentence: DraftSentence


@dataclass(frozen=True, slots=True)
class Filled:
    """The answer as compact JSON, and what it says in sentences, in order."""

    text: str
    said: tuple[Said, ...]


def format_of(schema: Mapping[str, Any] | None, name: str = "answer", *, strict: bool = False) -> ResponseFormat:
    """The form that a caller asks for; without a schema any object. Raises BadSchemaError."""
    if not _NAME.fullmatch(name):
        raise BadSchemaError(f"has a name that is not 1 to {LONGEST_NAME} letters, digits, - and _")
    if schema is None:
        return ResponseFormat(shown='{"type": "object"}')
    check_limits(schema)
    _validator(schema)
    sent = _with_way_out(schema)
    return ResponseFormat(schema, sent, name, strict, orjson.dumps(sent).decode())


class Form:
    """Reads replies by one response format."""

    def __init__(self, wanted: ResponseFormat, passages: int) -> None:
        """`passages`: how many sources there are; larger numbers are no citations."""
        self._wanted = wanted
        self._passages = passages
        self._validator = None if wanted.schema is None else _validator(wanted.schema)

    def read(self, reply: str) -> Filled | None:
        """The answer that a reply holds; None where it says that the sources do not answer. Raises UnusableError."""
        value = _loaded(_unfenced(reply))
        if isinstance(value, dict) and self._has_way_out():
            if value.get(UNANSWERED) is True:
                return None
            value.pop(UNANSWERED, None)
        filled = self._written(value)
        try:
            self._check(orjson.loads(filled.text))
        except UnusableError:
            self._check(value)  # a schema may ask for the numbers; then they stay
            return self._written(value, keep=True)
        return filled

    def _written(self, value: Any, *, keep: bool = False) -> Filled:
        writer = _Writer(self._passages, keep=keep)
        writer.write(value)
        return Filled("".join(writer.pieces), tuple(writer.said))

    def _has_way_out(self) -> bool:
        """A property of this name that is the caller's own is a part of the answer."""
        properties = (self._wanted.schema or {}).get("properties")
        return not (isinstance(properties, dict) and UNANSWERED in properties)

    def _check(self, value: object) -> None:
        if self._validator is None:
            if not isinstance(value, dict):
                raise UnusableError("The reply is no JSON object.", "object")
            return
        for error in self._validator.iter_errors(value):
            where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
            keyword = "/".join(str(step) for step in error.schema_path)
            raise UnusableError(f"At ${where}: {error.message}", keyword)


def _validator(schema: Mapping[str, Any]) -> Any:
    """Raises BadSchemaError. References were checked; were one to lead elsewhere after all, nobody follows it."""
    try:
        return jsonschema_rs.validator_for(dict(schema), pattern_options=_PATTERNS, retriever=_nowhere)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, TypeError) as error:
        why = str(getattr(error, "message", error)).splitlines()[:1]
        raise BadSchemaError(f"is no JSON Schema that can be used: {''.join(why)[:200]}") from None


def _nowhere(uri: str) -> Any:
    raise ValueError(f"{uri} is not fetched")


def _with_way_out(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema with the property by which the model says that the sources do not answer. A model that is held to a form
    could else only make something up. Where the root is no object with properties there is no place for it."""
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, dict) or UNANSWERED in properties:
        return schema
    required = schema.get("required")
    return {
        **schema,
        "properties": {UNANSWERED: {"type": "boolean"}, **properties},
        "required": [UNANSWERED, *(required if isinstance(required, list) else [])],
    }


def _unfenced(reply: str) -> str:
    """The reply without the code fence around all of it. By hand, since a pattern would look for the end from every place:
    minutes, for a model that writes nothing but blanks."""
    text = reply.strip()
    first, newline, rest = text.partition("\n")
    opened = first.startswith(_FENCE) and _LANGUAGE.fullmatch(first.removeprefix(_FENCE).rstrip())
    return rest.removesuffix(_FENCE) if opened and newline and rest.endswith(_FENCE) else reply


def _loaded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UnusableError(f"The reply is not JSON: {error}.", "json") from None


class _Writer:
    """Writes a value as compact JSON, and notes where its sentences come to stand. With `keep` the numbers of sources stay,
    and a string is one sentence, however many it holds."""

    def __init__(self, passages: int, *, keep: bool) -> None:
        self._passages = passages
        self._keep = keep
        self._length = 0
        self.pieces: list[str] = []
        self.said: list[Said] = []

    def write(self, value: Any, depth: int = 1) -> None:
        """Append a value. Raises UnusableError for one that is nested too deeply."""
        if depth > DEEPEST:
            raise UnusableError(f"The reply is nested deeper than {DEEPEST} levels.", "depth")
        match value:
            case dict():
                self._members(value, depth)
            case list():
                self._put("[")
                for number, item in enumerate(value):
                    self._put("," if number else "")
                    self.write(item, depth + 1)
                self._put("]")
            case str() if any(map(str.isspace, value)):
                self._prose(value)
            case _:
                self._put(orjson.dumps(value).decode())

    def _members(self, value: dict[str, Any], depth: int) -> None:
        self._put("{")
        for number, (name, member) in enumerate(value.items()):
            self._put(("," if number else "") + orjson.dumps(name).decode() + ":")
            self.write(member, depth + 1)
        self._put("}")

    def _prose(self, value: str) -> None:
        """A string of several words: sentence by sentence, without the numbers of sources. One of numbers alone stays."""
        marks = Marks(self._passages)
        drafts = [*marks.feed(value), *marks.close()]
        said = [draft for draft in drafts if isinstance(draft, DraftSentence)]
        if not said:
            self._put(orjson.dumps(value).decode())
            return
        self._put('"')
        if self._keep:
            cited = tuple(dict.fromkeys(n for sentence in said for n in sentence.cited))
            self._sentence(value, DraftSentence(" ".join(sentence.text for sentence in said), cited))
            self._put('"')
            return
        since = ""
        for draft in drafts:
            if isinstance(draft, DraftText):
                since += draft.text
            else:
                self._sentence(since, draft)
                since = ""
        self._put(f'{_escaped(since)}"')

    def _sentence(self, text: str, draft: DraftSentence) -> None:
        """What stands in front of the sentence is written with it and is no part of it."""
        head = len(text) - len(text.lstrip())
        self._put(_escaped(text[:head]))
        start = self._length
        self._put(_escaped(text[head:]))
        if draft.cited or (asserts(draft.text) and len(_WORD.findall(draft.text)) >= _SENTENCE):
            self.said.append(Said(start, self._length, draft))

    def _put(self, text: str) -> None:
        self.pieces.append(text)
        self._length += len(text)


def _escaped(text: str) -> str:
    """As it stands inside a JSON string. Characters are escaped one by one, so parts may be joined."""
    return orjson.dumps(text).decode()[1:-1]
