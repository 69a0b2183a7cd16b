"""Our BERT is transformers' BERT, bit for bit in batches; what is not plain BERT is left to transformers.

A text alone goes a way of its own, which is as near as rounding allows.
"""

import asyncio
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from retrieval.adapters.model_folder import ModelChoice, package_folder
from retrieval.adapters.sentence_transformers import SentenceTransformersEmbedder

pytestmark = pytest.mark.models


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_hidden_states_equal_those_of_transformers(precision: str) -> None:
    import torch
    from transformers import AutoModel

    from retrieval.adapters.bert import plain_bert

    dtype, draw = getattr(torch, precision), random.Random(7)
    theirs = AutoModel.from_pretrained(package_folder(), dtype=dtype, local_files_only=True).eval()
    ours = plain_bert(package_folder(), dtype, torch.device("cpu"))
    assert ours is not None
    torch.set_num_threads(1)
    with torch.inference_mode():
        for _ in range(12):
            lengths = [draw.randint(1, 200) for _ in range(draw.randint(2, 6))]
            ids = torch.randint(1000, 30_000, (len(lengths), max(lengths)))
            mask = torch.stack([(torch.arange(max(lengths)) < length).long() for length in lengths])
            padded = min(lengths) < max(lengths)
            expected = theirs(input_ids=ids, attention_mask=mask if padded else None).last_hidden_state
            found = ours(ids, mask if padded else None)
            assert torch.equal(found[mask.bool()], expected[mask.bool()])


@pytest.mark.parametrize(("precision", "near"), [("float32", 0.99999), ("bfloat16", 0.999)])
def test_a_text_alone_is_what_it_is_in_a_batch(precision: str, near: float) -> None:
    """Every length that the model reads, in either precision: each token's vector, held against that of the batch in
    fp32, which is exact."""
    import torch
    from torch.nn.functional import cosine_similarity

    from retrieval.adapters.bert import plain_bert

    exact = plain_bert(package_folder(), torch.float32, torch.device("cpu"))
    ours = plain_bert(package_folder(), getattr(torch, precision), torch.device("cpu"))
    assert exact is not None
    assert ours is not None
    assert ours.alone is not None
    torch.set_num_threads(1)
    ids = torch.randint(1000, 30_000, (2, 256), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        for length in (*range(1, 40), 64, 100, 101, 128, 200, 255, 256):
            expected = exact(ids[:, :length], None)[:1]
            found = ours(ids[:1, :length], None).float()
            assert found.shape == expected.shape
            assert float(cosine_similarity(found, expected, dim=-1).min()) > near


def test_a_question_has_the_vector_of_the_same_passage() -> None:
    """Through the embedder as it is configured by default, for texts of every length up to the window and beyond."""
    words = ("harbour", "lights", "of", "ERR_443", "guide", "ships", "past", "17", "walls")
    texts = [" ".join((words * 40)[:n]) for n in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 300)]
    embedder = SentenceTransformersEmbedder(threads=1).load()

    async def main() -> list[float]:
        passages = await embedder.embed_passages(texts)
        questions = [await embedder.embed_query(text) for text in texts]
        return [float(q.vector @ p.vector) for q, p in zip(questions, passages, strict=True)]

    assert min(asyncio.run(main())) > 0.999
    embedder.close()


@pytest.mark.parametrize("change", [{"model_type": "roberta"}, {"hidden_act": "relu"}, {"is_decoder": True}])
def test_another_model_is_none_of_ours(tmp_path: Path, change: dict[str, object]) -> None:
    import torch

    from retrieval.adapters.bert import plain_bert

    config = json.loads((package_folder() / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    assert plain_bert(tmp_path, torch.float32, torch.device("cpu")) is None


def test_another_model_is_run_by_transformers(tmp_path: Path) -> None:
    """The same weights under a config that is not plain BERT: another activation, so other vectors, and no error."""
    folder = shutil.copytree(package_folder(), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "gelu_new"}))
    embedder = SentenceTransformersEmbedder(threads=1, precision="fp32", model=ModelChoice(str(folder))).load()
    assert embedder.dimension == 384
    embedder.close()


def test_loading_the_packaged_model_does_not_import_transformers() -> None:
    code = (
        "import sys; from retrieval.adapters.sentence_transformers import SentenceTransformersEmbedder as E; "
        "E(threads=1).load().close(); print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert run.stdout.split() == ["True", "False"], run.stderr
