"""Jobs of a served process, as journeys ask for them: calls, waiting, and what stands afterwards."""

import json
import time
from collections.abc import Callable
from typing import Any

from tests.journeys.test_service import Served
from tests.patience import PATIENCE_S

END_S = 3 * PATIENCE_S


def call(served: Served, method: str, path: str, body: Any = None) -> dict[str, Any]:
    status, content = served.http(method, path, body)
    found: dict[str, Any] = json.loads(content)
    assert status < 300, content
    return found


def ended(served: Served, job_id: str) -> dict[str, Any]:
    end = time.monotonic() + END_S
    while time.monotonic() < end:
        job = call(served, "GET", f"/v1/jobs/{job_id}")
        if job["finished_at"]:
            return job
        time.sleep(0.05)
    raise AssertionError(job)


def until(wanted: Callable[[], Any]) -> Any:
    end = time.monotonic() + END_S
    while time.monotonic() < end:
        if found := wanted():
            return found
        time.sleep(0.02)
    raise AssertionError("never")


def stood(served: Served) -> tuple[int, int]:
    """Documents and chunks that are live."""
    (found,) = call(served, "GET", "/v1/collections")["data"] or [{"documents": 0, "chunks": 0}]
    return found["documents"], found["chunks"]
