"""`python -m tests.upstream.talker [THINK_S PAUSE_S]`: a model endpoint as a process of its own, always as fast and right.

It prints its port, thinks for a while, says its words one by one, and keeps its connections, as servers of models do. With
no pause at all it says what it has to say at once, as soon as it is asked.
"""

import asyncio
import contextlib
import re
import sys
from functools import partial

from tests.scripted_upstream import DONE, chunk, usage

THINK_S, PAUSE_S = 0.05, 0.01  # to the first word, and between words, unless the command line says otherwise
_SENTENCE = "Refunds are issued within fourteen days of the order, by the way that it was paid for. [1]"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)")


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, think_s: float, pause_s: float) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
            if b"/chat/completions " in head:
                await _say(writer, think_s, pause_s)
            else:
                writer.write(_NOT_FOUND)
    writer.close()


async def _say(writer: asyncio.StreamWriter, think_s: float, pause_s: float) -> None:
    writer.write(_HEAD + _part(chunk("")))
    await asyncio.sleep(think_s)
    for word in _WORDS:
        writer.write(word)
        if pause_s:
            await writer.drain()
            await asyncio.sleep(pause_s)
    writer.write(_part(chunk(finish="stop") + usage() + DONE) + b"0\r\n\r\n")
    await writer.drain()


def _part(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


_WORDS = [_part(chunk(word)) for word in re.findall(r" ?\S+", _SENTENCE)]


async def _main(think_s: float = THINK_S, pause_s: float = PAUSE_S) -> None:
    serve = partial(_serve, think_s=think_s, pause_s=pause_s)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(*map(float, sys.argv[1:])))
