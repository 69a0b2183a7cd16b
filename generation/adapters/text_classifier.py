"""Moderation by a text-classification model in a folder: nothing is fetched, no code of the model's own is run.

A text that is longer than the model's window is read in windows, and the worst of them counts.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation.errors import ModerationUnavailable
from generation.moderation import Categories

_MOST_WINDOWS = 64  # of one text; more than a question or an answer can have
_LONGEST_WINDOW = 512  # tokens; some tokenizers tell a limit beyond all measure
_OVERLAP = 32  # tokens that two windows share, so that nothing hides where one ends


@dataclass(frozen=True, slots=True)
class _Loaded:
    """`columns` are those of the labels that block; `several` says that a text may have several labels at once."""

    model: Any
    tokenizer: Any
    columns: dict[str, int]
    several: bool
    window: int


class TextClassifier:
    """The moderator port over a folder as transformers saves it. Loaded at the first look, on a thread of its own."""

    def __init__(
        self, folder: Path, labels: Sequence[str], threshold: float = 0.5, timeout_s: float = 2.0, threads: int = 1
    ) -> None:
        """`labels` are those that block, as the model's configuration names them."""
        self._folder = folder
        self._labels = tuple(labels)
        self._threshold = threshold
        self._timeout_s = timeout_s
        self._threads = threads
        self._loaded: _Loaded | ModerationUnavailable | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="moderation")

    async def aclose(self) -> None:
        """End the thread; what waits in line is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def load(self) -> None:
        """Load the model; later, nothing. Raises ModerationUnavailable, and then every look does."""
        await self._on_thread(self._model)

    async def look(self, texts: Sequence[str]) -> list[Categories]:
        """See Moderator. Loading is no part of the time limit."""
        await self.load()
        try:
            async with asyncio.timeout(self._timeout_s):
                found: list[Categories] = await self._on_thread(lambda: [self._blocking(text) for text in texts])
                return found
        except TimeoutError:
            raise ModerationUnavailable("The moderation classifier took too long.") from None

    async def _on_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _model(self) -> _Loaded:
        """Touched on our thread alone; a failure is remembered, since a second try costs as much."""
        if self._loaded is None:
            try:
                self._loaded = _load(self._folder, self._labels)
            except ModerationUnavailable as error:
                self._loaded = error
        if isinstance(self._loaded, ModerationUnavailable):
            raise self._loaded
        return self._loaded

    def _blocking(self, text: str) -> Categories:
        import torch

        loaded = self._model()
        torch.set_num_threads(self._threads)
        windows = loaded.tokenizer(
            text,
            truncation=True,
            max_length=loaded.window,
            stride=min(_OVERLAP, loaded.window // 4),
            return_overflowing_tokens=True,
            padding=True,
            return_tensors="pt",
        )
        count = len(windows["input_ids"])
        if count > _MOST_WINDOWS:
            raise ModerationUnavailable("The text is too long for the moderation classifier.")
        inputs = {name: windows[name] for name in loaded.tokenizer.model_input_names if name in windows}
        with torch.inference_mode():
            logits = loaded.model(**inputs).logits.float()
        scores = (torch.sigmoid(logits) if loaded.several else torch.softmax(logits, dim=-1)).amax(dim=0)
        if not bool(torch.isfinite(scores).all()):
            raise ModerationUnavailable("The moderation classifier gave a score that is no number.")
        return tuple(label for label, at in loaded.columns.items() if float(scores[at]) >= self._threshold)


def _load(folder: Path, labels: Sequence[str]) -> _Loaded:
    """Weights in safetensors alone. Raises ModerationUnavailable."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        model: Any = AutoModelForSequenceClassification.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError):
        raise ModerationUnavailable(
            "The moderation classifier cannot be loaded.",
            "Check GROUNDED_MODERATION__MODEL: a folder with config.json, tokenizer and model.safetensors.",
        ) from None
    model.eval()
    known = {name: int(number) for name, number in model.config.label2id.items()}
    if unknown := [label for label in labels if label not in known]:
        raise ModerationUnavailable(
            f"The moderation classifier has no label {unknown[0]!r}.",
            f"Take moderation.labels from {', '.join(sorted(known))}.",
        )
    several = model.config.problem_type == "multi_label_classification" or len(known) == 1
    window = min(int(tokenizer.model_max_length), _LONGEST_WINDOW, int(model.config.max_position_embeddings))
    return _Loaded(model, tokenizer, {label: known[label] for label in labels}, several, window)
