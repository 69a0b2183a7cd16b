"""The layout, the layers and the laws, held by tests: what may import what, what the wheel holds, what the code avoids."""

import ast
import json
import re
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from ingest.adapters import (
    answer_tables,
    batch_tables,
    budget_tables,
    cache_tables,
    job_tables,
    key_tables,
    migrate,
    tables,
)

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "generation", "ingest", "retrieval")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
HEAVY = {
    "alembic",
    "fastapi",
    "httpx2",
    "lxml",
    "numpy",
    "openai",
    "pydantic",
    "pypdfium2",
    "qdrant_client",
    "qdrant_edge",
    "rich",
    "sqlalchemy",
    "starlette",
    "tokenizers",
    "torch",
    "transformers",
    "uvicorn",
}


def loaded_after(code: str) -> set[str]:
    """Top-level modules of a fresh process that ran this code."""
    script = f"{code}\nimport sys, json; print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_import_contracts_hold() -> None:
    tool = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


def test_the_packages_load_nothing_heavy() -> None:
    assert not HEAVY & loaded_after(f"import {', '.join(PACKAGES)}")


def test_the_nouns_and_events_load_nothing_heavy_but_numpy() -> None:
    modules = "ingest.model, ingest.pipeline, ingest.split, retrieval.model, retrieval.search, generation.events"
    assert HEAVY & loaded_after(f"import {modules}") <= {"numpy"}


def test_the_wiring_loads_no_model_before_it_is_asked_to() -> None:
    found = loaded_after("import app.wiring, app.pipeline, app.api.service")
    assert (
        not {"torch", "transformers", "openai", "qdrant_edge", "qdrant_client", "grpc", "sqlalchemy", "alembic"} & found
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheels_top_level_is_exactly_the_four_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)
    assert len(top) == len(PACKAGES) + 1
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".sqlite", ".mjs"))]


@pytest.mark.slow
def test_the_wheel_holds_all_that_the_product_reads(wheel: Path) -> None:
    """Every file of the packages, code or not: the page, the prompt, the migrations."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = next(name for name in names if name.endswith("entry_points.txt"))
        commands = archive.read(entry_points).decode()
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    missing = {name for name in tracked.stdout.splitlines() if (ROOT / name).is_file()} - names
    assert not missing
    assert {"app/web/index.html", "generation/prompts/answer.md"} <= names
    assert any(name.startswith("ingest/adapters/migrations/versions/0001") for name in names)
    assert "grounded = app.cli:main" in commands
    assert "ingest = app.cli:ingest_main" in commands


def test_no_package_where_none_belongs() -> None:
    for folder in ("docker", "data"):
        assert not list((ROOT / folder).rglob("__init__.py"))
    assert not (ROOT / "__init__.py").exists()
    assert not (ROOT / "src").exists()


def test_no_package_of_ours_takes_the_name_of_an_installed_one() -> None:
    from importlib.metadata import packages_distributions

    owners = packages_distributions()
    for package in PACKAGES:
        assert set(owners.get(package, ["grounded-qa"])) == {"grounded-qa"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, "no docstring"


def test_every_public_class_and_function_of_a_module_says_what_it_does() -> None:
    silent = []
    for path in SOURCES:
        if "migrations" in path.parts:
            continue
        for node in ast.parse(path.read_text()).body:
            named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if named and not node.name.startswith("_") and not ast.get_docstring(node):  # type: ignore[attr-defined, arg-type]
                silent.append(f"{name_of(path)}: {node.name}")  # type: ignore[attr-defined]
    assert not silent


FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "requests", "httpx"}
FORBIDDEN_ATTRIBUTES = {("torch", "load"), ("os", "system"), ("yaml", "load"), ("joblib", "load")}


def deeds(path: Path) -> Iterator[str]:
    """What this module does that none of ours may."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                yield f"{name}() in line {node.lineno}"
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name)) if (
                owner,
                name,
            ) in FORBIDDEN_ATTRIBUTES:
                yield f"{owner}.{name}() in line {node.lineno}"
            case ast.Call(keywords=keywords) if any(
                k.arg in ("shell", "trust_remote_code", "allow_pickle") and getattr(k.value, "value", None) is True
                for k in keywords
            ):
                yield f"shell, remote code or pickle in line {node.lineno}"
            case ast.Import(names=names):
                yield from (f"import {n.name}" for n in names if n.name.partition(".")[0] in FORBIDDEN_MODULES)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in FORBIDDEN_MODULES:
                yield f"from {module}"
            case ast.Name(id="BaseHTTPMiddleware") | ast.alias(name="BaseHTTPMiddleware"):
                yield "BaseHTTPMiddleware keeps upstream calls running after the client has gone"


def test_nothing_is_done_that_is_forbidden() -> None:
    found = {name_of(path): list(deeds(path)) for path in SOURCES}
    assert {name: what for name, what in found.items() if what} == {}


def test_the_scan_finds_what_it_looks_for(tmp_path: Path) -> None:
    guilty = tmp_path / "guilty.py"
    guilty.write_text(
        "import pickle\nfrom httpx import get\nfrom starlette.middleware.base import BaseHTTPMiddleware\n"
        "torch.load('x')\neval('1')\nrun('x', shell=True)\nre.compile('fine')\nmodel.eval()\n"
        "import cloudpickle\nnp.load('x', allow_pickle=True)\nnp.load('x', allow_pickle=False)\n"
    )
    assert Counter(deeds(guilty)).total() == 8


def test_no_page_loads_anything_from_elsewhere() -> None:
    for path in (ROOT / "app" / "web").glob("*.*"):
        if path.suffix in (".html", ".css", ".js"):
            loads = re.findall(r"""(?:src=|href=|import\s|from\s|url\()["']?(https?:)?//""", path.read_text())
            assert not loads, path.name


class TestMigrations:
    @pytest.fixture
    def connection(self, tmp_path: Path) -> Iterator[object]:
        engine = create_engine(f"sqlite:///{tmp_path / 'c.sqlite'}")
        migrate.migrate(engine)
        with engine.connect() as connection:
            yield connection
        engine.dispose()

    def test_the_head_is_the_newest_migration(self) -> None:
        folder = ROOT / "ingest" / "adapters" / "migrations"
        assert ScriptDirectory(str(folder)).get_heads() == [migrate.HEAD]

    def test_the_migrated_schema_is_that_of_the_tables(self, connection) -> None:  # type: ignore[no-untyped-def]
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert "jobs" in tables.metadata.tables, job_tables  # its tables are told of by being imported
        assert "explanations" in tables.metadata.tables, answer_tables
        assert "webhooks" in tables.metadata.tables, batch_tables
        assert "api_keys" in tables.metadata.tables, key_tables
        assert "answer_cache" in tables.metadata.tables, cache_tables
        assert "budgets" in tables.metadata.tables, budget_tables
        assert compare_metadata(context, tables.metadata) == []
        found = inspect(connection)
        for table in tables.metadata.tables.values():
            primary = found.get_pk_constraint(table.name)["constrained_columns"]
            assert primary == [column.name for column in table.primary_key]
            nullable = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
            assert nullable == {column.name: column.nullable for column in table.columns}
            foreign = {tuple(key["constrained_columns"]) for key in found.get_foreign_keys(table.name)}
            assert foreign == {tuple(key.columns.keys()) for key in table.foreign_key_constraints}

    def test_migrating_again_changes_nothing(self, tmp_path: Path) -> None:
        engine = create_engine(f"sqlite:///{tmp_path / 'c.sqlite'}")
        for _ in range(2):
            migrate.migrate(engine)
        engine.dispose()
