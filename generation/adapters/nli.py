"""Natural language inference as the verifier: does a passage entail a sentence, contradict it, or neither?

Any model with these three labels that sentence-transformers loads as `CrossEncoder`, from a folder; nothing is ever fetched and
no code of the model's own is run. The order of the labels is read from its configuration. A passage that is longer than the
model's window is read in windows of whole sentences; the sentence that is judged is never cut.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from generation.errors import GenerationError, VerifierUnavailable
from generation.model import Quote, Usage
from generation.ports import UNCHECKED, Judged, Verdict
from generation.verification.evidence import Statement, statements
from ingest.errors import GroundedError
from ingest.model import embedded_text
from retrieval.model import Context, Passage

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

T = TypeVar("T")
_BATCH = 8  # windows that are read together
_LEAST_ROOM = 16  # tokens; of a passage cut shorter nothing can be told
_ENTAILS, _CONTRADICTS, _NEUTRAL = "entail", "contradict", "neutral"  # what the names of the three labels begin with
_PARTIAL = 0.5  # from where on it is likelier than not that a passage says so
_NEXT = "Check GROUNDED_GENERATION__NLI_MODEL: a CrossEncoder whose labels are entailment, neutral and contradiction."


@dataclass(frozen=True, slots=True)
class Window:
    """Statements of passage `n` that stand one behind the other, as the model reads them."""

    n: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Inferred:
    """The probabilities of a window; the rest of 1 is that it says neither."""

    window: Window
    entails: float
    contradicts: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model, the columns of its labels, and the tokens of sentence and window together."""

    model: "CrossEncoder"
    entails: int
    contradicts: int
    window: int

    def windows(self, text: str, numbered: Sequence[tuple[int, Passage]]) -> list[Window]:
        """Of all passages; none for a sentence that leaves no room for them."""
        around = int(self.model.preprocess([("", text)])["input_ids"].shape[-1])
        if self.window - around < _LEAST_ROOM:
            return []
        return [window for n, passage in numbered for window in self._of(n, passage, self.window - around)]

    def _of(self, n: int, passage: Passage, room: int) -> Iterator[Window]:
        own = statements([(n, passage)])
        sizes = self._sizes([passage.header, *(statement.text for statement in own)])
        header, room = (passage.header, room - sizes[0]) if sizes[0] <= room // 2 else ("", room)
        for group in packed(sizes[1:], room):
            yield _window(n, passage, [own[i] for i in group], header)

    def _sizes(self, texts: Sequence[str]) -> list[int]:
        tokenizer: Any = self.model.tokenizer
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, float]]:
        """How likely each premise entails and contradicts what stands behind it; premises alone are cut."""
        import torch

        limits: Any = {"text": {"truncation": "only_first", "max_length": self.window}}
        with torch.inference_mode():
            features = self.model.preprocess(list(pairs), processing_kwargs=limits)
            moved = {name: v.to(self.model.device) if hasattr(v, "to") else v for name, v in features.items()}
            found = torch.softmax(self.model(moved)["scores"].float(), dim=-1).cpu().numpy()
        if not bool((found >= 0).all()):  # what is no number is not
            raise VerifierUnavailable("The model of inference gave a score that is no number.", _NEXT)
        return [(float(row[self.entails]), float(row[self.contradicts])) for row in found]


