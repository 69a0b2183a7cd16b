"""The manual against the code: what there is stands in it, and what it says there is, is there."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import pytest
import structlog
import typer.main
from starlette.routing import Route

from app.api import answers, ask, batch, documents, health, jobs, uploads
from app.cli import app as cli
from app.commands.config import settings_table
from app.evals.scores import holds, mean
from app.pipeline import Question
from app.settings import fields, variable
from app.wiring import Grounded
from generation.events import EVENT_TYPES, ClaimJudged, Finished, SourcesFound, TextAdded
from generation.model import AbstentionReason, Claim, ClaimStatus, FinishReason
from retrieval.model import Passage
from tests.manual import HANDBOOK, manual

ROOT = Path(__file__).parents[1]
PAGES = sorted(HANDBOOK.glob("*.md"))
TEXTS = {path.name: path.read_text() for path in PAGES}
ALL = "\n".join(TEXTS.values())
QUESTIONS = [json.loads(line) for line in (ROOT / "data" / "evals" / "handbook.jsonl").read_text().splitlines()]


def between(page: str, marker: str) -> list[str]:
    inner = TEXTS[page].split(f"<!-- {marker}:begin -->")[1].split(f"<!-- {marker}:end -->")[0]
    return inner.strip().splitlines()


def told(code: str) -> Any:
    """What a fresh process says; this one has loaded test doubles that are no part of the product."""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


# ---- what there is stands in it


def test_every_setting_is_explained() -> None:
    assert between("configuration.md", "settings") == "\n".join(settings_table()).strip().splitlines(), (
        "run `make docs`: the settings of the manual are not those of the code"
    )
    for name, info in fields():
        assert info.description, name
        assert f"`{variable(name)}`" in TEXTS["configuration.md"]


def test_every_error_is_explained() -> None:
    generated = told("import json; from app.commands.config import errors_table; print(json.dumps(errors_table()))")
    assert between("errors.md", "errors") == "\n".join(generated).strip().splitlines(), (
        "run `make docs`: the errors of the manual are not those of the code"
    )


def test_every_code_of_every_module_is_in_it() -> None:
    codes = told(
        """
import json, pkgutil, importlib
import app, generation, ingest, retrieval
from ingest.errors import GroundedError
for package in (app, generation, ingest, retrieval):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if ".migrations" not in found.name:
            importlib.import_module(found.name)
def leaves(kind):
    below = kind.__subclasses__()
    return [leaf for sub in below for leaf in leaves(sub)] if below else [kind]
