"""Counting as the serving model does: by its file, by its endpoint, or with a margin."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from generation.adapters.token_counters import TokenizeEndpoint, TokenizerFile, counter_for
from generation.errors import UpstreamUnavailable
from generation.prompt import load_prompt
from generation.sizes import Estimate, PromptSizes, estimated
from retrieval.adapters.model_folder import package_folder
from retrieval.model import Context
from tests.passages import passage
from tests.scripted_upstream import Reset, Stall, Step, Upstream, refusal, upstream

HANDBOOK = Path(__file__).parents[2] / "data" / "handbook"
TEXTS = ["Refunds take two weeks.", "", "Refunds take two weeks.", "Shipping is free."]


def told(body: object) -> list[Step]:
    text = json.dumps(body).encode()
    return [f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {len(text)}\r\n\r\n".encode() + text]


def asked(use: Callable[[TokenizeEndpoint, Upstream], Coroutine[Any, Any, None]], *script: Step, **more: Any) -> None:
    async def main() -> None:
        async with upstream(*script, path="/tokenize") as server:
            counter = TokenizeEndpoint(server.url, "m", "secret", **more)
            await use(counter, server)
            await counter.aclose()

    asyncio.run(main())


def test_a_tokenizer_file_counts_as_the_tokenizer_does() -> None:
    folder = package_folder()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    page = (HANDBOOK / "index.md").read_text()
    expected = [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in (*TEXTS, page)]
    for path in (folder, folder / "tokenizer.json"):
        assert asyncio.run(counter_for(str(path), "", "").count([*TEXTS, page])) == expected
    assert expected[1] == 0
    assert expected[-1] > 256  # the file's own limit does not cut what is counted


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    for path in (tmp_path, tmp_path / "nothing.json"):
        with pytest.raises(ValueError, match="no tokenizer"):
            TokenizerFile(path)


def test_an_endpoint_is_asked_once_for_each_text() -> None:
    async def use(counter: TokenizeEndpoint, server: Upstream) -> None:
        assert await counter.count(TEXTS) == [7] * 4
        assert await counter.count(TEXTS) == [7] * 4
        assert sorted(request["prompt"] for request in server.requests) == sorted(set(TEXTS))
        assert all(r["model"] == "m" and r["add_special_tokens"] is False for r in server.requests)
        assert server.headers[0]["authorization"] == "Bearer secret"
        assert counter.name == "endpoint"

    asked(use, *told({"count": 7, "max_model_len": 4096, "tokens": [1, 2, 3]}))


@pytest.mark.parametrize(
    "script",
    [
        refusal(404, {"detail": "Not Found"}),
        refusal(405, {}),
        told({"count": "many"}),
        told([1]),
        told({"count": -1}),
        told({"count": True}),
        refusal(302, {}, headers="location: http://127.0.0.1:9/\r\n"),
    ],
)
def test_an_endpoint_without_the_route_is_asked_once_and_texts_are_estimated(script: list[Step]) -> None:
    async def use(counter: TokenizeEndpoint, server: Upstream) -> None:
        assert await counter.count(TEXTS) == await Estimate().count(TEXTS)
        assert await counter.count(["More."]) == [estimated("More.")]
        assert len(server.requests) == 1
        assert counter.name == "estimate"

    asked(use, *script)


@pytest.mark.parametrize("script", [[Reset()], [Stall()], refusal(503, {}), refusal(429, {})])
def test_an_endpoint_that_is_away_is_asked_again_later(script: list[Step]) -> None:
    now = 0.0

    async def use(counter: TokenizeEndpoint, server: Upstream) -> None:
        nonlocal now
        assert await counter.count(["One."]) == [estimated("One.")]
        assert await counter.count(["Two."]) == [estimated("Two.")]
        assert len(server.requests) == 1
        now = 61.0
        assert await counter.count(["Three."]) == [estimated("Three.")]
        assert len(server.requests) == 2

    asked(use, *script, timeout_s=0.2, clock=lambda: now)


def test_an_endpoint_that_stops_counting_is_told() -> None:
    """The server is gone: what was known stays known, and what is new raises, then is estimated until it is asked again."""

    async def main() -> None:
        async with upstream(*told({"count": 5}), path="/tokenize") as server:
            counter = TokenizeEndpoint(server.url, "m")
            assert await counter.count(["Known."]) == [5]
        with pytest.raises(UpstreamUnavailable):
            await counter.count(["Known.", "New."])
        sizes = PromptSizes(counter, load_prompt())
        assert (await sizes.sized([passage("New.")]))[1] == ()  # not asked again so soon
        await counter.aclose()

    asyncio.run(main())


def test_passages_are_counted_as_they_stand_in_the_prompt() -> None:
    class Letters(Estimate):
        async def count(self, texts: Any) -> list[int]:
            return [len(text) for text in texts]

    made = passage("Refunds take two weeks.", title="Guide")
    ((sized,), degraded) = asyncio.run(PromptSizes(Letters(), load_prompt()).sized([made]))
    assert degraded == ()
    prompt = load_prompt()
    one = prompt.fill("?", Context((made,), (), 0), draw=lambda: "f" * 16)[-1]["content"]
    none = prompt.fill("?", Context((), (), 0), draw=lambda: "f" * 16)[-1]["content"]
    assert sized.tokens == len(one) - len(none) + 1  # the number has two digits where it is measured


def test_where_the_counter_fails_passages_are_estimated_and_it_is_told() -> None:
    class Broken(Estimate):
        async def count(self, texts: Any) -> list[int]:
            raise UpstreamUnavailable("The test says no.")

    made = passage("Refunds take two weeks.")
    ((sized,), degraded) = asyncio.run(PromptSizes(Broken(), load_prompt()).sized([made]))
    assert degraded == ("tokenizer",)
    assert sized.tokens == estimated(load_prompt().quoted(made))


def test_the_estimate_leaves_a_margin_over_real_word_pieces() -> None:
    counter = TokenizerFile(package_folder())
    files = [*HANDBOOK.glob("*.md"), *(HANDBOOK.parents[1] / "retrieval").glob("*.py")]
    pieces = [piece for file in files for piece in file.read_text().split("\n\n") if len(piece) > 200]
    counts = asyncio.run(counter.count(pieces))
    assert len(pieces) > 100
    assert [piece for piece, count in zip(pieces, counts, strict=True) if estimated(piece) < count] == []
    assert sum(map(estimated, pieces)) < 1.5 * sum(counts)


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_estimate_grows_with_the_text_and_never_promises_too_little(one: str, other: str) -> None:
    assert estimated("") == 0
    assert max(estimated(one), estimated(other)) <= estimated(one + other) <= estimated(one) + estimated(other)
    assert estimated("日本語") == 3
