"""What a failure leaves in the log: where it happened, and none of what was asked or read."""

import io
import sys
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from app.telemetry import configure

SECRET = "what-the-customer-asked"


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def fail(question: str) -> None:
    raise LookupError(len(question))


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_shows_no_local_variables(
    monkeypatch: pytest.MonkeyPatch, log_format: Literal["text", "json"]
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    configure(log_format, "info")
    try:
        fail(SECRET)
    except LookupError:
        structlog.get_logger().exception("ask.failed")
    written = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "LookupError" in written
    assert "in fail" in written
    assert SECRET not in written
