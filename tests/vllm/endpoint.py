"""A running vLLM as tests see it: its own counters and its own log, which nobody of ours writes."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

WAIT_S = 180  # for one answer of a small model on a busy machine
_SAMPLE = re.compile(r"^(?P<name>[\w:]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_BEGUN = re.compile(r"Added request (\S+)")
_ABORTED = re.compile(r"Request (\S+) aborted")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url` has no `/v1`. `log` is None where the server is somebody else's."""

    url: str
    model: str
    log: Path | None = None

    @classmethod
    def at(cls, url: str, log: str | None) -> "Endpoint":
        """The endpoint at this address, with the first model that it serves."""
        models = httpx2.get(f"{url}/v1/models", timeout=30).raise_for_status().json()["data"]
        return cls(url, models[0]["id"], Path(log) if log else None)

    def post(self, path: str, **body: Any) -> httpx2.Response:
        """A request without anything of ours in between."""
        return httpx2.post(f"{self.url}{path}", json={"model": self.model, **body}, timeout=WAIT_S)

    def tokens(self, text: str) -> int:
        """How many tokens the server itself makes of a text."""
        counted = self.post("/tokenize", prompt=text, add_special_tokens=False).raise_for_status()
        return int(counted.json()["count"])

    def metric(self, name: str, **labels: str) -> float:
        """The sum over all samples of a metric with these labels."""
        found = 0.0
        for line in httpx2.get(f"{self.url}/metrics", timeout=30).text.splitlines():
            sample = _SAMPLE.match(line)
            if sample and sample["name"] == name:
                has = dict(_LABEL.findall(sample["labels"] or ""))
                found += float(sample["value"]) if labels.items() <= has.items() else 0
        return found

    def counted(self) -> tuple[int, int]:
        """Tokens that it was given and tokens that it made, since it started. A little behind its replies."""
        names = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")
        given, made = (int(self.metric(name)) for name in names)
        return given, made

    def busy(self) -> int:
        """Requests that run or wait."""
        return int(self.metric("vllm:num_requests_running") + self.metric("vllm:num_requests_waiting"))

    def begun(self) -> int:
        """Requests that vLLM says it has taken in. Its gauges tell only after a step, and a long prompt is one step."""
        return len(_BEGUN.findall(self._said()))

    def aborted(self) -> int:
        """Requests that vLLM says it has aborted."""
        return len(_ABORTED.findall(self._said()))

    def _said(self) -> str:
        if self.log is None:
            pytest.skip("the log of this vLLM is not at hand: set GROUNDED_TEST_VLLM_LOG")
        return self.log.read_text(errors="replace")


def within(seconds: float, is_so: Callable[[], bool]) -> bool:
    """Whether something becomes so in time."""
    end = time.monotonic() + seconds
    while not (so := is_so()) and time.monotonic() < end:
        time.sleep(0.02)
    return so
