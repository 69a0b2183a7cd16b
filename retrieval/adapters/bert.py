"""BERT's encoder in torch, read from a safetensors file: what all-MiniLM-L6-v2 and most small embedders are.

transformers would compute the same, and takes two seconds longer to import than torch alone: longer than all else that an
ingest of one changed file does. A model that is not plain BERT is left to transformers.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_PLAIN = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute", "is_decoder": False}
_OPTIONAL = ("position_embedding_type", "is_decoder")  # absent where they are as above
_EMBEDDINGS = ("word_embeddings", "token_type_embeddings", "position_embeddings")


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's weights, as pairs of weight and bias."""

    query: "tuple[torch.Tensor, torch.Tensor]"
    key: "tuple[torch.Tensor, torch.Tensor]"
    value: "tuple[torch.Tensor, torch.Tensor]"
    attended: "tuple[torch.Tensor, torch.Tensor]"
    attended_norm: "tuple[torch.Tensor, torch.Tensor]"
    up: "tuple[torch.Tensor, torch.Tensor]"
    down: "tuple[torch.Tensor, torch.Tensor]"
    norm: "tuple[torch.Tensor, torch.Tensor]"


@dataclass(frozen=True, slots=True)
class Bert:
    """The weights. Call it with ids of shape (n, t) and a mask of the same shape, or None where nothing is padded."""

    words: "torch.Tensor"
    types: "torch.Tensor"
    positions: "torch.Tensor"
    norm: "tuple[torch.Tensor, torch.Tensor]"
    layers: tuple[Layer, ...]
    heads: int
    epsilon: float

    def __call__(self, ids: "torch.Tensor", mask: "torch.Tensor | None") -> "torch.Tensor":
        """The last hidden states, of shape (n, t, d)."""
        from torch.nn import functional

        x = functional.embedding(ids, self.words) + self.types[0] + self.positions[: ids.shape[1]]
        x = self._normed(x, self.norm)
        seen = None if mask is None else mask[:, None, None, :].bool()
        for layer in self.layers:
            x = self._normed(
                functional.linear(self._attended(x, seen, layer), *layer.attended) + x, layer.attended_norm
            )
            inner = functional.gelu(functional.linear(x, *layer.up))
            x = self._normed(functional.linear(inner, *layer.down) + x, layer.norm)
        return x

    def _attended(self, x: "torch.Tensor", seen: "torch.Tensor | None", layer: Layer) -> "torch.Tensor":
        from torch.nn import functional

        n, t, d = x.shape

        def heads(pair: "tuple[torch.Tensor, torch.Tensor]") -> "torch.Tensor":
            return functional.linear(x, *pair).view(n, t, self.heads, d // self.heads).transpose(1, 2)

        query, key, value = heads(layer.query), heads(layer.key), heads(layer.value)
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        return found.transpose(1, 2).reshape(n, t, d)

    def _normed(self, x: "torch.Tensor", norm: "tuple[torch.Tensor, torch.Tensor]") -> "torch.Tensor":
        from torch.nn import functional

        return functional.layer_norm(x, (x.shape[-1],), *norm, self.epsilon)


def plain_bert(path: Path, dtype: "torch.dtype", device: "torch.device") -> Bert | None:
    """The model of a folder, or None when it is anything but plain BERT. Raises OSError, ValueError."""
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    absent = {name: _PLAIN[name] for name in _OPTIONAL}
    if any((absent | config).get(name) != value for name, value in _PLAIN.items()):
        return None
    from safetensors.torch import load_file

    weights = {name.removeprefix("bert."): tensor for name, tensor in load_file(path / "model.safetensors").items()}
    if any(f"embeddings.{name}.weight" not in weights for name in _EMBEDDINGS):
        return None
    return _bert(config, {name: w.to(device, dtype) for name, w in weights.items() if w.is_floating_point()})


def _bert(config: dict[str, Any], weights: "dict[str, torch.Tensor]") -> Bert:
    def pair(name: str) -> "tuple[torch.Tensor, torch.Tensor]":
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    def layer(at: str) -> Layer:
        return Layer(
            query=pair(f"{at}.attention.self.query"),
            key=pair(f"{at}.attention.self.key"),
            value=pair(f"{at}.attention.self.value"),
            attended=pair(f"{at}.attention.output.dense"),
            attended_norm=pair(f"{at}.attention.output.LayerNorm"),
            up=pair(f"{at}.intermediate.dense"),
            down=pair(f"{at}.output.dense"),
            norm=pair(f"{at}.output.LayerNorm"),
        )

    words, types, positions = (weights[f"embeddings.{name}.weight"] for name in _EMBEDDINGS)
    return Bert(
        words=words,
        types=types,
        positions=positions,
        norm=pair("embeddings.LayerNorm"),
        layers=tuple(layer(f"encoder.layer.{n}") for n in range(int(config["num_hidden_layers"]))),
        heads=int(config["num_attention_heads"]),
        epsilon=float(config["layer_norm_eps"]),
    )
