"""Files that pages include, and their place in the context."""

from dataclasses import replace

import pytest

from retrieval.context import Limits, pack
from retrieval.includes import included, is_at
from retrieval.model import Found
from tests.passages import passage


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("Add it:\n\n{* ../../src/cors/app.py hl[2,6:11] *}\n", ("src/cors/app.py",)),
        ("```python\n{!> ../src/app.py!}\n```\n{! ./b.py !}", ("src/app.py", "b.py")),
        ('--8<-- "examples/a.py"', ("examples/a.py",)),
        (".. literalinclude:: ../a/b.py\n   :lines: 2-4", ("a/b.py",)),
        ("include::app.rb[tag=x]", ("app.rb",)),
        ("{* *} {% include 'x.html' %} include it: a.py, --8<-- later", ()),
        ("{* ../ *}", ()),
    ],
)
def test_what_a_text_includes(text: str, paths: tuple[str, ...]) -> None:
    assert included(text) == paths


def test_a_file_is_known_by_the_end_of_its_name() -> None:
    code = passage("x = 1", name="docs/src/app.py")
    assert is_at(code, "src/app.py")
    assert is_at(code, "docs/src/app.py")
    assert not is_at(code, "pp.py")
    assert not is_at(code, "c/app.py")


def test_the_code_that_a_page_includes_comes_in_behind_it() -> None:
    texts = [" ".join(f"word{100 * n + i}" for i in range(20)) for n in range(4)]
    passages = [passage(text, n, tokens=20) for n, text in enumerate(texts, 1)]
    passages[3] = replace(passages[3], name="src/app.py")
    limits = Limits(top_k=2, token_budget=1000, per_source=8, near_duplicate=0.9)

    def kept() -> list[str]:
        found = Found(tuple(passages), tuple(p.hit for p in passages), None)
        return [p.id for p in pack(found, limits, "Who?").passages]

    assert kept() == [passages[0].id, passages[1].id]
    passages[0] = replace(passages[0], text=f"{texts[0]}\n\n{{* ../src/app.py *}}")
    assert kept() == [passages[0].id, passages[3].id]


@pytest.mark.parametrize("text", ["{*" * 50_000, "{* " + "a" * 100_000, ("{*" + "a" * 300) * 300, " " * 100_000])
def test_hostile_text_ends(text: str) -> None:
    assert included(text) == ()
