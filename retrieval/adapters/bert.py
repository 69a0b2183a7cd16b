"""BERT's encoder in torch, read from a safetensors file: what all-MiniLM-L6-v2 and most small embedders are.

transformers would compute the same, and takes two seconds longer to import than torch alone: longer than all else that an
ingest of one changed file does. A model that is not plain BERT is left to transformers.

A batch runs on torch's ordinary operators, bit for bit as with transformers. A text alone, as each question is, would
spend most of its time on rearranging the weights for so few rows, anew in every layer: for it they are kept as oneDNN's
kernels read them, and bias, activation and residual are part of the product.
"""

import json
from dataclasses import dataclass, replace
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
    alone: "Alone | None" = None

    def __call__(self, ids: "torch.Tensor", mask: "torch.Tensor | None") -> "torch.Tensor":
        """The last hidden states, of shape (n, t, d)."""
        from torch.nn import functional

        if self.alone is not None and mask is None and len(ids) == 1:
            return self.alone(ids[0])[None]
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


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """One layer's weights in the layout of oneDNN's kernels; those of query, key and value are one matrix."""

    attention: "tuple[torch.Tensor, torch.Tensor]"
    attended: "tuple[torch.Tensor, torch.Tensor]"
    attended_norm: "tuple[torch.Tensor, torch.Tensor]"
    up: "tuple[torch.Tensor, torch.Tensor]"
    down: "tuple[torch.Tensor, torch.Tensor]"
    norm: "tuple[torch.Tensor, torch.Tensor]"


@dataclass(frozen=True, slots=True)
class Alone:
    """The same model for one text. Its states differ from those of a batch by rounding alone."""

    words: "torch.Tensor"
    places: "torch.Tensor"  # positions, with the type that all tokens have
    norm: "tuple[torch.Tensor, torch.Tensor]"
    layers: tuple[PackedLayer, ...]
    heads: int
    epsilon: float

    def __call__(self, ids: "torch.Tensor") -> "torch.Tensor":
        """The last hidden states of ids of shape (t,), of shape (t, d)."""
        from torch.nn import functional

        x = self._normed(functional.embedding(ids, self.words) + self.places[: len(ids)], self.norm)
        for layer in self.layers:
            x = self._normed(_product(self._attended(x, layer), layer.attended, plus=x), layer.attended_norm)
            inner = _product(x, layer.up, then="gelu")
            x = self._normed(_product(inner, layer.down, plus=x), layer.norm)
        return x

    def _attended(self, x: "torch.Tensor", layer: PackedLayer) -> "torch.Tensor":
        from torch.nn import functional

        t, d = x.shape
        query, key, value = _product(x, layer.attention).view(1, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(query, key, value)
        return found[0].transpose(0, 1).reshape(t, d)

    def _normed(self, x: "torch.Tensor", norm: "tuple[torch.Tensor, torch.Tensor]") -> "torch.Tensor":
        from torch.nn import functional

        return functional.layer_norm(x, (x.shape[-1],), *norm, self.epsilon)


def _product(
    x: "torch.Tensor",
    pair: "tuple[torch.Tensor, torch.Tensor]",
    plus: "torch.Tensor | None" = None,
    then: str = "none",
) -> "torch.Tensor":
    """Rows times weight plus bias, and then the activation, or `plus`."""
    import torch

    linear = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001  what torch.compile emits for a CPU
    if plus is not None:
        summed: torch.Tensor = linear.binary(x, plus, *pair, "add")
        return summed
    found: torch.Tensor = linear(x, *pair, then, [], "none")
    return found


def packed(bert: Bert) -> Alone | None:
    """The model for texts alone, or None where torch comes without oneDNN or with another one than we know."""
    import torch

    known = hasattr(torch.ops.mkldnn, "_linear_pointwise") and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    if bert.words.device.type != "cpu" or not torch.backends.mkldnn.is_available() or not known:  # type: ignore[no-untyped-call]
        return None
    return Alone(
        words=bert.words,
        places=bert.positions + bert.types[0],
        norm=bert.norm,
        layers=tuple(map(_packed, bert.layers)),
        heads=bert.heads,
        epsilon=bert.epsilon,
    )


def _packed(layer: Layer) -> PackedLayer:
    import torch

    def pack(*pairs: "tuple[torch.Tensor, torch.Tensor]") -> "tuple[torch.Tensor, torch.Tensor]":
        weight = torch.cat([weight for weight, _ in pairs])
        rows = 16  # as many as a short question has tokens; any number may come
        reordered = torch.ops.mkldnn._reorder_linear_weight(weight, rows)  # noqa: SLF001
        return reordered, torch.cat([bias for _, bias in pairs])

    return PackedLayer(
        attention=pack(layer.query, layer.key, layer.value),
        attended=pack(layer.attended),
        attended_norm=layer.attended_norm,
        up=pack(layer.up),
        down=pack(layer.down),
        norm=layer.norm,
    )


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
    found = _bert(config, {name: w.to(device, dtype) for name, w in weights.items() if w.is_floating_point()})
    return replace(found, alone=packed(found))


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
