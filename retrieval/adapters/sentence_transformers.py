"""all-MiniLM-L6-v2, or any sentence-transformers folder of its kind, run with torch and nothing in between.

One forward pass gives both what dense search needs (the pooled vector) and what late interaction needs (the token
vectors, kept at 1 bit a dimension). transformers and tokenizers are used directly: sentence-transformers would pool the
token vectors away, takes longer to import and wraps each short question in work that costs more than it saves.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from tokenizers import Encoding, Tokenizer

from retrieval.adapters.model_folder import PACKAGE_NAME, PACKAGE_SHA256, ModelFolder, package_folder, read_folder
from retrieval.errors import EmbedderUnavailable
from retrieval.model import EmbeddedPassage, EmbeddedQuery, Floats

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Device = Literal["auto", "cpu", "cuda"]
T = TypeVar("T")

_COUNTED_TOGETHER = 512  # texts per call of the tokenizer, so that a cancelled ingest is not tokenised to its end


@dataclass(frozen=True, slots=True)
class _Model:
    """A loaded model. `embed` takes rows of token ids and gives, per row, pooled and token vectors of unit length."""

    bert: Any
    device: "torch.device"
    pooling: Literal["mean", "cls"]

    def embed(self, rows: Sequence[Sequence[int]]) -> list[tuple[Floats, Floats]]:
        """Shapes (d,) and (t, d), fp32, special tokens included in t. Rows may differ in length; they are padded here."""
        import torch

        ids, mask = _padded(rows, self.device)
        with torch.inference_mode():
            hidden = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            pooled = hidden[:, 0] if self.pooling == "cls" else _mean(hidden, mask)
            pooled = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
            tokens = torch.nn.functional.normalize(hidden, dim=-1).cpu().numpy()
        return [(pooled[i].copy(), tokens[i, : len(row)]) for i, row in enumerate(rows)]


def _padded(rows: Sequence[Sequence[int]], device: "torch.device") -> "tuple[torch.Tensor, torch.Tensor | None]":
    """Ids and attention mask. Rows of one length need no mask, and a question alone is faster without."""
    import torch

    longest = max(map(len, rows))
    if min(map(len, rows)) == longest:
        return torch.tensor(rows, dtype=torch.long, device=device), None
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


class SentenceTransformersEmbedder:
    """The embedder port over a sentence-transformers folder. Cheap to construct; `load` does the work, once.

    Model calls take turns on one thread of our own, a batch at a time: the cores are shared anyway, and a question that
    arrives while passages are embedded waits for one batch of them at most, not for all. A cancelled caller gives up its
    place in the line; the batch that is running ends on its own.
    """

    def __init__(
        self,
        threads: int = 0,
        precision: Precision = "auto",
        device: Device = "auto",
        batch_tokens: int = 2048,
        folder: Path | None = None,
    ) -> None:
        """`threads` 0 is one per core; `batch_tokens` counts word pieces with padding; no `folder`, the packaged model."""
        self._threads = threads or _cores()
        self._precision = precision
        self._device = device
        self._batch_tokens = batch_tokens
        self._path = folder
        self._line = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedder")

    @property
    def name(self) -> str:
        return PACKAGE_NAME if self._path is None else self._path.name

    @property
    def fingerprint(self) -> str:
        return self._folder.fingerprint

    @property
    def dimension(self) -> int:
        return self._folder.dimension

    @property
    def window(self) -> int:
        return self._folder.window

    def load(self) -> "SentenceTransformersEmbedder":
        """Verify the files, load and warm the model; seconds the first time, nothing later. Blocks: call off the loop.

        Raises EmbedderUnavailable. Needs no network, ever.
        """
        self._line.submit(_guarded, lambda: self._model).result()
        return self

    def close(self) -> None:
        """End the thread; what waits in line is dropped."""
        self._line.shutdown(wait=True, cancel_futures=True)

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(e.ids) for e in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Of each text, where the tokens stand whose vectors `embed_passages` gives: one half-open span per row of bits,
        (0, 0) for special tokens."""
        prefix = self._folder.passage_prefix
        spans = [encoding.offsets for encoding in self._tokenizer.encode_batch([prefix + text for text in texts])]
        cut = [all_ if len(all_) <= self.window else [*all_[: self.window - 1], all_[-1]] for all_ in spans]
        return [[(max(a - len(prefix), 0), max(b - len(prefix), 0)) for a, b in row] for row in cut]

    async def embed_query(self, text: str) -> EmbeddedQuery:
        return await self._run(lambda: self._embed_query(text))

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        rows = await asyncio.to_thread(_guarded, lambda: self._rows(texts))
        out: list[EmbeddedPassage | None] = [None] * len(rows)
        for batch in _batches([len(row) for row in rows], self._batch_tokens):
            embedded = await self._run(lambda batch=batch: self._embed_batch([rows[i] for i in batch]))  # type: ignore[misc]
            for i, passage in zip(batch, embedded, strict=True):
                out[i] = passage
        return [passage for passage in out if passage is not None]

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._line.submit(_guarded, work))

    def _embed_query(self, text: str) -> EmbeddedQuery:
        encoding = self._tokenizer.encode(self._folder.query_prefix + text)
        vector, tokens = self._model.embed([self._cut(encoding)])[0]
        return EmbeddedQuery(vector, np.ascontiguousarray(tokens[1:-1]))

    def _embed_batch(self, rows: Sequence[Sequence[int]]) -> list[EmbeddedPassage]:
        embedded = self._model.embed(rows)
        return [EmbeddedPassage(vector, np.packbits(tokens > 0, axis=1)) for vector, tokens in embedded]

    def _rows(self, texts: Sequence[str]) -> list[list[int]]:
        prefix, rows, left = self._folder.passage_prefix, [], iter(texts)
        while some := [prefix + text for text in islice(left, _COUNTED_TOGETHER)]:
            rows += [self._cut(encoding) for encoding in self._tokenizer.encode_batch_fast(some)]
        return rows

    def _cut(self, encoding: Encoding) -> list[int]:
        """The window's worth of ids; the last special token stays last."""
        ids: list[int] = encoding.ids
        return ids if len(ids) <= self.window else [*ids[: self.window - 1], ids[-1]]

    @cached_property
    def _folder(self) -> ModelFolder:
        if self._path is not None:
            return read_folder(self._path)
        return read_folder(package_folder(), PACKAGE_SHA256)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return self._folder.tokenizer()

    @cached_property
    def _model(self) -> _Model:
        """Touched on our thread alone, so it is loaded once."""
        return _loaded(self._folder, self._threads, self._precision, self._device)