class NliJudge:
    """The judging model over a CrossEncoder with three classes. Loaded at the first judgement, on a thread of its own."""

    def __init__(
        self,
        model: str,
        folder: Callable[[], Path],
        supported: float = 0.9,
        threads: int = 1,
        on_failure: Callable[[GenerationError], None] | None = None,
    ) -> None:
        """`model` is its name for people; `folder` finds it, and may raise a GroundedError. From `supported` on an entailment
        is a support. `on_failure` is told once if the model cannot be loaded, on our thread."""
        self._name = model
        self._folder = folder
        self._supported = supported
        self._threads = threads
        self._on_failure = on_failure
        self._loaded: Loaded | VerifierUnavailable | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nli")

    @property
    def name(self) -> str:
        return Path(self._name).name

    def close(self) -> None:
        """End the thread; what waits in line is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def begin(self) -> None:
        """Load the model, without waiting for it."""
        if self._loaded is None:
            with suppress(RuntimeError):  # we are closed
                self._thread.submit(self._model)

    async def load(self) -> None:
        """Load the model; later, nothing. Raises VerifierUnavailable, and then every judgement does."""
        await self._on_thread(self._model)

    async def judge(
        self, text: str, numbers: Sequence[int], context: Context, timeout_s: float
    ) -> tuple[Judged, Usage]:
        """See JudgingModel. Loading is no part of the time limit. Raises VerifierUnavailable."""
        if not any(c.isalnum() for c in text):
            return UNCHECKED, Usage()
        await self.load()
        numbered = [(n, context.passages[n - 1]) for n in numbers]
        over = threading.Event()
        work = self._on_thread(lambda: self._read(text, numbered, over))
        try:
            async with asyncio.timeout(timeout_s):
                return verdict(await work, self._supported), Usage()
        except TimeoutError:
            raise VerifierUnavailable("The model of inference took too long.") from None
        finally:
            over.set()  # also where the caller has left: the thread goes on to others after this batch

    def _on_thread(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        try:
            return asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError:
            raise VerifierUnavailable("The model of inference is closed.") from None

    def _read(self, text: str, numbered: Sequence[tuple[int, Passage]], over: threading.Event) -> list[Inferred]:
        import torch

        torch.set_num_threads(self._threads)
        loaded = self._model()
        windows = _guarded(lambda: loaded.windows(text, numbered))
        found: list[Inferred] = []
        for start in range(0, len(windows), _BATCH):
            if over.is_set():
                break
            part = windows[start : start + _BATCH]
            read = _guarded(lambda part=part: loaded.read([(window.text, text) for window in part]))  # type: ignore[misc]
            found += [Inferred(window, *told) for window, told in zip(part, read, strict=True)]
        return found

    def _model(self) -> Loaded:
        """Touched on our thread alone; a failure is remembered, since a second try costs as much."""
        if self._loaded is None:
            try:
                self._loaded = _guarded(lambda: _load(self._folder()))
            except VerifierUnavailable as error:
                self._loaded = error
                if self._on_failure is not None:
                    self._on_failure(error)
        if isinstance(self._loaded, VerifierUnavailable):
            raise self._loaded
        return self._loaded


def packed(sizes: Sequence[int], room: int) -> list[list[int]]:
    """Which statements are read together: as many as there is room for, and each window begins with the last one of the window
    before, since what a sentence says often hangs on the one before it. A statement that is too long stands alone."""
    groups: list[list[int]] = []
    at = 0
    while at < len(sizes):
        group = [at]
        while group[-1] + 1 < len(sizes) and sum(sizes[i] for i in group) + sizes[group[-1] + 1] <= room:
            group.append(group[-1] + 1)
        groups.append(group)
        if group[-1] + 1 == len(sizes):
            break
        at = group[-1] if len(group) > 1 else group[-1] + 1
    return groups


def verdict(found: Sequence[Inferred], supported: float) -> Judged:
    """By the window that entails most; the contradiction is that of the window that has most to say of the sentence at all,
    since among many windows some that is about something else seems to contradict anything."""
    if not found:
        return UNCHECKED
    best = max(found, key=lambda one: one.entails)
    told = max(found, key=lambda one: one.entails + one.contradicts)
    said: Verdict = (
        "supported" if best.entails >= supported else "partial" if best.entails >= _PARTIAL else "unsupported"
    )
    evidence = (Quote(best.window.n, best.window.start, best.window.end),) if said != "unsupported" else ()
    return Judged(said, best.entails, told.contradicts, evidence)


def _window(n: int, passage: Passage, group: Sequence[Statement], header: str) -> Window:
    start, end = group[0].start, group[-1].end
    return Window(n, start, end, embedded_text(header, passage.text[start:end]))


def _load(folder: Path) -> Loaded:
    """Weights in safetensors alone, no code of the model's own, no network."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    cuda = torch.cuda.is_available()
    model = CrossEncoder(
        str(folder),
        device="cuda" if cuda else "cpu",
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": torch.float16 if cuda else torch.float32, "use_safetensors": True},
    )
    model.eval()
    names = {int(column): str(name).casefold() for column, name in model.config.id2label.items()}
    columns = {
        kind: [c for c, name in names.items() if name.startswith(kind)] for kind in (_ENTAILS, _CONTRADICTS, _NEUTRAL)
    }
    if len(names) != len(columns) or any(len(found) != 1 for found in columns.values()):
        raise VerifierUnavailable(f"The model's labels are {', '.join(names.values())}.", _NEXT)
    loaded = Loaded(model, columns[_ENTAILS][0], columns[_CONTRADICTS][0], _limit(model))
    loaded.read([("warm", "up")])  # the first call of a kernel is slow; no sentence should pay for it
    return loaded


def _limit(model: "CrossEncoder") -> int:
    """The smaller of what is told: tokenizers without a limit tell a huge one."""
    told = (model.max_seq_length, getattr(model.config, "max_position_embeddings", None))
    return int(min(limit for limit in told if limit))


def _guarded(work: Callable[[], T]) -> T:
    """Whatever torch or transformers raise, callers see one error."""
    try:
        return work()
    except VerifierUnavailable:
        raise
    except GroundedError as error:  # the folder was looked up as those of embedders are
        raise VerifierUnavailable(error.message, _NEXT) from error
    except Exception as error:
        raise VerifierUnavailable(f"The model of inference failed: {type(error).__name__}.", _NEXT) from error
