"""Every recorded stream cut at every byte: what is cut is never told as whole, and what is whole is told."""

import asyncio
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from generation.adapters.chat_stream import EventData, Reply
from generation.adapters.openai_chat import OpenAIChatGenerator
from generation.errors import UpstreamTruncated
from generation.model import Ask, DraftEnd, DraftText
from tests.passages import context
from tests.scripted_upstream import HEAD, listening
from tests.upstream.recordings import RECORDINGS, Recording

CONTEXT = context("Refunds are issued within 14 days.", "Shipping is free.")
_CASE = re.compile(r"Case (\d+) cut at (\d+)")
_WORKERS = 8


def cases(step: int = 1) -> Iterator[tuple[int, int]]:
    """(recording, bytes that are sent); the bytes around the end marker are never left out."""
    for number, recording in enumerate(RECORDINGS):
        size = len(recording.body)
        near = range(max(0, recording.whole - 16), size + 1)
        yield from ((number, cut) for cut in sorted({*range(0, size, step), *near}))


def parsed(recording: Recording, cut: int, size: int) -> str | None:
    """What the reader of streams makes of it in pieces of `size` bytes; None where it is not complete."""
    events, said, text = EventData(), Reply(), []
    body = recording.body[:cut]
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    try:
        text += [said.read(data)[0] for data in chain.from_iterable(map(events.feed, pieces))]
        text += [said.read(data)[0] for data in events.close()]
        said.check_complete()
    except UpstreamTruncated:
        return None
    return "".join(text)


def sweep(n: int, _seed: int) -> dict[str, Any]:
    """Over real sockets, every `n`th byte."""
    return asyncio.run(over_sockets(cases(max(1, n))))


async def over_sockets(asked: Iterable[tuple[int, int]]) -> dict[str, Any]:
    """Counts, and what went wrong."""
    waiting, wrong, counts = iter(asked), list[str](), {"complete": 0, "truncated": 0}

    async with listening(_serve) as url:
        generator = OpenAIChatGenerator(base_url=url, model="m")

        async def work() -> None:
            for number, cut in waiting:
                outcome = await _outcome(generator, number, cut)
                counts["truncated" if outcome == "truncated" else "complete"] += 1
                if outcome != _due(RECORDINGS[number], cut):
                    wrong.append(f"{RECORDINGS[number].name} cut at {cut}: {outcome}")

        await asyncio.gather(*(work() for _ in range(_WORKERS)))
        await generator.aclose()
    shown = sum("truncated" not in line for line in wrong)
    return {"recordings": len(RECORDINGS), "cuts": sum(counts.values()), **counts, "shown": shown, "wrong": wrong}


async def _outcome(generator: OpenAIChatGenerator, number: int, cut: int) -> str:
    said, finish = "", ""
    try:
        async for piece in generator.draft(Ask(f"Case {number} cut at {cut}"), CONTEXT):
            if isinstance(piece, DraftText):
                said += piece.text
            elif isinstance(piece, DraftEnd):
                finish = piece.abstained or piece.finish_reason
    except UpstreamTruncated:
        return "truncated"
    return f"{finish}: {said.strip()}"


def _due(recording: Recording, cut: int) -> str:
    if cut < recording.whole:
        return "truncated"
    return "not_in_passages: " if recording.text is None else f"{recording.finish}: {recording.text}"


async def _serve(body: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    found = _CASE.search(body.decode())
    assert found
    recording, cut = RECORDINGS[int(found[1])], int(found[2])
    writer.write(HEAD + recording.body[:cut])
    await writer.drain()
