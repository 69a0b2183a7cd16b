"""all-MiniLM-L6-v2, or any sentence-transformers folder of its kind, run with torch and nothing in between.

One forward pass gives both what dense search needs (the pooled vector) and what late interaction needs (the token
vectors, kept at 1 bit a dimension). transformers and tokenizers are used directly: sentence-transformers would pool the
token vectors away, takes longer to import and wraps each short question in work that costs more than it saves.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from itertools import islice
from typing import TypeVar

import numpy as np
from tokenizers import Encoding, Tokenizer

from retrieval.adapters.kept_tokens import Ids, KeptTokens
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
    threads that share a batch would. Batches stand in one line, first come, first served, so that no core is idle between
    one caller and the next. Questions have threads to themselves: one that arrives while passages are embedded shares the
    cores with the batches that are running and waits for none. A cancelled caller gives up its places in the line; batches
    that are running end on their own.
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
        self._questions = ThreadPoolExecutor(self._threads, thread_name_prefix="questions")
        self._passages = ThreadPoolExecutor(self._threads, thread_name_prefix="passages")
        self._loading = threading.Lock()
        self._kept = KeptTokens()

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
        self._questions.submit(_guarded, lambda: self._model).result()
        all_here = threading.Barrier(2 * self._threads)
        lines = [line for line in (self._questions, self._passages) for _ in range(self._threads)]
        for warm in [line.submit(_guarded, lambda: self._warm(all_here)) for line in lines]:
            warm.result()
        return self

    def close(self) -> None:
        """End the threads; what waits in line is dropped."""
        for line in (self._questions, self._passages):
            line.shutdown(wait=True, cancel_futures=True)

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(e.ids) for e in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def count_passages(self, texts: Sequence[str]) -> list[int]:
        """As `count`, of texts that are about to be embedded: they are not read into tokens again for that."""
        if self._folder.passage_prefix:
            return self.count(texts)
        rows = [_ids(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        self._kept.keep((text, row) for text, row in zip(texts, rows, strict=True) if len(row) <= self.window)
        return [len(row) - self._special for row in rows]

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Of each text, where the tokens stand whose vectors `embed_passages` gives: one half-open span per row of bits,
        (0, 0) for special tokens."""
        prefix = self._folder.passage_prefix
        spans = [encoding.offsets for encoding in self._tokenizer.encode_batch([prefix + text for text in texts])]
        cut = [all_ if len(all_) <= self.window else [*all_[: self.window - 1], all_[-1]] for all_ in spans]
        return [[(max(a - len(prefix), 0), max(b - len(prefix), 0)) for a, b in row] for row in cut]

    async def embed_query(self, text: str) -> EmbeddedQuery:
        return await asyncio.wrap_future(self._questions.submit(_guarded, lambda: self._embed_query(text)))

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        rows = await asyncio.to_thread(_guarded, lambda: self._rows(texts))
        batches = _batches([len(row) for row in rows], self._batch_tokens)
        embedded = await self._together([partial(self._embed_batch, [rows[i] for i in batch]) for batch in batches])
        by_row = {
            i: one for batch, found in zip(batches, embedded, strict=True) for i, one in zip(batch, found, strict=True)
        }
        return [by_row[i] for i in range(len(rows))]

    async def _together(self, work: Sequence[Callable[[], T]]) -> list[T]:
        """All of them; when one fails, or the caller gives up, those still in line are dropped."""
        waiting = [asyncio.wrap_future(self._passages.submit(_guarded, one)) for one in work]
        try:
            return await asyncio.gather(*waiting)
        finally:
            for one in waiting:
                one.cancel()

    def _warm(self, all_here: threading.Barrier) -> None:
        """The first call of a kernel on a thread is slow; no question should pay for it."""
        all_here.wait(_WARM_UP_S)
        self._model.embed([[0, 0, 0]])

    def _embed_query(self, text: str) -> EmbeddedQuery:
        encoding = self._tokenizer.encode(self._folder.query_prefix + text)
        vector, tokens = self._model.embed([self._cut(encoding)])[0]
        return EmbeddedQuery(vector, np.ascontiguousarray(tokens[1:-1]))

    def _embed_batch(self, rows: Sequence[Ids]) -> list[EmbeddedPassage]:
        embedded = self._model.embed(rows)
        return [EmbeddedPassage(vector, np.packbits(tokens > 0, axis=1)) for vector, tokens in embedded]

    def _rows(self, texts: Sequence[str]) -> list[Ids]:
        known = self._kept.take(texts)
        left = iter(dict.fromkeys(text for text in texts if text not in known))
        while some := list(islice(left, _COUNTED_TOGETHER)):
            prefixed = [self._folder.passage_prefix + text for text in some]
            known |= zip(some, map(self._cut, self._tokenizer.encode_batch_fast(prefixed)), strict=True)
        return [known[text] for text in texts]

    def _cut(self, encoding: Encoding) -> Ids:
        """The window's worth of ids; the last special token stays last."""
        ids = _ids(encoding)
        return ids if len(ids) <= self.window else np.append(ids[: self.window - 1], ids[-1])

    @cached_property
    def _special(self) -> int:
        return int(self._tokenizer.num_special_tokens_to_add(is_pair=False))

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


def _ids(encoding: Encoding) -> Ids:
    return np.array(encoding.ids, dtype=np.int64)


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
