"""The way to a running vLLM, as far as it needs none: the model's weights put in order, a machine that does not fit."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.vllm import __main__ as command
from tests.vllm import environment, smollm2
from tests.vllm.endpoint import within


def permuted(weights: np.ndarray, heads: int) -> np.ndarray:
    """As llama.cpp's converter does it: a head's halves are interleaved."""
    size = weights.shape[0] // heads
    return weights.reshape(heads, 2, size // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


class TestModel:
    @pytest.mark.parametrize("heads", [1, 3, 9])
    def test_heads_are_taken_apart_as_they_were_interleaved(self, heads: int) -> None:
        weights = np.random.default_rng(7).normal(size=(heads * 8, 5))
        assert not np.array_equal(permuted(weights, heads), weights)
        np.testing.assert_array_equal(smollm2.unpermuted(permuted(weights, heads), heads), weights)

    def test_rows_of_one_head_by_hand(self) -> None:
        rows = np.arange(6)[:, None]
        assert smollm2.unpermuted(rows, 1).ravel().tolist() == [0, 2, 4, 1, 3, 5]

    @pytest.mark.parametrize(
        ("gguf", "name"),
        [
            ("blk.3.attn_q.weight", "model.layers.3.self_attn.q_proj.weight"),
            ("blk.29.ffn_norm.weight", "model.layers.29.post_attention_layernorm.weight"),
            ("token_embd.weight", "model.embed_tokens.weight"),
            ("output_norm.weight", "model.norm.weight"),
        ],
    )
    def test_names(self, gguf: str, name: str) -> None:
        assert smollm2.name_of(gguf) == name

    def test_a_tensor_that_this_model_has_not_is_no_guess(self) -> None:
        with pytest.raises(KeyError):
            smollm2.name_of("blk.0.ffn_gate_inp.weight")

    def test_the_tokenizer_cuts_digits_apart_and_keeps_control_tokens_whole(self) -> None:
        from tokenizers import pre_tokenizers

        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        facts = {
            "tokenizer.ggml.tokens": ["<|im_start|>", *letters, "ab", "12"],
            "tokenizer.ggml.token_type": [3, *[1] * (len(letters) + 2)],
            "tokenizer.ggml.merges": ["a b", "1 2"],
        }
        tokenizer = smollm2.tokenizer_of(facts)
        assert tokenizer.encode("<|im_start|>ab 12").tokens == ["<|im_start|>", "ab", "Ġ", "1", "2"]
        assert tokenizer.decode(tokenizer.encode("ab 12 ä").ids) == "ab 12 ä"


class TestUnavailable:
    def test_too_little_memory_is_a_reason(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=10**9))
        with pytest.raises(environment.Unavailable, match=r"1\.0 GB of memory are free, and 5\.4 GB are needed"):
            environment.check_machine(tmp_path)

    @pytest.mark.slow
    def test_packages_that_cannot_be_had_are_a_reason_and_no_failure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """pip itself is asked, for a package that nobody has; what it says is the reason."""
        wanted = tmp_path / "requirements.txt"
        wanted.write_text("./no-such-file-0.0.0-py3-none-any.whl\n")
        monkeypatch.setattr(environment, "REQUIREMENTS", wanted)
        monkeypatch.setattr(environment, "check_machine", lambda _: None)
        monkeypatch.setattr(command, "CACHE", tmp_path / "vllm")
        assert command.main([]) == 0
        told = capsys.readouterr().err
        assert "SKIPPED the tests with vLLM: vLLM's packages cannot be installed" in told
        assert "no-such-file" in told

    def test_what_was_made_as_pinned_is_not_made_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import sys

        monkeypatch.setattr(environment, "_run", lambda _: pytest.fail("it was made again"))
        (tmp_path / "venv").mkdir()
        pins = f"{sys.version}\n{environment.REQUIREMENTS.read_text()}"
        (tmp_path / "venv" / ".made").write_text(hashlib.sha256(pins.encode()).hexdigest())
        assert environment.python_of(tmp_path) == tmp_path / "venv" / "bin" / "python"


def test_waiting_ends() -> None:
    assert not within(0.05, lambda: False)
    assert within(0.05, lambda: True)
