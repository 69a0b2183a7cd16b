"""The prompts that there are: those that are shipped, and in front of them a folder of the operator's own.

`answer` is the newest version, `answer.md`; `answer@1` the version of that number, from `answer@1.md` or whichever file
says so. Files are looked at when they are used: a change counts for the next question, without a restart. One that is
broken then changes nothing, and the log says so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from generation.prompt import SHIPPED, BrokenPromptError, Prompt, parsed

_NAME = re.compile(r"([a-z][a-z0-9_]{0,31})(?:@([1-9]\d{0,5}))?")
_LARGEST = 100_000  # bytes; no model should be told so much before it is told anything
_Seen = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A prompt's file: which prompt it holds, or why it cannot be used; `used` by the settings, as they are."""

    path: Path
    own: bool
    prompt: Prompt | None
    problem: str | None
    used: bool


class PromptLibrary:
    """Finds prompts by name. Cheap to make; files are read when they are asked for."""

    def __init__(self, own: Path | None = None, chosen: Mapping[str, str] | None = None) -> None:
        """`own` is a folder that is looked into first; `chosen` says which version stands for a name, as in
        `{"answer": "answer@1"}`."""
        self._folders = [SHIPPED] if own is None else [own, SHIPPED]
        self._chosen = dict(chosen or {})

    def use(self, name: str, version: str) -> None:
        """From now on `version` stands for `name`. Raises BrokenPromptError, and then nothing has changed."""
        self.find(version)
        self._chosen[name] = version

    def live(self, name: str) -> "LivePrompt":
        """The prompt that stands for this name, now and later. Raises BrokenPromptError."""
        return LivePrompt(self, name)

    def find(self, name: str) -> Prompt:
        """The prompt of this name as its file is now. Raises BrokenPromptError."""
        for path in self._candidates(name):
            if (prompt := _at(path, name)) is not None:
                return prompt
        raise BrokenPromptError(f"there is no prompt {name!r}; there are {', '.join(self._known())}")

    def chosen(self, name: str) -> str:
        """Which version stands for this name."""
        return self._chosen.get(name, name)

    def seen(self, name: str) -> _Seen:
        """The state of every file that could be the prompt of this name: another state, another look."""
        found = []
        for path in self._candidates(name):
            try:
                stat = path.stat()
            except OSError:
                continue
            found.append((str(path), stat.st_mtime_ns, stat.st_size))
        return tuple(found)

    def listed(self) -> list[Listed]:
        """Every file with a prompt, by folder and name, the operator's own first."""
        rows = []
        for folder in self._folders:
            for path in sorted(folder.glob("*.md")):
                try:
                    prompt, problem = _read(path), None
                except BrokenPromptError as error:
                    prompt, problem = None, str(error)
                rows.append(Listed(path, folder != SHIPPED, prompt, problem, self._is_used(path, prompt)))
        return rows

    def _is_used(self, path: Path, prompt: Prompt | None) -> bool:
        if prompt is None:
            return False
        name = self.chosen(prompt.name.partition("@")[0])
        try:
            found = next((p for p in self._candidates(name) if _at(p, name) is not None), None)
        except BrokenPromptError:
            return False
        return found == path

    def _candidates(self, name: str) -> list[Path]:
        match = _NAME.fullmatch(name)
        if match is None:
            raise BrokenPromptError(f"{name!r} is no name of a prompt, such as answer or answer@1")
        stems = dict.fromkeys((name, match[1]))
        return [folder / f"{stem}.md" for folder in self._folders for stem in stems]

    def _known(self) -> list[str]:
        return sorted({row.prompt.name for row in self.listed() if row.prompt is not None})


class LivePrompt:
    """A prompt by its name: looked at when it is used, so that a change of its file needs no restart."""

    def __init__(self, library: PromptLibrary, name: str) -> None:
        self._library = library
        self._name = name
        self._wanted = library.chosen(name)
        self._seen = library.seen(self._wanted)
        self._prompt = library.find(self._wanted)

    def now(self) -> Prompt:
        """The prompt for the next request: the last that could be read."""
        wanted = self._library.chosen(self._name)
        seen = self._library.seen(wanted)
        if (wanted, seen) == (self._wanted, self._seen):
            return self._prompt
        self._wanted, self._seen = wanted, seen
        log = structlog.get_logger()
        try:
            self._prompt = self._library.find(wanted)
        except BrokenPromptError as error:
            log.warning("prompt.broken", prompt=wanted, cause=str(error), kept=self._prompt.version)
        else:
            log.info("prompt.changed", prompt=wanted, version=self._prompt.version)
        return self._prompt


def _at(path: Path, name: str) -> Prompt | None:
    """The prompt of this name if that is what the file holds; None where there is no file, or one of another version."""
    id_, _, version = name.partition("@")
    if not path.is_file():
        return None
    prompt = _read(path)
    if prompt.name.partition("@")[0] != id_:
        raise BrokenPromptError(f"{path.name} has the id {prompt.name.partition('@')[0]!r}, not {id_!r}")
    if version and prompt.name != name:
        if "@" in path.stem:
            raise BrokenPromptError(f"{path.name} has the version {prompt.name.partition('@')[2]}, not {version}")
        return None
    return prompt


def _read(path: Path) -> Prompt:
    try:
        raw = path.read_text(encoding="utf-8") if path.stat().st_size <= _LARGEST else None
    except OSError as error:
        raise BrokenPromptError(f"{path.name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BrokenPromptError(f"{path.name} is not UTF-8") from None
    if raw is None:
        raise BrokenPromptError(f"{path.name} has more than {_LARGEST} bytes")
    try:
        return parsed(raw)
    except BrokenPromptError as error:
        raise BrokenPromptError(f"{path.name} {error}") from None
