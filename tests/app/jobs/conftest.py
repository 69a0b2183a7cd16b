"""A service whose embedder waits while its gate is shut."""

from collections.abc import Iterator

import pytest

from tests.app.jobs.requests import Gated
from tests.app.serving import Service, served


@pytest.fixture(scope="package")
def embedder() -> Gated:
    return Gated()


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory, embedder: Gated) -> Iterator[Service]:
    with served(
        tmp_path_factory.mktemp("jobs"),
        embedder=embedder,
        max_upload_mb=2,
        ingest={"min_free_mb": 0, "max_file_mb": 1, "group_chunks": 1},
        public_url="https://docs.example",
    ) as service:
        yield service


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A collection of the test's own."""
    return "c" + str(abs(hash(request.node.name)))[:12]
