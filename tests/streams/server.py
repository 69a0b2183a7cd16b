"""`python -m tests.streams.server STATE`: `grounded serve` on a free port, its embedder a small one.

With --every no answer ends: each says a piece of text in every so many seconds, the time at which it was due and --more
characters. All else is the product: search, checks, filters, encoder, server. With --alone there is no answer behind it either,
only what a stream needs. On SIGUSR1 it says what it holds, as a line of JSON.
"""

import argparse
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
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any
from unittest.mock import patch

from app.commands.serve import serve
from app.pipeline import AnswerPipeline, Question
from app.settings import load
from generation.adapters.extractive import ExtractiveGenerator
from generation.events import AnswerEvent, Progress, Started, TextAdded
from generation.model import Ask, Draft, DraftText
from retrieval.model import Context
from tests.app.serving import fake_embedder

_due: ContextVar[float] = ContextVar("due", default=0.0)
_answered = AnswerPipeline.ask
_dice = random.Random(0)


async def due(every_s: float) -> AsyncGenerator[float, None]:
    """Times, each when it has come."""
    loop = asyncio.get_running_loop()
    at = loop.time() + _dice.random() * every_s
    while True:
        await asyncio.sleep(at - loop.time())
        yield at
        at += every_s


def stamped(more: str) -> Any:
    async def ask(self: AnswerPipeline, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """What the pipeline says, each text replaced by when it was due."""
        async with aclosing(_answered(self, question)) as events:
            async for event in events:
                yield replace(event, text=f"{_due.get():.6f}{more}") if isinstance(event, TextAdded) else event

    return ask


def ticking(every_s: float) -> Any:
    async def draft(_: ExtractiveGenerator, ask: Ask, context: Context) -> AsyncGenerator[Draft, None]:
        del ask, context
        async with aclosing(due(every_s)) as times:
            async for at in times:
                _due.set(at)
                yield DraftText("and so on ")

    return draft


def alone(every_s: float) -> Any:
    async def ask(_: AnswerPipeline, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        id_ = f"ans_{token_hex(12)}"
        yield Started(id_, "t", question.request_id, None, "grounded", "default", "token", datetime.now(UTC))
        yield Progress("generating", 0.0)
        async with aclosing(due(every_s)) as times:
            async for at in times:
                yield TextAdded(f"{at:.6f}")

    return ask


def told() -> None:
    gc.collect()
    held = {"tasks": len(asyncio.all_tasks()), "objects": len(gc.get_objects()) + gc.get_freeze_count()}
    sys.stdout.write(json.dumps(held) + "\n")
    sys.stdout.flush()


async def main(state: Path) -> int:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told)
    return await serve(load(state=state, port=0), None)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("state", type=Path)
    parser.add_argument("--every", type=float)
    parser.add_argument("--more", type=int, default=0)
    parser.add_argument("--alone", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    asked = options()
    with ExitStack() as patches:
        patches.enter_context(fake_embedder())
        if asked.every:
            ask = alone(asked.every) if asked.alone else stamped("." * asked.more)
            patches.enter_context(patch.object(AnswerPipeline, "ask", ask))
            patches.enter_context(patch.object(ExtractiveGenerator, "draft", ticking(asked.every)))
        sys.exit(asyncio.run(main(asked.state)))