print(json.dumps(sorted({kind.code for kind in leaves(GroundedError)})))
"""
    )
    assert "bad_eval_data" in codes
    missing = [code for code in codes if f"### {code}\n" not in TEXTS["errors.md"]]
    assert not missing


@pytest.mark.parametrize("kind", [EVENT_TYPES, *map(get_args, (ClaimStatus, FinishReason, AbstentionReason))])
def test_every_event_and_every_value_is_named(kind: tuple[str, ...]) -> None:
    unwritten = {"cancelled", "filtered"}  # of answers that this version does not give
    assert [name for name in kind if name not in unwritten and f"`{name}`" not in ALL] == []


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(group, "commands"):
        yield path, group
        return
    for name, command in group.commands.items():
        if not command.hidden:
            yield from commands(command, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(cli)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_is_explained(path: tuple[str, ...]) -> None:
    page = TEXTS["commands.md"]
    assert f"grounded {' '.join(path)}" in page
    for option in COMMANDS[path].params:
        if option.param_type_name == "option" and option.name not in ("help", "as_json"):
            assert any(name in page for name in option.opts), f"{' '.join(path)} {option.opts}"


def test_every_route_is_explained() -> None:
    routes = [
        route for module in (answers, ask, batch, documents, health, jobs, uploads) for route in module.router.routes
    ]
    paths = {route.path for route in routes if isinstance(route, Route)} | {"/openapi.json"}
    assert len(paths) > 10
    written = re.sub(r"\{\w+\}", "{}", ALL)
    for path in paths:
        assert f"`{re.sub(r'{[^}]+}', '{}', path)}" in written, path


# ---- what it says there is, is there


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_code(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = unquote(target).partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{page.name} -> {target}"
        if anchor:
            assert anchor in _anchors(path.read_text()), f"{page.name} -> {target}"


def test_every_page_can_be_reached_from_the_first() -> None:
    for name in TEXTS:
        assert name == "index.md" or f"]({name})" in TEXTS["index.md"]


def _without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _shell_lines() -> list[str]:
    found = []
    for text in [*TEXTS.values(), (ROOT / "README.md").read_text()]:
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
        spoken = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        lines = [line for block in blocks for line in block.splitlines()] + spoken
        found += [re.sub(r"^(\$ )?(\w+=\S+ )*(\.venv/bin/)?", "", line.strip()) for line in lines]
    return [line for line in found if re.match(r"(grounded|make|ingest)( |$)", line)]


@pytest.mark.parametrize("line", sorted(set(_shell_lines())))
def test_commands_that_are_shown_exist(line: str) -> None:
    program, *words = re.sub(r"\s+#.*$", "", line).split()
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        goals = [word for word in words if "=" not in word and word.islower()]
        assert not goals or goals[0] in targets
        return
    group: Any = typer.main.get_command(cli)
    words = ["ingest", *words] if program == "ingest" else words
    while words and hasattr(group, "commands"):
        word = words.pop(0)
        if word.startswith("-") or word.isupper():  # `grounded --help`, `grounded COMMAND --help`
            return
        assert word in group.commands, line
        group = group.commands[word]
    known = {name for option in group.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    shown = [flag for word in words for flag in re.findall(r"(?<![\w\"-])--?[a-z][a-z-]*", word)]
    assert [flag for flag in shown if flag not in known] == []


def test_settings_that_are_named_exist() -> None:
    known = {variable(name) for name, _ in fields()} | {"GROUNDED_CONFIG", "GROUNDED_URL", "GROUNDED_API_KEY"}
    for name in set(re.findall(r"GROUNDED_[A-Z0-9_]*[A-Z0-9]", ALL + (ROOT / "README.md").read_text())):
        known_or_stem = name in known or name.removesuffix("_FILE") in known or name.startswith("GROUNDED_TEST_")
        assert known_or_stem or any(other.startswith(f"{name}__") for other in known), name


# ---- its own questions, through the real pipeline


def test_the_questions_are_well_formed() -> None:
    assert len(QUESTIONS) >= 60
    assert sum(not row["answerable"] for row in QUESTIONS) >= 15
    assert len({row["id"] for row in QUESTIONS}) == len({row["question"] for row in QUESTIONS}) == len(QUESTIONS)
    for row in QUESTIONS:
        assert bool(row["answers"]) == row["answerable"], row["id"]
        if row["answerable"]:
            assert any(holds(TEXTS[row["file"]], answer) for answer in row["answers"]), (
                f"{row['id']} is not in the page"
            )


# A little under what is reached, see `grounded eval`: better is welcome, worse is a bug.
FLOOR_ANSWERED, FLOOR_DECLINED, FLOOR_RETRIEVED = 0.92, 0.75, 0.97


@dataclass(frozen=True)
class Asked:
    """A question of the file and what came back."""

    row: dict[str, Any]
    text: str
    claims: list[Claim]
    sources: dict[str, Passage]
    end: Finished

    @property
    def right(self) -> bool:
        """An accepted answer stands in the answer; an unanswerable question is declined."""
        if not self.row["answerable"]:
            return self.end.finish_reason in ("abstained", "no_context")
        return any(holds(self.text, answer) for answer in self.row["answers"])


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Asked], dict[str, str]]:
    """All questions asked, and the stored texts by document id."""

    async def main() -> tuple[list[Asked], dict[str, str]]:
        async with manual(tmp_path_factory.mktemp("handbook")) as grounded:
            outcomes = [await _ask(grounded, row) for row in QUESTIONS]
            cited = {passage.document_id for outcome in outcomes for passage in outcome.sources.values()}
            return outcomes, {i: await grounded.catalog.text(i) or "" for i in cited}

    with structlog.testing.capture_logs():
        return asyncio.run(main())


@pytest.mark.models
@pytest.mark.slow
class TestQuestions:
    def test_answers_and_abstentions(self, asked: tuple[list[Asked], dict[str, str]]) -> None:
        outcomes, _ = asked
        answerable = [outcome for outcome in outcomes if outcome.row["answerable"]]
        others = [outcome for outcome in outcomes if not outcome.row["answerable"]]
        answered, declined = mean([o.right for o in answerable]), mean([o.right for o in others])
        wrong = "\n".join(f"{o.row['id']} {o.row['question']} -> {o.text[:120]!r}" for o in outcomes if not o.right)
        scores = f"answered {answered:.3f} of {len(answerable)}, declined {declined:.3f} of {len(others)}\n{wrong}"
        sys.stdout.write(scores)
        assert answered >= FLOOR_ANSWERED, scores
        assert declined >= FLOOR_DECLINED, scores

    def test_every_citation_is_valid_and_every_quote_exact(self, asked: tuple[list[Asked], dict[str, str]]) -> None:
        outcomes, texts = asked
        citations = 0
        for outcome in outcomes:
            for claim in outcome.claims:
                assert outcome.text[claim.start : claim.end] == claim.text
                assert claim.citations, outcome.row["id"]
                for citation in claim.citations:
                    source = outcome.sources[citation.source]
                    document = texts[source.document_id]
                    assert document[citation.start : citation.end] == citation.cited_text
                    assert document[source.start : source.end] == source.text
                    citations += 1
        assert citations >= len(QUESTIONS) / 2

    def test_the_passage_that_answers_is_among_the_sources(self, asked: tuple[list[Asked], dict[str, str]]) -> None:
        outcomes, _ = asked
        found = mean(
            [
                any(holds(passage.text, answer) for passage in o.sources.values() for answer in o.row["answers"])
                for o in outcomes
                if o.row["answerable"]
            ]
        )
        sys.stdout.write(f"answer among the sources: {found:.3f}")
        assert found >= FLOOR_RETRIEVED


async def _ask(grounded: Grounded, row: dict[str, Any]) -> Asked:
    text, claims, sources, end = "", [], {}, None
    async with aclosing(grounded.pipeline.ask(Question(row["question"]))) as events:
        async for event in events:
            match event:
                case TextAdded():
                    text += event.text
                case ClaimJudged():
                    claims.append(event.claim)
                case SourcesFound():
                    sources = {passage.id: passage for passage in event.passages}
                case Finished():
                    end = event
                case _:
                    pass
    assert end is not None
    return Asked(row, text, claims, sources, end)
