"""Front matter: YAML between `---`, or TOML between `+++`, in front of the text.

Of YAML only plain values are taken: no tags that make objects, and no anchors, by which a small text stands for a huge one.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from ingest.readers.text import Lines

_FENCES = {"---": ("---", "..."), "+++": ("+++",)}
_MOST_LINES = 500
_LONGEST = 20_000  # characters that are parsed


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """How many lines it takes, fences included, and what stands in it; empty where it cannot be understood."""

    lines: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)


def front_matter(lines: Lines) -> FrontMatter:
    """That of a text; none when there is no fence in its first line, or when the fence is never closed."""
    fence = lines[0].rstrip()
    for number in range(1, min(len(lines), _MOST_LINES)):
        if fence not in _FENCES:
            break
        if lines[number].rstrip() in _FENCES[fence]:
            inner = lines.text[lines.start(1) : lines.start(number)]
            return FrontMatter(number + 1, _fields(inner, fence) if len(inner) <= _LONGEST else {})
    return FrontMatter()


def _fields(text: str, fence: str) -> Mapping[str, Any]:
    try:
        found = tomllib.loads(text) if fence == "+++" else _Plain(text).get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


class _Plain(yaml.SafeLoader):  # type: ignore[misc]  # its stubs are a package of their own
    """YAML without aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node that stands here itself."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)
