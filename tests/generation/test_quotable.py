"""What may be quoted of a passage: spans that are exact, in order, and say something."""

import random
import time
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from generation.quotable import Unit, as_markdown, quotable, typed
from retrieval.model import Hit, Passage

INSTALL = """# Installing

To install the service, run this:

```
pip install grounded
grounded doctor
```

- The service needs Python 3.11.
- The index needs two gigabytes of disk.

| setting | default |
|---------|---------|
| port | the service listens on 8000 |
"""


def passage(text, title="", media_type="text/markdown", bits=None, headings=()) -> Passage:
    return Passage(
        hit=Hit(f"id-{hash(text)}", {}),
        document_id="d",
        collection_id="c",
        version=1,
        ordinal=0,
        name="notes.md",
        title=title,
        media_type=media_type,
        heading_path=headings,
        page=None,
        line=None,
        cell=None,
        start=0,
        end=len(text),
        text=text,
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
        bits=bits,
    )


def units(text, **where) -> list[tuple[str, str]]:
    return [(unit.kind, unit.text) for unit in quotable(1, passage(text, **where))]


def test_structure_is_kept():
    assert units(INSTALL, title="Installing") == [
        ("sentence", "To install the service, run this:"),
        ("code", "```\npip install grounded\ngrounded doctor\n```"),
        ("item", "The service needs Python 3.11."),
        ("item", "The index needs two gigabytes of disk."),
        ("row", "setting | default"),
        ("row", "port | the service listens on 8000"),
    ]


def test_headings_are_not_quoted():
    title = "Normans and Vikings of the north"
    text = f"{title}\n{'=' * len(title)}\n\nRollo led the Normans.\n\n## What they did\nThey swore fealty."
    assert [t for _, t in units(text)] == ["Rollo led the Normans.", "They swore fealty."]
    stripped = "What the Normans did\n\nThey swore fealty."
    assert [t for _, t in units(stripped, headings=("What the Normans did",))] == ["They swore fealty."]


def test_a_passage_of_scraps_is_quoted_all_the_same():
    assert units("Normandy") == [("sentence", "Normandy")]


def test_source_code_is_quoted_in_pieces():
    code = "import os\n\n\ndef port() -> int:\n    return 8000\n"
    pieces = units(code, media_type="text/x-python")
    assert pieces == [("code", "import os"), ("code", "def port() -> int:\n    return 8000")]


def test_indented_code_is_code():
    text = "Run it like this::\n\n    grounded ask\n    grounded doctor\n\nThen read the answer."
    assert [kind for kind, _ in units(text, media_type="text/x-rst")] == ["sentence", "code", "sentence"]


def test_markup_alone_says_nothing():
    text = 'Rollo led the Normans.\n\n<div class="a"><img src="one two three four"></div>'
    assert units(text) == [("sentence", "Rollo led the Normans.")]


def test_the_marks_of_boxes_and_included_pages_are_not_quoted():
    text = "/// note | Details of the installation\n\nRollo led the Normans.\n\n///\n\n::: normans.leaders.Rollo of Normandy\n"
    assert units(text) == [("sentence", "Rollo led the Normans.")]


def test_spans_are_in_order_and_exact_for_any_mixture():
    parts = [
        "```\nx = 1\n```",
        "# Head",
        "- item one is here",
        "| a | b c d |",
        "A sentence. Another one!",
        "    code",
        "`",
        "~~~",
        "",
        "Título ünï 東京。",
        "=====",
        "/// tip | one two three",
    ]
    rng = random.Random(4)
    for _ in range(300):
        text = "\n".join(rng.choices(parts, k=8))
        found = quotable(1, passage(text))
        assert all(unit.text == text[unit.start : unit.end] == unit.text.strip() != "" for unit in found)
        assert all(a.end <= b.start for a, b in pairwise(found))


@pytest.mark.parametrize(
    "text", ["```\n" * 5_000, "|" * 20_000, "`" * 20_000, "<" * 20_000, "\n" * 20_000, "- " * 10_000, "#" * 20_000]
)
def test_hostile_text_takes_no_time(text):
    started = time.process_time()
    quotable(1, passage(text))
    assert time.process_time() - started < 30  # quadratic time would be minutes


def test_program_text_is_shown_in_a_fence_and_a_fence_as_it_is():
    source = replace(passage('def __init__(self):\n    """`x` and ```y```."""'), media_type="text/x-python")
    (unit,) = quotable(1, source)
    assert as_markdown(unit, source) == f"````python\n{unit.text}\n````"
    prose = passage(INSTALL)
    assert all(as_markdown(unit, prose) == unit.text for unit in quotable(1, prose))
    unnamed = replace(source, media_type="text/x-source", text="x = 1", end=source.start + 5)
    assert as_markdown(quotable(1, unnamed)[0], unnamed) == "```\nx = 1\n```"


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("```console\n$ tool run\n\n   INFO started\n```", "$ tool run"),
        ("```console\n$ cd folder\n$ tool run\n---> 100%\n```", "$ cd folder\n$ tool run"),
        ("```\n$ tool run\n```", "$ tool run"),
    ],
)
def test_of_a_recording_only_what_was_typed_is_shown(text, commands):
    source = passage(f"Run it like this:\n\n{text}\n")
    (code,) = [unit for unit in quotable(1, source) if unit.kind == "code"]
    shown = typed(code)
    assert code.text == text
    assert shown.text == commands == source.text[shown.start : shown.end]
    assert as_markdown(shown, source) == f"```console\n{commands}\n```"


@pytest.mark.parametrize(
    "text",
    ["```python\nrun()\n```", "```console\n$ tool \\\n  run\n```", "```console\nINFO\n$ tool run\n```", "```\n```"],
)
def test_other_code_is_shown_whole(text):
    unit = Unit(1, 0, len(text), text, "code")
    assert typed(unit) == unit
