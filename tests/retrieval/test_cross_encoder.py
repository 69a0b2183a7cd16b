"""A cross-encoder that is really run, held against the library that defines it."""

import asyncio
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.adapters.cross_encoder import CrossEncoderReranker
from retrieval.errors import RerankerUnavailable, SearchTimeout
from retrieval.model import Passage, Ranked
from retrieval.timings import in_time
from tests import cross_encoders
from tests.contracts.reranker import RerankerContract
from tests.fakes import FakeEmbedder
from tests.passages import passage
from tests.patience import least

pytestmark = pytest.mark.models

QUESTION = "Where was Rollo born?"
LONG = "The dense arm and the lexical arm are searched at the same time, and their rankings are fused by rank. "
TEXTS = [text for question, text in cross_encoders.pairs()[0] if question == QUESTION] + [
    LONG,
    LONG * 2,
    LONG * 5,
    "Überraschung: naïve café, 東京タワー, and a 🙂 face.",
    "",
]
PASSAGES = [passage(text, n) for n, text in enumerate(TEXTS, 1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = cross_encoders.build(tmp_path_factory.mktemp("cross") / "encoder")
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def exact(folder: Path) -> Iterator[CrossEncoderReranker]:
    made = CrossEncoderReranker(str(folder), threads=1, precision="fp32")
    yield made
    made.close()


@pytest.fixture(scope="module")
def oracle(folder: Path) -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(folder), device="cpu", local_files_only=True)


def ranked(
    reranker: CrossEncoderReranker, passages: list[Passage] = PASSAGES, question: str = QUESTION
) -> list[Ranked]:
    async def main() -> list[Ranked]:
        return await reranker.rerank(await FakeEmbedder().embed_query(question), question, passages)

    return asyncio.run(main())


def scores(reranker: CrossEncoderReranker, passages: list[Passage] = PASSAGES, question: str = QUESTION) -> list[float]:
    """In the order of the passages."""
    found = {r.id: r.score for r in ranked(reranker, passages, question)}
    return [found[p.id] for p in passages]


class TestCrossEncoder(RerankerContract):
    @pytest.fixture
    def reranker(self, exact: CrossEncoderReranker) -> CrossEncoderReranker:
        return exact


def test_scores_equal_those_of_sentence_transformers(exact: CrossEncoderReranker, oracle: Any) -> None:
    expected = oracle.predict([(QUESTION, text) for text in TEXTS], show_progress_bar=False)
    assert scores(exact) == pytest.approx(expected.tolist(), abs=1e-5)
    assert np.ptp(expected) > 0.2  # they differ, so to be equal says something


def test_header_and_text_are_read_as_the_embedder_reads_them(exact: CrossEncoderReranker, oracle: Any) -> None:
    headed = replace(PASSAGES[0], header="Guide > Births")
    expected = oracle.predict([(QUESTION, f"Guide > Births\n{TEXTS[0]}")], show_progress_bar=False)
    assert scores(exact, [headed]) == pytest.approx(expected.tolist(), abs=1e-5)


def test_only_the_passage_is_cut(exact: CrossEncoderReranker, oracle: Any) -> None:
    """A question of two thirds of the window: `longest_first`, the library's way, would take its end away. What is behind
    the passage's room changes nothing; the question's last word does."""
    question = "word " * 160 + "Rollo"
    long, longer = passage(LONG * 8, 1), passage(LONG * 8 + "Rollo was born here.", 2)
    one, other = scores(exact, [long, longer], question)
    assert one == pytest.approx(other, abs=1e-6)
    assert scores(exact, [long], "word " * 160 + "bolts") != pytest.approx([one], abs=1e-6)
    tokenizer = oracle.tokenizer
    room = oracle.max_seq_length - len(tokenizer(question)["input_ids"]) - 1
    kept = tokenizer(long.text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"][:room]
    expected = oracle.predict([(question, long.text[: kept[-1][1]])], show_progress_bar=False)
    assert one == pytest.approx(float(expected[0]), abs=1e-5)


def test_a_question_that_fills_the_window_is_refused_not_cut(exact: CrossEncoderReranker) -> None:
    with pytest.raises(RerankerUnavailable, match="no room"):
        ranked(exact, PASSAGES[:3], "word " * 300)


def test_a_narrower_window_cuts_sooner(folder: Path, exact: CrossEncoderReranker) -> None:
    narrow = CrossEncoderReranker(str(folder), threads=1, precision="fp32", window=40)
    found = scores(narrow, [passage(LONG, 1), passage(LONG * 5, 2), passage("Rollo was born here.", 3)])
    narrow.close()
    assert found[0] != pytest.approx(scores(exact, [passage(LONG * 5, 2)])[0], abs=1e-6)
    assert found[2] == pytest.approx(scores(exact, [passage("Rollo was born here.", 3)])[0], abs=1e-5)


def test_bf16_orders_as_fp32(folder: Path, exact: CrossEncoderReranker) -> None:
    """Where fp32 sees a difference that is more than rounding, so does bf16."""
    half = CrossEncoderReranker(str(folder), threads=1, precision="bf16")
    found, expected = np.array(scores(half)), np.array(scores(exact))
    half.close()
    assert np.abs(found - expected).max() < 0.05
    apart = np.abs(expected[:, None] - expected[None]) > 0.1
    assert apart.sum() > 20
    assert (np.sign(found[:, None] - found[None]) == np.sign(expected[:, None] - expected[None]))[apart].all()


@pytest.mark.parametrize("batch_tokens", [1, 100, 1000, 100_000])
def test_batches_change_nothing(folder: Path, exact: CrossEncoderReranker, batch_tokens: int) -> None:
    other = CrossEncoderReranker(str(folder), threads=1, precision="fp32", batch_tokens=batch_tokens)
    found = scores(other)
    other.close()
    assert found == pytest.approx(scores(exact), abs=1e-5)


def test_questions_at_the_same_time_get_their_own_scores(exact: CrossEncoderReranker) -> None:
    questions = sorted({question for question, _ in cross_encoders.pairs()[0]})[:6]
    expected = [scores(exact, PASSAGES[:8], question) for question in questions]

    async def main() -> list[list[Ranked]]:
        query = await FakeEmbedder().embed_query("x")
        return await asyncio.gather(*(exact.rerank(query, question, PASSAGES[:8]) for question in questions))

    for mine, found in zip(expected, asyncio.run(main()), strict=True):
        by_id = {r.id: r.score for r in found}
        assert [by_id[p.id] for p in PASSAGES[:8]] == pytest.approx(mine, abs=1e-5)


def test_what_is_late_is_given_up_and_leaves_the_line_free(
    exact: CrossEncoderReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [passage(f"{LONG * 4}{n}", n) for n in range(400)]
    read, real = list[int](), exact._batches._run

    def counted(pairs: Sequence[Any]) -> Sequence[float]:
        read.append(len(pairs))
        return real(pairs)

    monkeypatch.setattr(exact._batches, "_run", counted)

    async def main() -> None:
        query = await FakeEmbedder().embed_query("x")
        with pytest.raises(SearchTimeout):
            await in_time("rerank", lambda: exact.rerank(query, QUESTION, many), 0.2)
        assert len(await exact.rerank(query, QUESTION, PASSAGES[:3])) == 3

    asyncio.run(main())
    assert sum(read) < 200  # what had begun, of 400


def test_the_event_loop_is_not_blocked(exact: CrossEncoderReranker) -> None:
    async def main() -> float:
        query = await FakeEmbedder().embed_query("x")
        work = asyncio.create_task(exact.rerank(query, QUESTION, [passage(f"{LONG * 2}{n}", n) for n in range(12)]))
        longest, last = 0.0, time.perf_counter()
        while not work.done():
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        assert len(await work) == 12
        return longest

    assert least(lambda: asyncio.run(main()), 0.5) < 0.5


def test_the_model_is_loaded_on_its_own_thread_and_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from retrieval.adapters import cross_encoder

    loads: list[str] = []
    load = cross_encoder._load

    def counted(*args: Any) -> Any:
        loads.append(threading.current_thread().name)
        return load(*args)

    monkeypatch.setattr(cross_encoder, "_load", counted)
    reranker = CrossEncoderReranker(str(folder), threads=1)

    async def main() -> None:
        await asyncio.gather(reranker.load(), reranker.load())

    asyncio.run(main())
    ranked(reranker, PASSAGES[:2])
    reranker.close()
    assert [name.partition("_")[0] for name in loads] == ["cross-encoder"]


@pytest.mark.parametrize("name", ["somebody/never-fetched", "/nowhere/at/all"])
def test_a_model_that_is_not_there_is_told_each_time(name: str) -> None:
    reranker = CrossEncoderReranker(name)
    for _ in range(2):
        with pytest.raises(RerankerUnavailable) as caught:
            ranked(reranker, PASSAGES[:2])
        assert "GROUNDED_RERANKER__MODEL" in caught.value.next_step
    with pytest.raises(RerankerUnavailable):
        asyncio.run(reranker.load())
    reranker.close()


def test_damaged_weights_are_told(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "damaged")
    weights = tmp_path / "damaged" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    reranker = CrossEncoderReranker(str(tmp_path / "damaged"))
    with pytest.raises(RerankerUnavailable):
        ranked(reranker, PASSAGES[:2])
    reranker.close()


def test_a_classifier_is_no_reranker(tmp_path: Path) -> None:
    reranker = CrossEncoderReranker(str(cross_encoders.build(tmp_path / "three", labels=3)))
    with pytest.raises(RerankerUnavailable, match="3 scores"):
        ranked(reranker, PASSAGES[:2])
    reranker.close()


def test_a_language_model_that_reranks_gets_question_and_template_whole(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    folder = cross_encoders.build_chat(tmp_path / "chat")
    oracle = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    question = "where was rollo born?"
    reranker = CrossEncoderReranker(str(folder), threads=1, precision="fp32")
    short = [passage("Rollo was born here.", 1), passage(LONG, 2)]
    expected = oracle.predict([(question, p.text) for p in short], show_progress_bar=False)
    assert scores(reranker, short, question) == pytest.approx(expected.tolist(), abs=1e-5)
    long, longer = passage(LONG * 9, 3), passage(LONG * 9 + "Rollo was born here.", 4)
    one, other = scores(reranker, [long, longer], question)
    assert one == pytest.approx(other, abs=1e-6)
    (kept,), (length,) = reranker._model().fitted(question, [long.text])
    reranker.close()
    read = oracle.tokenizer.decode(oracle.preprocess([(question, kept)])["input_ids"][0]).replace(" ", "")
    assert question.replace(" ", "") in read
    assert read.endswith("answer:")
    assert length == oracle.max_seq_length == 128


def test_importing_the_adapter_loads_no_torch() -> None:
    code = (
        "import sys; from retrieval.adapters.cross_encoder import CrossEncoderReranker as C; C('x'); "
        "print({'torch', 'sentence_transformers', 'transformers'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
