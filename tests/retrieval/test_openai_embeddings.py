"""Embeddings over HTTP: what is sent, what is tried again, and what is never believed."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import stamina

from retrieval.adapters import token_counts
from retrieval.adapters.model_folder import package_folder
from retrieval.adapters.openai_embeddings import Batches, EndpointModel, OpenAIEmbedder, batched
from retrieval.adapters.token_counts import by_file, counter_for, estimated
from retrieval.errors import EmbedderUnavailable
from tests.contracts.embedder import EmbedderContract
from tests.fakes import FakeEmbedder
from tests.model_endpoint import Reply, endpoint

MODEL = EndpointModel("some-embedder", 64, 256)


def vectors(texts: list[str], dimension: int = 64) -> list[list[float]]:
    embedded = asyncio.run(FakeEmbedder(dimension).embed_passages(texts))
    return [[3 * float(x) for x in e.vector] for e in embedded]  # three times too long, as some models give them


def whole(body: Any) -> Reply:
    entries = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors(body["input"]))]
    return Reply({"object": "list", "data": entries, "model": body["model"], "usage": {"total_tokens": 1}})


def changed(body: Any, **change: Any) -> Reply:
    """The right answer but for one entry."""
    data = whole(body).body["data"]
    return Reply({"data": [{**data[0], **change}, *data[1:]]})


class TestOpenAIEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Iterator[OpenAIEmbedder]:
        with endpoint(whole) as seen:
            embedder = OpenAIEmbedder(seen.url, MODEL, batches=Batches(tokens=64, texts=3))
            yield embedder
            asyncio.run(embedder.aclose())


def embedded(reply: Any, texts: list[str], model: EndpointModel = MODEL, **more: Any) -> tuple[Any, Any]:
    async def main(url: str) -> Any:
        embedder = OpenAIEmbedder(url, model, **more)
        try:
            return await embedder.embed_passages(texts)
        finally:
            await embedder.aclose()

    with endpoint(reply) as seen:
        return asyncio.run(main(seen.url)), seen


@pytest.fixture
def _no_waits() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def test_what_is_sent() -> None:
    model = replace(MODEL, query_prefix="query: ", passage_prefix="passage: ", ask_dimension=True)
    _, seen = embedded(whole, ["one", "two"], model, api_key="k-123")
    assert seen.paths == ["/v1/embeddings"]
    assert seen.headers[0]["authorization"] == "Bearer k-123"
    assert seen.bodies == [
        {
            "model": "some-embedder",
            "input": ["passage: one", "passage: two"],
            "encoding_format": "float",
            "dimensions": 64,
        }
    ]


def test_a_question_has_its_own_prefix_and_no_token_vectors() -> None:
    async def main(url: str) -> Any:
        embedder = OpenAIEmbedder(url, replace(MODEL, query_prefix="query: "))
        found = await embedder.embed_query("Who?")
        await embedder.aclose()
        return found

    with endpoint(whole) as seen:
        found = asyncio.run(main(seen.url))
    assert seen.bodies[0]["input"] == ["query: Who?"]
    assert "dimensions" not in seen.bodies[0]
    assert found.tokens.shape == (0, 64)


def test_passages_have_no_bits() -> None:
    found, _ = embedded(whole, ["one"])
    assert found[0].bits.shape == (0, 8)


def test_requests_keep_both_limits() -> None:
    texts = [f"text {i} " * (i % 7 + 1) for i in range(23)]
    found, seen = embedded(whole, texts, batches=Batches(tokens=40, texts=4))
    assert [text for body in seen.bodies for text in body["input"]] == texts
    for body in seen.bodies:
        assert len(body["input"]) <= 4
        assert len(body["input"]) == 1 or sum(estimated(body["input"])) <= 40
    for mine, alone in zip(found, vectors(texts), strict=True):
        assert float(mine.vector @ np.array(alone) / 3) == pytest.approx(1, abs=1e-5)


def test_a_text_longer_than_a_batch_goes_alone() -> None:
    assert batched(["a", "b", "c"], [1, 99, 1], Batches(tokens=10)) == [["a"], ["b"], ["c"]]
    assert batched([], [], Batches()) == []


def test_the_index_decides_not_the_order() -> None:
    def reversed_(body: Any) -> Reply:
        return Reply({"data": whole(body).body["data"][::-1]})

    found, _ = embedded(reversed_, ["otters swim", "owls fly"])
    again, _ = embedded(whole, ["otters swim", "owls fly"])
    assert np.array_equal(found[0].vector, again[0].vector)
    assert not np.array_equal(found[0].vector, found[1].vector)


@pytest.mark.parametrize(
    "wrong",
    [
        {"index": 1},
        {"index": 7},
        {"index": None},
        {"index": True},
        {"embedding": [0.5] * 63},
        {"embedding": [0.5] * 65},
        {"embedding": [0.0] * 64},
        {"embedding": [0.5] * 63 + [None]},
        {"embedding": [0.5] * 63 + ["0.5"]},
        {"embedding": [0.5] * 63 + [1e308]},
        {"embedding": "AAAA"},
        {"embedding": None},
    ],
)
def test_one_wrong_vector_spoils_the_batch(wrong: dict[str, Any]) -> None:
    with pytest.raises(EmbedderUnavailable):
        embedded(lambda body: changed(body, **wrong), ["otters swim", "owls fly"])


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"data": []}),
        Reply({"error": "busy"}),
        Reply([1]),
        Reply(b'{"data": [{"index": 0, "embedding": [NaN]}]}'),
        Reply(b"not json"),
        Reply(b" " * 1_000_000 + b"{}"),
        Reply({"error": "no such key"}, status=401),
        Reply({"error": "input is too long"}, status=400),
    ],
)
def test_what_no_second_try_would_mend_is_told_at_once(reply: Reply) -> None:
    asked: list[Any] = []
    with pytest.raises(EmbedderUnavailable) as caught:
        embedded(lambda body: asked.append(body) or reply, ["one"])  # type: ignore[func-returns-value]
    assert len(asked) == 1
    assert "GROUNDED_EMBEDDER__" in caught.value.next_step


@pytest.mark.usefixtures("_no_waits")
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_busy_endpoint_is_asked_again(status: int) -> None:
    replies = iter([Reply({"error": "busy"}, status=status)] * 2)
    found, seen = embedded(lambda body: next(replies, None) or whole(body), ["one"])
    assert len(seen.bodies) == 3
    assert len(found) == 1


@pytest.mark.usefixtures("_no_waits")
def test_an_endpoint_that_stays_down_is_told() -> None:
    with pytest.raises(EmbedderUnavailable, match="status 503"):
        embedded(lambda _: Reply({}, status=503), ["one"])


def test_it_waits_as_long_as_it_is_told() -> None:
    replies = iter([Reply({}, status=429, headers={"retry-after": "1"})])
    begun = time.monotonic()
    _, seen = embedded(lambda body: next(replies, None) or whole(body), ["one"])
    assert len(seen.bodies) == 2
    assert time.monotonic() - begun >= 1


def test_it_does_not_wait_for_an_hour() -> None:
    with pytest.raises(EmbedderUnavailable, match="status 429"):
        embedded(lambda _: Reply({}, status=429, headers={"retry-after": "3600"}), ["one"])


def test_what_drips_is_late() -> None:
    slow = Reply(b'{"data": []}' * 10, drip_s=0.1)
    with pytest.raises(EmbedderUnavailable, match=r"within 0\.3 s"):
        embedded(lambda _: slow, ["one"], timeout_s=0.3, batches=Batches(attempts=1))


def test_who_stops_waiting_ends_the_tries() -> None:
    async def main(url: str) -> None:
        embedder = OpenAIEmbedder(url, MODEL)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(embedder.embed_query("Who?"), 0.3)
        assert asyncio.all_tasks() == {asyncio.current_task()}  # nobody is left who would try again
        await embedder.aclose()

    with endpoint(lambda _: Reply({}, status=503)) as seen:
        asyncio.run(main(seen.url))


def test_all_batches_or_none() -> None:
    def second_fails(body: Any) -> Reply:
        return Reply({}, status=400) if "two" in body["input"] else whole(body)

    with pytest.raises(EmbedderUnavailable):
        embedded(second_fails, ["one", "two", "three"], batches=Batches(texts=1))


def test_a_refusal_repeats_neither_key_nor_text() -> None:
    with pytest.raises(EmbedderUnavailable) as caught:
        embedded(lambda body: Reply({"error": f"k-123 {body}"}, status=403), ["secret"], api_key="k-123")
    assert str(caught.value) == "The embeddings endpoint answered with status 403."
    assert caught.value.__cause__ is None


def test_whatever_moves_the_space_changes_the_fingerprint() -> None:
    models = [
        MODEL,
        replace(MODEL, name="another"),
        replace(MODEL, dimension=32),
        replace(MODEL, window=512),
        replace(MODEL, query_prefix="q: "),
        replace(MODEL, passage_prefix="q: "),
    ]
    assert len({OpenAIEmbedder("http://127.0.0.1:1/v1", model).fingerprint for model in models}) == len(models)
    elsewhere = OpenAIEmbedder("http://127.0.0.1:2/v1", MODEL, "key", Batches(1, 1, 1), 1.0)
    assert elsewhere.fingerprint == OpenAIEmbedder("http://127.0.0.1:1/v1", MODEL).fingerprint


class TestCounting:
    def test_a_tokenizer_file_counts_as_its_model(self) -> None:
        for path in (package_folder(), package_folder() / "tokenizer.json"):
            assert by_file(path)(["", "word", "word " * 1000]) == [0, 1, 1000]
        assert counter_for("text-embedding-3-small", package_folder())(["word word"]) == [2]

    def test_a_file_that_is_none_is_told(self, tmp_path) -> None:
        (tmp_path / "tokenizer.json").write_text("{}")
        with pytest.raises(ValueError, match=r"tokenizer\.json"):
            by_file(tmp_path)

    def test_without_a_file_tokens_are_estimated_and_nothing_is_fetched(self, tmp_path, monkeypatch) -> None:
        for folder in (str(tmp_path), ""):
            monkeypatch.setenv("TIKTOKEN_CACHE_DIR", folder)
            assert counter_for("text-embedding-3-small", None) is estimated

    def test_a_file_of_another_hash_is_left_alone(self, tmp_path, monkeypatch) -> None:
        """tiktoken would remove it and fetch another."""
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
        file = tmp_path / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"  # as tiktoken names cl100k_base in its folder
        file.write_bytes(b"not the file")
        assert not token_counts.tiktoken_file_is_there()
        assert file.read_bytes() == b"not the file"

    def test_the_estimate_is_not_below_a_real_count(self) -> None:
        real = by_file(package_folder())
        english = "The dense arm and the lexical arm are searched at the same time, and their rankings are fused. " * 3
        chinese = "东京塔是一座红白相间的铁塔。"
        for text in (english, chinese):
            assert estimated([text])[0] >= real([text])[0]
        assert estimated([""]) == [0]
