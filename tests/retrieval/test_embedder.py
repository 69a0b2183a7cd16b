"""The real embedder and the fake one pass one contract; what only the real one can get wrong is tested below."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from retrieval.adapters.model_folder import ModelChoice, found_folder, package_folder, read_folder
from retrieval.adapters.sentence_transformers import SentenceTransformersEmbedder, _batches
from retrieval.adapters.torch_model import computes_bf16
from retrieval.errors import EmbedderUnavailable
from tests.contracts.embedder import TEXTS, TokenVectorContract
from tests.fakes import FakeEmbedder
from tests.patience import least

LONG = "The dense arm and the lexical arm are searched at the same time, and their rankings are fused by rank. " * 9


class TestFake(TokenVectorContract):
    @pytest.fixture
    def embedder(self):
        return FakeEmbedder()


@pytest.fixture(scope="module")
def real():
    embedder = SentenceTransformersEmbedder().load()
    yield embedder
    embedder.close()


@pytest.fixture(scope="module")
def exact():
    embedder = SentenceTransformersEmbedder(precision="fp32").load()
    yield embedder
    embedder.close()


@pytest.mark.models
class TestReal(TokenVectorContract):
    @pytest.fixture
    def embedder(self, real):
        return real

    def test_the_package_is_all_minilm(self, real):
        assert (real.name, real.dimension, real.window) == ("all-MiniLM-L6-v2", 384, 256)

    def test_vectors_equal_those_of_sentence_transformers(self, exact):
        """The oracle: the library that defines the format, run on the same folder."""
        source = (
            "import json, sys; from sentence_transformers import SentenceTransformer as S; "
            "print(json.dumps(S(sys.argv[1], device='cpu', local_files_only=True).encode(json.loads(sys.argv[2])).tolist()))"
        )
        command = [sys.executable, "-c", source, str(package_folder()), json.dumps([*TEXTS, LONG * 3])]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        expected = np.array(json.loads(done.stdout.splitlines()[-1]))
        ours = np.stack([p.vector for p in self.passages(exact, [*TEXTS, LONG * 3])])
        assert (ours * expected).sum(axis=1).min() > 0.9999

    def test_default_precision_is_within_two_thousandths_of_fp32(self, real, exact):
        texts = [*TEXTS, LONG]
        pairs = zip(self.passages(real, texts), self.passages(exact, texts), strict=True)
        assert min(float(a.vector @ b.vector) for a, b in pairs) >= 0.998

    @pytest.mark.parametrize("size", [1, 5, 17])
    def test_batches_change_nothing(self, exact, size):
        texts = ([*TEXTS, LONG] * 3)[:17]
        whole = self.passages(exact, texts)
        parts = [p for i in range(0, len(texts), size) for p in self.passages(exact, texts[i : i + size])]
        for one, other in zip(whole, parts, strict=True):
            assert float(one.vector @ other.vector) > 0.99999
            assert np.unpackbits(one.bits ^ other.bits).mean() < 0.002

    @pytest.mark.parametrize("threads", [1, 3])
    def test_threads_change_nothing(self, threads):
        """Batches end in any order; each passage gets its own vectors."""
        texts = [f"{n} {text}" for n in range(12) for text in TEXTS]
        made = SentenceTransformersEmbedder(threads=threads, precision="fp32", batch_tokens=256).load()
        found, alone = self.passages(made, texts), [self.passages(made, [text])[0] for text in texts[:20]]
        made.close()
        assert len(found) == len(texts)
        for one, other in zip(found, alone, strict=False):
            assert float(one.vector @ other.vector) > 0.99999

    def test_a_batch_that_fails_ends_the_others(self, monkeypatch):
        made = SentenceTransformersEmbedder(threads=2, batch_tokens=256).load()
        calls, real_call = [], made._embed_batch

        def third_fails(rows):
            calls.append(len(rows))
            if len(calls) == 3:
                raise RuntimeError("no memory")
            return real_call(rows)

        monkeypatch.setattr(made, "_embed_batch", third_fails)
        with pytest.raises(EmbedderUnavailable, match="no memory"):
            self.passages(made, TEXTS * 60)
        assert len(calls) <= 5  # those that had begun, of many
        made.close()

    def test_precision_is_no_part_of_the_fingerprint(self, real, exact):
        assert real.fingerprint == exact.fingerprint

    def test_a_question_waits_for_no_batch(self, real):
        """All threads for passages are at work on one that does not end before the question is answered."""

        async def main():
            answered = threading.Event()
            held = [real._passages.submit(answered.wait, 30) for _ in range(2 * real._threads)]
            passages = asyncio.create_task(real.embed_passages([LONG]))
            found = await asyncio.wait_for(real.embed_query("How are rankings fused?"), 20)
            answered.set()
            assert len(await passages) == 1
            return found, [one.result() for one in held]

        found, waited = asyncio.run(main())
        assert found.vector.shape == (384,)
        assert all(waited)

    def test_questions_are_let_in_between_batches(self, real):
        async def main():
            await real.embed_query("warm")
            passages = asyncio.create_task(real.embed_passages([LONG] * 96))
            await asyncio.sleep(0.1)
            answered = 0
            while not passages.done():
                await real.embed_query("How are rankings fused?")
                answered += 1
            assert len(await passages) == 96
            return answered

        assert asyncio.run(main()) >= 4  # at least every other batch let a question in

    def test_cancelled_passages_stop(self, real, monkeypatch):
        batches, real_call = [], real._embed_batch

        def counted(rows):
            batches.append(len(rows))
            return real_call(rows)

        monkeypatch.setattr(real, "_embed_batch", counted)

        async def main():
            passages = asyncio.create_task(real.embed_passages([LONG] * 400))
            await asyncio.sleep(0.2)
            passages.cancel()
            with pytest.raises(asyncio.CancelledError):
                await passages
            await real.embed_query("Is anybody there?")
            await real.embed_passages(["And is there room?"])

        asyncio.run(main())
        assert sum(batches) - 1 < 200  # those that had begun, of 400 passages

    def test_the_event_loop_is_not_blocked(self, real):
        async def main():
            passages = asyncio.create_task(real.embed_passages([LONG] * 48))
            longest, last = 0.0, time.perf_counter()
            while not passages.done():
                await asyncio.sleep(0.005)
                longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
            return longest

        assert least(lambda: asyncio.run(main()), 0.5) < 0.5

    def test_counting_is_thread_safe(self, real):
        results: list[list[int]] = []
        threads = [threading.Thread(target=lambda: results.append(real.count(TEXTS * 20))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 8
        assert all(result == results[0] for result in results)

    def test_one_embedder_serves_several_event_loops(self, real):
        assert [asyncio.run(real.embed_query("again")).vector[0] for _ in range(2)]


@pytest.fixture(scope="module")
def short():
    """As a model of one's own is used: by its folder, cut to fewer dimensions, with prefixes."""
    choice = ModelChoice(str(package_folder()), 128, "query: ", "passage: ")
    embedder = SentenceTransformersEmbedder(precision="fp32", model=choice).load()
    yield embedder
    embedder.close()


