"""Harmless answers through the output filter: sentences of real documents, quoted as an answer quotes them. What a reader sees
of them may not change."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from generation.filters.leaks import Secret
from generation.filters.output import OutputPolicy, filtered
from generation.filters.pii import KINDS
from generation.prompt import load_prompt
from ingest.readers.text import clean
from ingest.sentences import sentence_spans

ASKED = 0.005
MANUAL = Path(__file__).parents[2] / "data" / "handbook"
SHARED = Path(__file__).parents[3] / "shared" / "data"
_ROWS = ("squad2", "clapnq", "beir_scifact", "cranfield")
_PAGES = (("docs_fastapi", "*.md"), ("docs_datasette", "*.rst"))
_RENDERER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
_LONGEST = 3  # sentences of an answer


def sweep(n: int, seed: int) -> dict[str, Any]:
    """Numbers, and what was wrong. `touched` counts answers of which any character changed: an escape, or the mark-up of a
    link; `altered` those that a reader sees otherwise. `unquoted` are altered where no source holds what they say."""
    draw, policy = Random(seed), shipped()
    by_set = {name: list(answers(texts, draw)) for name, texts in collections().items()}
    each = -(-n // len(by_set))
    total, touched, altered = Counter[str](), Counter[str](), Counter[str]()
    unquoted, why = 0, list[str]()
    for name, found in by_set.items():
        for source, answer in draw.sample(found, min(each, len(found))):
            said, categories = filtered(policy, answer, [source])
            total[name] += 1
            touched[name] += said != answer
            if seen(said) != seen(answer):
                altered[name] += 1
                why.append(f"{name} {categories}: {answer[:200]}")
            unquoted += seen(filtered(policy, answer)[0]) != seen(answer)
    share = altered.total() / total.total()
    return {
        "answers": total.total(),
        "altered": round(share, 5),
        "by_set": {name: f"{altered[name]} of {count}" for name, count in total.items()},
        "unquoted": round(unquoted / total.total(), 5),
        "touched": round(touched.total() / total.total(), 5),
        "touched_by_set": dict(touched),
        "wrong": why if share > ASKED else [],
    }


def shipped() -> OutputPolicy:
    """As the settings are by default."""
    prompts = (load_prompt(name) for name in ("answer", "structured"))
    parts = dict.fromkeys(part for p in prompts for part in (p.system, p.user, p.repair))
    return OutputPolicy(dict.fromkeys(KINDS, "mask"), secret=Secret(parts))


def collections() -> dict[str, list[str]]:
    """The manual, and real documents where they are at hand, paragraph by paragraph."""
    found = {"handbook": _paragraphs(MANUAL, "*.md")}
    for name in _ROWS:
        if (file := SHARED / name / "corpus.jsonl").exists():
            found[name] = [clean(json.loads(line)["text"]) for line in file.read_text().splitlines()]
    for name, pattern in _PAGES:
        if (SHARED / name).exists():
            found[name] = _paragraphs(SHARED / name, pattern)
    return found


def _paragraphs(folder: Path, pattern: str) -> list[str]:
    parts = (part.strip() for file in sorted(folder.rglob(pattern)) for part in clean(file.read_text()).split("\n\n"))
    return [part for part in parts if len(part) > 40 and part[0].isalnum()]


def answers(texts: list[str], draw: Random) -> Iterator[tuple[str, str]]:
    """A source and some sentences of it."""
    for text in texts:
        spans = sentence_spans(text)
        if spans:
            at = draw.randrange(len(spans))
            last = spans[min(at + draw.randrange(_LONGEST), len(spans) - 1)]
            yield text, text[spans[at][0] : last[1]]


def seen(text: str) -> str:
    """What a reader sees of Markdown, in letters; tags and addresses are text."""
    return "".join("".join(_said(token) for token in _RENDERER.parse(text)).split())


def _said(token: Token) -> str:
    inner = "".join(map(_said, token.children or []))
    return inner if token.children is not None else token.content