def _cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _guarded(work: Callable[[], T]) -> T:
    """Whatever torch or the tokenizer raise, callers see one error."""
    try:
        return work()
    except EmbedderUnavailable:
        raise
    except Exception as error:
        raise EmbedderUnavailable(f"The embedder failed: {error!r}.") from error


def _batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices in batches, longest texts first so that equals share a batch; length x size stays within `batch_tokens`."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    batches: list[list[int]] = []
    for i in order:
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= batch_tokens:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def _loaded(folder: ModelFolder, threads: int, precision: Precision, device: Device) -> _Model:
    import torch
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(threads)
    where = torch.device("cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu")
    bert = AutoModel.from_pretrained(
        folder.path,
        dtype=_dtype(precision, where),
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
    )
    model = _Model(bert.eval().to(where), where, folder.pooling)
    model.embed([[0, 0, 0]])  # the first call of a kernel is slow; no question should pay for it
    return model


def _dtype(precision: Precision, device: "torch.device") -> "torch.dtype":
    """`auto` is what the device computes in: emulated bf16 would be slower than fp32 and less exact."""
    import torch

    if precision != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if _computes_bf16(Path("/proc/cpuinfo")) else torch.float32


def _computes_bf16(cpuinfo: Path) -> bool:
    """Whether the CPU has AMX-BF16 or AVX512-BF16 instructions; elsewhere than on Linux we cannot tell, and say no."""
    try:
        flags = next((line for line in cpuinfo.open(encoding="utf-8") if line.startswith("flags")), "")
    except OSError:
        return False
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(flags.split())
