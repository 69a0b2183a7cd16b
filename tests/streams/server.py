"""`python -m tests.streams.server STATE [EVERY_S [MORE]]`: `grounded serve` on a free port, its embedder a small one.

With EVERY_S no answer ends: each says a piece of text in every so many seconds, the time at which it was due, and so many
MORE characters.
All else is the product: search, checks, filters, encoder, server. On SIGUSR1 it says what it holds, as a line of JSON.
"""

import asyncio
import gc
import json
import random
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from app.commands.serve import serve
from app.pipeline import AnswerPipeline, Question
from app.settings import load
from generation.adapters.extractive import ExtractiveGenerator
from generation.events import AnswerEvent, TextAdded
from generation.model import Ask, Draft, DraftText
from retrieval.model import Context
from tests.app.serving import fake_embedder

_due: ContextVar[float] = ContextVar("due", default=0.0)
_answered = AnswerPipeline.ask
_MORE = "." * int(sys.argv[3] if len(sys.argv) > 3 else 0)


async def stamped(self: AnswerPipeline, question: Question) -> AsyncGenerator[AnswerEvent, None]:
    """What the pipeline says, each text replaced by when it was due."""
    async with aclosing(_answered(self, question)) as events:
        async for event in events:
            yield replace(event, text=f"{_due.get():.6f}{_MORE}") if isinstance(event, TextAdded) else event


def ticking(every_s: float) -> Any:
    dice = random.Random(0)

    async def draft(_: ExtractiveGenerator, ask: Ask, context: Context) -> AsyncGenerator[Draft, None]:
        del ask, context
        loop = asyncio.get_running_loop()
        due = loop.time() + dice.random() * every_s
        while True:
            await asyncio.sleep(due - loop.time())
            _due.set(due)
            yield DraftText("and so on ")
            due += every_s

    return draft


def told() -> None:
    gc.collect()
    held = {"tasks": len(asyncio.all_tasks()), "objects": len(gc.get_objects())}
    sys.stdout.write(json.dumps(held) + "\n")
    sys.stdout.flush()


async def main() -> int:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told)
    return await serve(load(state=Path(sys.argv[1]), port=0), None)


if __name__ == "__main__":
    with ExitStack() as patches:
        patches.enter_context(fake_embedder())
        if len(sys.argv) > 2:
            patches.enter_context(patch.object(AnswerPipeline, "ask", stamped))
            patches.enter_context(patch.object(ExtractiveGenerator, "draft", ticking(float(sys.argv[2]))))
        sys.exit(asyncio.run(main()))
