"""Has schemathesis call every operation of the document that the service itself serves, over a socket: with the keys of an
asker and of nobody. What it draws is fixed by the seed."""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import structlog

from app.api.openapi import document
from app.api.service import create_app
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
PHASES = "examples,coverage,fuzzing"
_LONGEST_S = 3000
_LINES = 60  # of what the tool says, where something is wrong


def sweep(examples: int, seed: int, phases: str = PHASES) -> dict[str, Any]:
    """So many examples for each operation, by each caller; and with the phase of coverage, each bound of each field."""
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, structlog.testing.capture_logs():
        hooks = {"allow": ["hooks.example"], "secret": "whsec_" + "A" * 40}
        with on_a_port(Path(folder), webhooks=hooks) as running:
            for name, key in callers(running):
                wrong += called(running, name, key, f"--max-examples {examples} --seed {seed} --phases {phases}")
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


def called(running: Running, name: str, key: str, how: str) -> list[str]:
    """What is wrong, as the tool tells it."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        schema = Path(folder) / "openapi.json"
        schema.write_text(json.dumps(exemplified(described(running), things(running, key) if key else {})))
        words = [str(TOOL), "run", str(schema), "--url", running.url, "--checks", ",".join(CHECKS), *how.split()]
        words += ["--no-color", "--continue-on-failure", "--generation-database", "none", "--warnings", "off"]
        words += ["--request-timeout", "60", "--suppress-health-check", "all"]
        words += ["--header", f"Authorization: Bearer {key}"] if key else []
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=_LONGEST_S)
    if done.returncode == 0:
        return []
    return [f"{name}: {line}" for line in (done.stdout + done.stderr).splitlines()[-_LINES:] if line.strip()]


def things(running: Running, key: str) -> dict[str, str]:
    """Ids of what there is, by the names that the addresses give them; without them nearly all would be 404."""
    with httpx2.Client(base_url=running.url, headers={"authorization": f"Bearer {key}"}, timeout=60) as http:
        answer = http.post("/ask", json={"question": "What colour is the harbour gate?"}).json()
        body = {"question": "What is green?", "stream": True, "resumable": True}
        stream = http.post("/ask", json=body).text
        questions = [{"id": "q", "question": "What colour is the harbour gate?"}]
        job = http.post("/v1/batch", json={"questions": questions}).json()
    resumable = json.loads(stream.partition("data: ")[2].partition("\n")[0])["answer_id"]
    source = answer["sources"][0]
    found = {"answer_id": answer["id"], "document_id": source["document_id"], "source_id": source["id"]}
    return {**found, "job_id": job["id"], "collection": "default", "resumable": resumable}


def exemplified(document: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    """The document with these ids as examples. What is deleted is named by nobody."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for parameter in operation.get("parameters", ()) if method != "delete" else ():
                name = "resumable" if path.endswith(("{answer_id}/events", "{answer_id}/cancel")) else parameter["name"]
                if parameter["in"] == "path" and name in ids:
                    parameter["example"] = ids[name]
    return document


def described(running: Running) -> dict[str, Any]:
    """The document as it is served; only an admin, or somebody on this machine, may read it."""
    return document(create_app(running.grounded.settings))
