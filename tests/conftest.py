"""What every test lives under: no network but loopback, warnings are errors; and the things that are dear to load."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import pytest_socket

from retrieval.adapters.sentence_transformers import SentenceTransformersEmbedder

SHARED = Path(os.environ.get("GROUNDED_TEST_SHARED", Path(__file__).parents[2] / "shared")) / "data"
VLLM = os.environ.get("GROUNDED_TEST_VLLM_URL")

# Drawn cases are judged by what comes out of them: on a busy machine the library would call a slow one a failure.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")
DATABASE = os.environ.get("GROUNDED_TEST_DATABASE_URL")
_LONGEST_ID = 40


@pytest.fixture(autouse=True)
def _loopback_only() -> Iterator[None]:
    """No test may reach beyond this machine."""
    pytest_socket.socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


@pytest.fixture(autouse=True)
def _no_settings_of_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer has set for a service of their own is not what tests test."""
    for name in list(os.environ):
        if name.startswith("GROUNDED_") and not name.startswith("GROUNDED_TEST_"):
            monkeypatch.delenv(name)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Archives hold the time at which they were made, and workers have to find the same tests: long bytes are numbered."""
    return "bytes" if isinstance(val, bytes) and len(val) > _LONGEST_ID else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test whose needs are not met here says so, and says what is missing."""
    missing = {
        "shared": None if SHARED.is_dir() else f"no evaluation data at {SHARED}; set GROUNDED_TEST_SHARED",
        "browser": None if _chromium() else "no Chromium: install one or set GROUNDED_TEST_CHROMIUM",
        "vllm": None if VLLM else "no vLLM: run make test-vllm, or set GROUNDED_TEST_VLLM_URL",
        "services": None if DATABASE else "no PostgreSQL: run make test-services",
    }
    for item in items:
        for marker, reason in missing.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def _chromium() -> str | None:
    named = os.environ.get("GROUNDED_TEST_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The evaluation data beside the checkout; for tests that are marked `shared`."""
    return SHARED


@pytest.fixture(scope="session")
def real_embedder() -> Iterator[SentenceTransformersEmbedder]:
    """The packaged model, loaded once for the whole run; for tests that are marked `models`."""
    embedder = SentenceTransformersEmbedder().load()
    yield embedder
    embedder.close()
