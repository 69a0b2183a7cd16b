"""A vLLM that runs, documents to ask about, and Grounded as a process in front of it."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.app.serving import events_of, write
from tests.journeys.test_service import Served, environment, grounded
from tests.vllm.endpoint import WAIT_S, Endpoint

DOCS: dict[str, str | bytes] = {
    "refunds.md": "# Refunds\n\nRefunds are issued within 14 days of the order. Late refunds take 30 days. A refund is "
    "paid back to the card that was charged.\n",
    "harbour.md": "# Harbour\n\nThe lighthouse of the harbour was built in 1887. Its lamp was replaced in 1954. The "
    "harbour master keeps the key of the lighthouse in the blue house.\n",
    "support.md": "# Support\n\nThe support desk is open from 9 to 17 on working days. Outside these hours the desk "
    "answers by mail within one day.\n",
}
# Long documents that differ in their words, so that none is left out as a repetition of another.
_ROOMS = ("kitchen", "cellar", "attic", "garden", "stable", "library", "chapel", "tower", "gallery", "workshop")
_THINGS = ("barrels", "lanterns", "ropes", "ledgers", "carpets", "mirrors", "clocks", "saddles", "candles", "maps")
INVENTORY: dict[str, str | bytes] = {
    f"{room}.md": f"# The {room}\n\n"
    + " ".join(f"In the {room} there are {7 * n + len(room)} {thing} of the year {1700 + 11 * n}." for n, thing in
               enumerate(_THINGS * 3))
    for room in _ROOMS
}  # fmt: skip


class Asked:
    """Grounded in front of vLLM, over HTTP."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{served.port}", timeout=WAIT_S)

    def ask(self, question: str, **more: Any) -> dict[str, Any]:
        """The answer as one document."""
        reply = self.reply(question, **more)
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    def reply(self, question: str, **more: Any) -> httpx2.Response:
        return self.client.post("/ask", json={"question": question, **more})

    def stream(self, question: str, **more: Any) -> list[dict[str, Any]]:
        """All events of an answer, once it has ended."""
        reply = self.reply(question, stream=True, **more)
        assert reply.status_code == 200, reply.text
        return events_of(reply.content)

    def document(self, document_id: str) -> str:
        return self.client.get(f"/v1/documents/{document_id}/content").text

    def log_of(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.served.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


@pytest.fixture(scope="session")
def vllm() -> Endpoint:
    return Endpoint.at(os.environ["GROUNDED_TEST_VLLM_URL"].rstrip("/"), os.environ.get("GROUNDED_TEST_VLLM_LOG"))


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with the documents in it."""
    folder = tmp_path_factory.mktemp("vllm")
    write(folder / "docs", DOCS)
    write(folder / "inventory", INVENTORY)
    for words in (("docs",), ("inventory", "--collection", "inventory")):
        ran = grounded("ingest", str(folder / words[0]), *words[1:], env=environment(folder / "state"))
        assert ran.returncode == 0, ran.stderr
    return folder / "state"


Serving = Callable[..., AbstractContextManager[Asked]]


@pytest.fixture(scope="session")
def serving(vllm: Endpoint, state: Path, tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """`serving(GENERATION__MAX_TOKENS="9")` is a service with these settings, one at a time."""

    @contextlib.contextmanager
    def start(**settings: str) -> Iterator[Asked]:
        chosen = _settings(vllm) | {f"GROUNDED_{name}": value for name, value in settings.items()}
        served = Served(state, tmp_path_factory.mktemp("log") / "log", **chosen)
        try:
            served.wait_ready()
            asked = Asked(served)
            with asked.client:
                yield asked
        finally:
            served.stop()

    return start


def _settings(vllm: Endpoint) -> dict[str, str]:
    return {
        "GROUNDED_GENERATION__BACKEND": "openai_chat",
        "GROUNDED_GENERATION__BASE_URL": f"{vllm.url}/v1",
        "GROUNDED_GENERATION__MODEL": vllm.model,
        "GROUNDED_GENERATION__PRICE_INPUT": "1",
        "GROUNDED_GENERATION__PRICE_OUTPUT": "2",
        "GROUNDED_GENERATION__MAX_TOKENS": "64",
        "GROUNDED_GENERATION__FALLBACK": "none",  # what is looked at is the model's, or its error
        "GROUNDED_QUERY__REWRITE_TIMEOUT_S": "60",
        "GROUNDED_GENERATION__FIRST_TOKEN_TIMEOUT_S": "90",
        "GROUNDED_GENERATION__BETWEEN_TOKENS_TIMEOUT_S": "60",
    }
