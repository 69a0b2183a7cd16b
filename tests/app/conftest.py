"""What tests of the service share."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture
def silent() -> Iterator[None]:
    """The service's log is not printed among the results."""
    with structlog.testing.capture_logs():
        yield
