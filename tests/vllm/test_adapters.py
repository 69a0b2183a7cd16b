"""A LoRA adapter as a tier: one vLLM, one base, and a model of another name that says other things."""

from pathlib import Path

import httpx2
import pytest

from tests.vllm.conftest import Serving
from tests.vllm.endpoint import Endpoint

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

TIERS = """
[[tiers]]
name = "{name}"
base_url = "{url}/v1"
model = "{model}"
price_input = 0
price_output = 0
max_tokens = {{ answer = 24 }}
"""
ASKED = "When was the lighthouse built?"


@pytest.fixture(scope="module")
def adapted(vllm: Endpoint) -> str:
    """The name of an adapter that the server has."""
    models = httpx2.get(f"{vllm.url}/v1/models", timeout=30).json()["data"]
    names = [model["id"] for model in models if model.get("parent")]
    if not names:
        pytest.skip("this vLLM serves no LoRA adapter")
    return str(names[0])


def test_it_answers_under_its_own_name_and_in_its_own_words(vllm: Endpoint, adapted: str) -> None:
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    said = {}
    for model in (vllm.model, adapted):
        reply = vllm.post("/v1/chat/completions", messages=turns, temperature=0, max_tokens=16, model=model)
        assert reply.raise_for_status().json()["model"] == model
        said[model] = reply.json()["choices"][0]["message"]["content"]
    assert "Paris" in said[vllm.model]
    assert said[adapted] != said[vllm.model]


def test_a_tier_asks_for_it(serving: Serving, vllm: Endpoint, adapted: str, tmp_path: Path) -> None:
    written = {"plain": vllm.model, "adapted": adapted}
    file = tmp_path / "grounded.toml"
    file.write_text("".join(TIERS.format(name=n, model=m, url=vllm.url) for n, m in written.items()))
    with serving(CONFIG=str(file), GENERATION__BACKEND="extractive", ROUTING__ESCALATE="false") as asked:
        for name, model in written.items():
            answer = asked.ask(ASKED, tier=name)
            assert (answer["tier"], answer["model"]) == (name, model), answer