@pytest.mark.models
class TestShortened(TokenVectorContract):
    @pytest.fixture
    def embedder(self, short):
        return short

    def test_a_question_has_unit_vectors_for_its_tokens(self, embedder):
        """The prefix is a part of what is embedded."""
        query = asyncio.run(embedder.embed_query("Which file formats are read?"))
        assert len(query.tokens) == embedder.count(["query: Which file formats are read?"])[0]
        assert np.linalg.norm(query.tokens, axis=1) == pytest.approx(1, abs=1e-3)

    def test_a_question_without_tokens_has_none(self, embedder):
        query = asyncio.run(embedder.embed_query(""))
        assert len(query.tokens) == embedder.count(["query: "])[0]

    def test_bits_have_a_row_for_each_offset(self, embedder):
        texts = [*TEXTS, "word " * 1000]
        for text, row, passage in zip(texts, embedder.offsets(texts), self.passages(embedder, texts), strict=True):
            assert passage.bits.shape == (len(row), 128 // 8)
            assert len(row) == min(embedder.count([f"passage: {text}"])[0] + 2, embedder.window)

    def test_offsets_point_at_the_words(self, embedder):
        text = "Rollo swore fealty"
        words = [text[a:b].lower() for a, b in embedder.offsets([text])[0] if b > a]
        assert words[0].startswith("rol")
        assert words[-1] == "##ty" or text.lower().endswith(words[-1])

    def test_vectors_are_the_first_numbers_of_the_whole_ones(self, short, exact):
        """With their prefixes written out, and their length made 1 again."""
        whole = self.passages(exact, [f"passage: {text}" for text in TEXTS])
        for mine, other in zip(self.passages(short, TEXTS), whole, strict=True):
            first = other.vector[:128] / np.linalg.norm(other.vector[:128])
            assert float(mine.vector @ first) == pytest.approx(1, abs=1e-4)
            assert np.unpackbits(mine.bits ^ other.bits[:, :16]).mean() < 0.002

    def test_a_question_too(self, short, exact):
        mine = asyncio.run(short.embed_query("Which formats?"))
        other = asyncio.run(exact.embed_query("query: Which formats?"))
        first = other.vector[:128] / np.linalg.norm(other.vector[:128])
        assert float(mine.vector @ first) == pytest.approx(1, abs=1e-4)


@pytest.fixture
def folder(tmp_path):
    """A copy of the model's folder without its weights' bytes: cheap, and good for everything that never runs it."""
    shutil.copytree(package_folder(), tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "model" / "model.safetensors").write_bytes(b"not the weights")
    return tmp_path / "model"


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **values}))


def test_other_weights_than_the_published_are_refused(folder):
    with pytest.raises(EmbedderUnavailable, match="SHA-256") as caught:
        read_folder(folder, "53aa5117" + "0" * 56)
    assert "reinstall" in caught.value.next_step


def test_a_missing_folder_is_refused_with_a_next_step(tmp_path):
    with pytest.raises(EmbedderUnavailable) as caught:
        SentenceTransformersEmbedder(model=ModelChoice(str(tmp_path / "nowhere"))).load()
    assert caught.value.next_step


