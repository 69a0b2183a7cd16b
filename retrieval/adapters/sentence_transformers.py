"""all-MiniLM-L6-v2, or any sentence-transformers folder of its kind, run with torch and nothing in between.

One forward pass gives both what dense search needs (the pooled vector) and what late interaction needs (the token
vectors, kept at 1 bit a dimension). transformers and tokenizers are used directly: sentence-transformers would pool the
token vectors away, takes longer to import and wraps each short question in work that costs more than it saves.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from tokenizers import Encoding, Tokenizer

from retrieval.adapters.model_folder import PACKAGED, ModelChoice, ModelFolder
from retrieval.adapters.torch_model import Device, Precision, TorchModel, cores, loaded
from retrieval.errors import EmbedderUnavailable
from retrieval.model import EmbeddedPassage, EmbeddedQuery

T = TypeVar("T")

_WARM_UP_S = 60.0
_COUNTED_TOGETHER = 512  # texts per call of the tokenizer, so that a cancelled ingest is not tokenised to its end


class SentenceTransformersEmbedder:
    """The embedder port over a sentence-transformers folder. Cheap to construct; `load` does the work, once.

    Each thread of our own embeds a batch by itself: batches side by side keep all cores busy and wait for nobody, as
    threads that share a batch would. A question that arrives while passages are embedded waits for the next batch to end,
    not for all. A cancelled caller gives up its place in the line; batches that are running end on their own.
    """

    def __init__(
        self,
        threads: int = 0,
        precision: Precision = "auto",
        device: Device = "auto",
        batch_tokens: int = 2048,
        model: ModelChoice = PACKAGED,
    ) -> None:
        """`threads` 0 is one per core; `batch_tokens` counts word pieces with padding."""
        self._threads = threads or cores()
        self._precision = precision
        self._device = device
        self._batch_tokens = batch_tokens
        self._choice = model
        self._line = ThreadPoolExecutor(self._threads, thread_name_prefix="embedder")
        self._loading = threading.Lock()

    @property
    def name(self) -> str:
        return self._choice.shown

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
        all_here = threading.Barrier(self._threads)
        for warm in [self._line.submit(_guarded, lambda: self._warm(all_here)) for _ in range(self._threads)]:
            warm.result()
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
        batches = iter(_batches([len(row) for row in rows], self._batch_tokens))

        async def embed() -> None:
            for batch in batches:
                embedded = await self._run(lambda batch=batch: self._embed_batch([rows[i] for i in batch]))  # type: ignore[misc]
                for i, passage in zip(batch, embedded, strict=True):
                    out[i] = passage

        await _together([embed() for _ in range(self._threads)])
        return [passage for passage in out if passage is not None]

    def _warm(self, all_here: threading.Barrier) -> None:
        """The first call of a kernel on a thread is slow; no question should pay for it."""
        all_here.wait(_WARM_UP_S)
        self._model.embed([[0, 0, 0]])

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
        return self._choice.read()

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return self._folder.tokenizer()

    @property
    def _model(self) -> TorchModel:
        with self._loading:
            return self._loaded

    @cached_property
    def _loaded(self) -> TorchModel:
        return loaded(self._folder, self._precision, self._device)


async def _together(parts: Sequence[Coroutine[Any, Any, None]]) -> None:
    """All of them; when one fails, or the caller gives up, the others end too."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


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
