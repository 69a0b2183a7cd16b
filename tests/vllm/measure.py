"""`python -m tests.vllm --measure`: what Grounded adds to a bare vLLM, and what the prefix cache saves. Figures, no verdict."""

import asyncio
import statistics
import sys
import time
from contextlib import aclosing

import httpx2

from generation.adapters.openai_chat import OpenAIChatGenerator
from generation.model import Ask, DraftEnd, DraftText
from generation.prompt import load_prompt
from retrieval.model import Context
from tests.passages import context
from tests.vllm.endpoint import Endpoint

ROUNDS = 5
MANY = 8
TEXT = "Refunds are issued within {days} days of the order. Late refunds of kind {days} take longer. " * 2


def passages(first: int) -> Context:
    """Eight passages; `first` makes them others than before."""
    return context(*(TEXT.format(days=first + n) for n in range(8)))


async def drafted(generator: OpenAIChatGenerator, number: int) -> tuple[float, float, DraftEnd]:
    """Seconds to the first word, seconds in all, and the end."""
    begun, first, end = time.perf_counter(), 0.0, DraftEnd()
    ask = Ask(f"How long do refunds take in case {number}?")
    async with aclosing(generator.draft(ask, passages(number))) as drafts:
        async for draft in drafts:
            if isinstance(draft, DraftText) and not first:
                first = time.perf_counter() - begun
            if isinstance(draft, DraftEnd):
                end = draft
    return first or time.perf_counter() - begun, time.perf_counter() - begun, end


async def bare(endpoint: Endpoint, number: int, tokens: int) -> float:
    """Seconds to the first chunk with text, without us: the same messages through a plain client."""
    messages = load_prompt().fill(f"How long do refunds take in case {number}?", passages(number))
    body = {"model": endpoint.model, "messages": messages, "temperature": 0, "max_tokens": tokens, "stream": True}
    begun = time.perf_counter()
    async with (
        httpx2.AsyncClient(timeout=300) as client,
        client.stream("POST", f"{endpoint.url}/v1/chat/completions", json=body) as reply,
    ):
        async for line in reply.aiter_lines():
            if '"content":"' in line and '"content":""' not in line:
                break
        return time.perf_counter() - begun


async def measured(endpoint: Endpoint) -> list[str]:
    """The lines of the report."""
    tokens = 32
    generator = OpenAIChatGenerator(base_url=f"{endpoint.url}/v1", model=endpoint.model, max_tokens=tokens)
    try:
        await drafted(generator, 0)  # connections and kernels
        ours, theirs, cached, rates = [], [], [], []
        for number in range(1000, 1000 + ROUNDS):
            theirs.append(await bare(endpoint, number, tokens))
            first, whole, end = await drafted(generator, number + 100)
            ours.append(first)
            cached.append(end.usage.cached_input_tokens / max(1, end.usage.input_tokens))
            rates.append(end.usage.output_tokens / max(1e-9, whole - first))
        begun = time.perf_counter()
        together = await asyncio.gather(
            *(drafted(generator, 5000 + 100 * n) for n in range(MANY)), return_exceptions=True
        )
        seconds = time.perf_counter() - begun
    finally:
        await generator.aclose()
    answered = sum(not isinstance(result, BaseException) for result in together)
    return [
        f"time to first token, bare vLLM      {statistics.median(theirs) * 1e3:8.0f} ms",
        f"time to first token, our adapter    {statistics.median(ours) * 1e3:8.0f} ms",
        f"prompt tokens from the prefix cache {statistics.mean(cached):8.1%}",
        f"tokens a second, one answer         {statistics.median(rates):8.1f}",
        f"{MANY} at once: {answered} answered, the others refused by vLLM's queue limit, after {seconds:.1f} s",
    ]


if __name__ == "__main__":
    sys.stdout.write("\n".join(asyncio.run(measured(Endpoint.at(sys.argv[1], None)))) + "\n")