@pytest.mark.models
def test_damaged_weights_are_refused_when_loaded(folder):
    with pytest.raises(EmbedderUnavailable):
        SentenceTransformersEmbedder(model=ModelChoice(str(folder))).load()


def test_the_folder_says_how_to_pool_and_cut(folder):
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    change(folder / "sentence_bert_config.json", max_seq_length=128)
    change(folder / "config_sentence_transformers.json", prompts={"query": "query: ", "document": "passage: "})
    found = read_folder(folder)
    assert (found.pooling, found.window) == ("cls", 128)
    assert (found.query_prefix, found.passage_prefix) == ("query: ", "passage: ")
    assert found.sha256 == hashlib.sha256(b"not the weights").hexdigest()


def test_whatever_moves_the_space_changes_the_fingerprint(folder):
    prints = [read_folder(folder).fingerprint]
    change(folder / "sentence_bert_config.json", max_seq_length=128)
    prints.append(read_folder(folder).fingerprint)
    change(folder / "config_sentence_transformers.json", prompts={"query": "query: "})
    prints.append(read_folder(folder).fingerprint)
    (folder / "model.safetensors").write_bytes(b"other weights")
    prints.append(read_folder(folder).fingerprint)
    assert len(set(prints)) == 4


def test_how_a_model_is_used_changes_the_fingerprint(folder):
    ways = [
        ModelChoice(str(folder)),
        ModelChoice(str(folder), 128),
        ModelChoice(str(folder), 0, "query: "),
        ModelChoice(str(folder), 0, None, "passage: "),
    ]
    assert len({way.read().fingerprint for way in ways}) == 4
    assert ModelChoice(str(folder), 384).read() == ModelChoice(str(folder)).read()


def test_a_prefix_of_ones_own_stands_in_for_the_models(folder):
    change(folder / "config_sentence_transformers.json", prompts={"query": "query: ", "document": "passage: "})
    found = ModelChoice(str(folder), 0, "", "text: ").read()
    assert (found.query_prefix, found.passage_prefix) == ("", "text: ")


def test_more_dimensions_than_there_are_are_refused(folder):
    with pytest.raises(EmbedderUnavailable, match="384") as caught:
        ModelChoice(str(folder), 512).read()
    assert "DIMENSIONS" in caught.value.next_step


def test_weights_in_several_files_are_all_in_the_fingerprint(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"one half")
    before = read_folder(folder).fingerprint
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"another half")
    assert read_folder(folder).fingerprint != before


def test_a_model_of_ones_own_is_not_mended_by_installing_ours(folder):
    (folder / "config.json").unlink()
    with pytest.raises(EmbedderUnavailable) as caught:
        ModelChoice(str(folder)).read()
    assert "GROUNDED_EMBEDDER__MODEL" in caught.value.next_step


def test_a_name_is_looked_for_in_the_local_cache_alone(folder, tmp_path, monkeypatch):
    """No test may reach the network, so whoever asked it for a model would fail here with another error."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(EmbedderUnavailable, match="never fetched"):
        found_folder("somebody/some-model")
    kept = tmp_path / "hub" / "models--somebody--some-model"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("abc")
    (kept / "snapshots").mkdir()
    folder.rename(kept / "snapshots" / "abc")
    assert ModelChoice("somebody/some-model").read().dimension == 384
    assert ModelChoice("somebody/some-model").shown == "somebody/some-model"


@pytest.mark.parametrize("mode", ["pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens"])
def test_another_pooling_is_refused(folder, mode):
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({mode: True}))
    with pytest.raises(EmbedderUnavailable, match="pools by"):
        read_folder(folder)


def test_a_module_on_top_is_refused(folder):
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(EmbedderUnavailable, match="not supported"):
        read_folder(folder)


def test_prefixes_are_embedded_but_not_counted_in_offsets(folder):
    change(folder / "config_sentence_transformers.json", prompts={"document": "passage: "})
    embedder = SentenceTransformersEmbedder(model=ModelChoice(str(folder)))
    spans = embedder.offsets(["Rollo"])[0]
    assert max(end for _, end in spans) == len("Rollo")
    assert embedder.count(["Rollo"]) == [2]
    embedder.close()


def test_batches_are_filled_by_tokens_longest_first():
    lengths = [10, 200, 30, 250, 5, 200]
    batches = _batches(lengths, 512)
    assert sorted(i for batch in batches for i in batch) == list(range(6))
    assert batches[0] == [3, 1]
    assert all(len(batch) * max(lengths[i] for i in batch) <= 512 for batch in batches)
    assert _batches([900], 512) == [[0]]
    assert _batches([], 512) == []


def test_bf16_is_chosen_by_the_cpu_flags(tmp_path):
    for flags, expected in (("avx2 avx512_bf16", True), ("amx_bf16", True), ("avx2 avx512f", False)):
        (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\n")
        assert computes_bf16(tmp_path / "cpuinfo") is expected
    assert not computes_bf16(tmp_path / "absent")


def test_importing_the_adapter_loads_no_torch():
    code = (
        "import sys; from retrieval.adapters.sentence_transformers import SentenceTransformersEmbedder as E; "
        "E(); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
