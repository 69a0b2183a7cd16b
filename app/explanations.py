"""Why an answer got its passages, kept for a while after it was given: as ids and numbers, never as text.

What is deleted is deleted here as well, since there is nothing of it to delete: whoever looks at an explanation gets the
names of documents read again from the catalog, at that moment and with the rights that they have then.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog

from app.keys.model import LOCAL, Principal
from ingest.errors import GroundedError
from retrieval.model import Explanation

_log = structlog.get_logger()
_MOST_WAITING = 256  # where the disk does not keep up, the newest are not kept
_TOGETHER_S = 0.25  # those of so long a time are written in one commit, which costs as much for one as for many


@dataclass(frozen=True, slots=True)
class AnswerExplanation:
    """An answer's explanation with how the answer ended. `rewritten`: something else was searched than was asked;
    `narrowed`: with filters. `cost_nano_usd` counts 1e-9 USD. `routing` says how the tier was chosen, with the features of
    question and context and every attempt; None where there was nothing to choose. `dossier` is what the checks, the policy and
    the filters did: verdicts, scores and the places of sentences and quotes."""

    answer_id: str
    collection_id: str
    created_at: datetime
    search: Explanation
    finish_reason: str
    model: str
    prompt_version: str | None
    cost_nano_usd: int
    rewritten: bool
    narrowed: bool
    tier: str | None = None
    routing: Mapping[str, Any] | None = None
    dossier: Mapping[str, Any] | None = None
    cache: str | None = None  # where the answer came from: miss, exact, semantic; None before there was a cache
    owner: Principal = LOCAL


class ExplanationStore(Protocol):
    """Where explanations are kept. Every call is one transaction."""

    async def keep(self, explanations: Sequence[AnswerExplanation], most: int, since: datetime) -> None:
        """Keep these too, and forget all but the newest `most`, and those from before `since`."""
        ...

    async def find(self, answer_id: str) -> AnswerExplanation | None:
        """The explanation without the texts of question and filters, or None."""
        ...


class Explanations:
    """Writes explanations behind the answers' backs: no answer waits for the disk. One that a crash takes is lost."""

    def __init__(self, store: ExplanationStore, most: int, keep_days: int) -> None:
        """With `most` 0 none is kept."""
        self._store = store
        self._most = most
        self._keep = timedelta(days=keep_days)
        self._waiting: dict[str, AnswerExplanation] = {}
        self._writing: asyncio.Task[None] | None = None
        self._now = asyncio.Event()  # nothing more is waited for

    def add(self, explanation: AnswerExplanation) -> None:
        """Keep it, soon."""
        if self._most == 0 or len(self._waiting) >= _MOST_WAITING:
            return
        self._waiting[explanation.answer_id] = explanation
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def find(self, answer_id: str) -> AnswerExplanation | None:
        """Also one that is not yet on disk."""
        return self._waiting.get(answer_id) or await self._store.find(answer_id)

    async def prune(self) -> None:
        """Forget those that are too old or too many by the settings of today."""
        await self._store.keep((), self._most, datetime.now(UTC) - self._keep)

    async def close(self) -> None:
        """Write what waits."""
        if self._writing is not None:
            self._now.set()
            await self._writing
            self._now.clear()

    async def _write(self) -> None:
        while self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(_TOGETHER_S):
                    await self._now.wait()
            batch = list(self._waiting.values())
            try:
                await self._store.keep(batch, self._most, datetime.now(UTC) - self._keep)
            except GroundedError as error:
                _log.warning("explanations.not_kept", code=error.code, cause=error.message)
            for kept in batch:
                self._waiting.pop(kept.answer_id, None)
