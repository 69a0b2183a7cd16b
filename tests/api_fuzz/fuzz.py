"""Has schemathesis call every operation of the document that the service itself serves, over a socket: with the keys of an
asker and of nobody. What it draws is fixed by the seed."""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import structlog

from app.keys.model import new_key
from tests.api_fuzz.served import Running, on_a_port

TOOL = Path(sys.executable).parent / "schemathesis"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
_LONGEST_S = 3000
_LINES = 60  # of what the tool says, where something is wrong


def sweep(examples: int, seed: int) -> dict[str, Any]:
    """So many examples for each operation, by each caller."""
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, structlog.testing.capture_logs():
        hooks = {"allow": ["hooks.example"], "secret": "whsec_" + "A" * 40}
        with on_a_port(Path(folder), webhooks=hooks) as running:
            for name, key in callers(running):
                wrong += called(running, name, key, examples, seed)
            statuses += running.statuses
            wrong += running.failures
    told = {
        "examples": examples,
        "requests": sum(statuses.values()),
        "statuses": {str(s): n for s, n in statuses.items()},
    }
    return {**told, "server_errors": sum(n for s, n in statuses.items() if s >= 500), "wrong": wrong}


def callers(running: Running) -> list[tuple[str, str]]:
    """Somebody who may read, ask and bring in, of the tenant whose documents there are; and nobody. There is no operator:
    a folder that is drawn by chance is one of this machine."""
    key, secret = new_key("fuzz", "default", ("ask", "ingest", "admin"), frozenset({"hr"}), None, None)
    running.run(running.grounded.authenticator.ring.store.add(key))
    return [("asker", secret), ("nobody", "")]


def called(running: Running, name: str, key: str, examples: int, seed: int) -> list[str]:
    """What is wrong, as the tool tells it."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        schema = Path(folder) / "openapi.json"
        schema.write_text(json.dumps(described(running)))
        words = [str(TOOL), "run", str(schema), "--url", running.url, "--checks", ",".join(CHECKS)]
        words += ["--max-examples", str(examples), "--seed", str(seed), "--generation-deterministic", "--no-color"]
        words += ["--phases", "examples,coverage,fuzzing", "--request-timeout", "60", "--suppress-health-check", "all"]
        words += ["--header", f"Authorization: Bearer {key}"] if key else []
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=_LONGEST_S)
    if done.returncode == 0:
        return []
    return [f"{name}: {line}" for line in (done.stdout + done.stderr).splitlines()[-_LINES:] if line.strip()]


def described(running: Running) -> dict[str, Any]:
    """The document as it is served; only an admin, or somebody on this machine, may read it."""
    from app.api.openapi import document
    from app.api.service import create_app

    return document(create_app(running.grounded.settings))
