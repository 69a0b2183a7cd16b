"""The model itself: torch, and transformers where it is needed, imported when a model is loaded and not before."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from retrieval.adapters.bert import plain_bert
from retrieval.adapters.model_folder import ModelFolder
from retrieval.model import Floats

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Device = Literal["auto", "cpu", "cuda"]
Row = Sequence[int] | NDArray[np.int64]  # token ids of a text
Forward = Callable[["torch.Tensor", "torch.Tensor | None"], "torch.Tensor"]  # ids and mask to last hidden states


@dataclass(frozen=True, slots=True)
class TorchModel:
    """A loaded model. `embed` takes rows of token ids and gives, per row, pooled and token vectors of unit length."""

    forward: Forward
    device: "torch.device"
    pooling: Literal["mean", "cls"]

    def embed(self, rows: Sequence[Row]) -> list[tuple[Floats, Floats]]:
        """Shapes (d,) and (t, d), fp32, special tokens included in t. Rows may differ in length; they are padded here.

        On a CPU each call runs on the thread that calls, and several may at the same time. Threads that share one product
        wait for each other in a loop: as soon as anything else wants a core, that took three times the CPU time.
        """
        import torch

        torch.set_num_threads(1)  # of the calling thread; it costs nothing
        ids, mask = _padded(rows, self.device)
        with torch.inference_mode():
            hidden = self.forward(ids, mask).float()
            pooled = hidden[:, 0] if self.pooling == "cls" else _mean(hidden, mask)
            vectors = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
            tokens = torch.nn.functional.normalize(hidden, dim=-1).cpu().numpy()
        return [(vectors[i].copy(), tokens[i, : len(row)]) for i, row in enumerate(rows)]


def _padded(rows: Sequence[Row], device: "torch.device") -> "tuple[torch.Tensor, torch.Tensor | None]":
    """Ids and attention mask. Rows of one length need no mask, and a question alone is faster without."""
    import torch

    longest = max(map(len, rows))
    if min(map(len, rows)) == longest:
        return torch.from_numpy(np.array(rows, dtype=np.int64)).to(device), None
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def _mean(hidden: "torch.Tensor", mask: "torch.Tensor | None") -> "torch.Tensor":
    if mask is None:
        return hidden.mean(dim=1)
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def loaded(folder: ModelFolder, precision: Precision, device: Device) -> TorchModel:
    """Load by path alone, never over the network, and warm up."""
    where = device_for(device)
    dtype = dtype_for(precision, where)
    forward = plain_bert(folder.path, dtype, where) or _by_transformers(folder.path, dtype, where)
    model = TorchModel(_first(folder.dimension, forward), where, folder.pooling)
    model.embed([[0, 0, 0]])  # the first call of a kernel is slow; no question should pay for it
    return model


def _first(dimension: int, forward: Forward) -> Forward:
    """The first numbers of each state: what Matryoshka training packs the most into (Kusupati et al. 2022). Pooling works on
    each dimension by itself, so it may come after."""

    def cut(ids: "torch.Tensor", mask: "torch.Tensor | None") -> "torch.Tensor":
        return forward(ids, mask)[..., :dimension]

    return cut


def _by_transformers(path: Path, dtype: "torch.dtype", device: "torch.device") -> Forward:
    """Whatever transformers knows without code of the model's own."""
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model: Any = AutoModel.from_pretrained(
        path, dtype=dtype, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    model.eval().to(device)

    def forward(ids: "torch.Tensor", mask: "torch.Tensor | None") -> "torch.Tensor":
        found: torch.Tensor = model(input_ids=ids, attention_mask=mask).last_hidden_state
        return found

    return forward


def cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_for(device: Device) -> "torch.device":
    """`auto` takes a GPU if there is one."""
    import torch

    return torch.device("cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu")


def dtype_for(precision: Precision, device: "torch.device") -> "torch.dtype":
    """`auto` is what the device computes in: emulated bf16 would be slower than fp32 and less exact."""
    import torch

    if precision != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if computes_bf16(Path("/proc/cpuinfo")) else torch.float32


def computes_bf16(cpuinfo: Path) -> bool:
    """Whether the CPU has AMX-BF16 or AVX512-BF16 instructions; elsewhere than on Linux we cannot tell, and say no."""
    try:
        with cpuinfo.open(encoding="utf-8") as lines:
            flags = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return False
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(flags.split())
