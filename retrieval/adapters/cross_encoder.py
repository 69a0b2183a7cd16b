"""A cross-encoder reads question and passage together: slower than comparing vectors, and usually better.

Any model that sentence-transformers loads as `CrossEncoder`, from a folder or from the local cache of models; nothing is
ever fetched. Only passages are cut to the model's window: a question that lost its end would be another question.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ingest.model import embedded_text
from retrieval.adapters.micro_batches import MicroBatches
from retrieval.adapters.model_folder import found_folder
from retrieval.adapters.torch_model import Device, Precision, cores, device_for, dtype_for
from retrieval.errors import EmbedderUnavailable, RerankerUnavailable
from retrieval.model import EmbeddedQuery, Passage, Ranked

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

T = TypeVar("T")
Pair = tuple[str, str]
_LEAST_ROOM = 16  # tokens; of a passage cut shorter nothing can be told
_NEXT = "Check GROUNDED_RERANKER__MODEL: a folder with a CrossEncoder, or the name of one that was fetched with hf download."


class CrossEncoderReranker:
    """The reranker port over a CrossEncoder. Cheap to construct; `load` does the work, once.

    Pairs of several questions share batches. Equal passages are read once.
    """

    def __init__(
        self,
        model: str,
        threads: int = 0,
        precision: Precision = "auto",
        device: Device = "auto",
        batch_tokens: int = 8192,
        window: int = 0,
    ) -> None:
        """`model` is a folder or a name; `window` 0 is the model's own, counted in its tokens, question and passage."""
        self._name = model
        self._threads = threads or cores()
        self._precision = precision
        self._device = device
        self._window = window
        self._batches: MicroBatches[Pair, float] = MicroBatches(self._scored, batch_tokens, "cross-encoder")
        self._loaded: _Pairs | RerankerUnavailable | None = None

    @property
    def name(self) -> str:
        return Path(self._name).name

    async def load(self) -> None:
        """Load and warm the model; later, nothing. Raises RerankerUnavailable, and then every call does."""
        await self._batches.once(self._model)

    def close(self) -> None:
        """End the thread; what waits in line is dropped."""
        self._batches.close()

    async def rerank(self, query: EmbeddedQuery, text: str, passages: Sequence[Passage]) -> list[Ranked]:
        """Scores as `CrossEncoder.predict` gives them. Raises RerankerUnavailable, also for a question that leaves no room
        for passages in the model's window."""
        del query
        if not passages or not text.strip():
            return [Ranked(passage.id, 0.0) for passage in passages]
        texts = [embedded_text(passage.header, passage.text) for passage in passages]
        unique = list(dict.fromkeys(texts))
        fitted, lengths = await self._batches.once(lambda: _guarded(lambda: self._model().fitted(text, unique)))
        found = await self._batches.results([(text, passage) for passage in fitted], lengths)
        scores = dict(zip(unique, found, strict=True))
        order = sorted(range(len(texts)), key=lambda i: -scores[texts[i]])
        return [Ranked(passages[i].id, scores[texts[i]]) for i in order]

    def _scored(self, pairs: Sequence[Pair]) -> list[float]:
        return _guarded(lambda: self._model().scores(pairs, self._threads))

    def _model(self) -> "_Pairs":
        """Touched on our thread alone, so it is loaded once; a failure is remembered, since a second try costs as much."""
        if self._loaded is None:
            try:
                self._loaded = _guarded(lambda: _load(self._name, self._precision, self._device, self._window))
            except RerankerUnavailable as error:
                self._loaded = error
        if isinstance(self._loaded, RerankerUnavailable):
            raise self._loaded
        return self._loaded


@dataclass(frozen=True, slots=True)
class _Pairs:
    """A loaded model and how pairs are put before it. `packs` is for models that take two texts; others, which read a
    filled-in template, get passages that were cut beforehand."""

    model: "CrossEncoder"
    window: int
    packs: bool

    def fitted(self, question: str, passages: Sequence[str]) -> tuple[list[str], list[int]]:
        """The passages as they are put before the model, and the tokens of each pair. Raises RerankerUnavailable."""
        around = int(self.model.preprocess([(question, "")], prompt=self._prompt)["input_ids"].shape[-1])
        room = self.window - around
        if room < _LEAST_ROOM:
            raise RerankerUnavailable(f"The question leaves no room for passages in a window of {self.window} tokens.")
        tokenizer: Any = self.model.tokenizer
        told = tokenizer(list(passages), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        spans = told["offset_mapping"]
        cut = [text if self.packs else _cut(text, row, room) for text, row in zip(passages, spans, strict=True)]
        return cut, [around + min(len(row), room) for row in spans]

    def scores(self, pairs: Sequence[Pair], threads: int) -> list[float]:
        """As `predict`, for one batch. Raises RerankerUnavailable where a score is no number, as fp16 may give."""
        import torch

        torch.set_num_threads(threads)
        limits: Any = {"text": {"truncation": "only_second", "max_length": self.window}} if self.packs else None
        with torch.inference_mode():
            features = self.model.preprocess(list(pairs), prompt=self._prompt, processing_kwargs=limits)
            on_device = {name: _moved(value, self.model.device) for name, value in features.items()}
            logits = self.model(on_device)["scores"].float()
            activate: Any = self.model.activation_fn
            found = activate(logits).reshape(len(pairs)).cpu().numpy()
        if not np.isfinite(found).all():
            raise RerankerUnavailable("The cross-encoder gave a score that is no number.")
        return [float(score) for score in found]

    @property
    def _prompt(self) -> str | None:
        """What the model wants before its texts, where it says so: `predict` puts it there too."""
        name = self.model.default_prompt_name
        return self.model.prompts.get(name) if name else None


def _cut(text: str, spans: Sequence[tuple[int, int]], room: int) -> str:
    return text if len(spans) <= room else text[: spans[room - 1][1]]


def _moved(value: Any, device: Any) -> Any:
    return value.to(device) if hasattr(value, "to") else value


def _load(name: str, precision: Precision, device: Device, window: int) -> _Pairs:
    """Weights in safetensors alone, no code of the model's own, no network."""
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    where = device_for(device)
    model = CrossEncoder(
        str(found_folder(name)),
        device=str(where),
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": dtype_for(precision, where), "use_safetensors": True},
    )
    model.eval()
    if model.num_labels != 1:
        raise RerankerUnavailable(f"The model gives {model.num_labels} scores a pair; a reranker gives one.", _NEXT)
    pairs = _Pairs(model, _window(model, window), packs="message" not in getattr(model[0], "modality_config", ()))
    pairs.scores([("warm", "up")], 1)  # the first call of a kernel is slow; no question should pay for it
    return pairs


def _window(model: "CrossEncoder", wanted: int) -> int:
    """The smallest of what is told: tokenizers without a limit tell a huge one."""
    positions = getattr(model.config, "max_position_embeddings", None)
    told = [limit for limit in (wanted, model.max_seq_length, positions) if limit]
    return int(min(told))


def _guarded(work: Callable[[], T]) -> T:
    """Whatever torch or transformers raise, callers see one error."""
    try:
        return work()
    except RerankerUnavailable:
        raise
    except EmbedderUnavailable as error:  # the folder was looked up as those of embedders are
        raise RerankerUnavailable(error.message, _NEXT) from error
    except Exception as error:
        raise RerankerUnavailable(f"The cross-encoder failed: {type(error).__name__}.", _NEXT) from error
