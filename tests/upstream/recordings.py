"""Twenty whole answers as four kinds of endpoints stream them: the frames, the fields and the habits of each."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

END = b"data: [DONE]"
_USAGE = {"prompt_tokens": 120, "completion_tokens": 9, "total_tokens": 129}


@dataclass(frozen=True)
class Recording:
    """`body` is what follows the headers. From `whole` bytes on it is complete, and then it says `text`; None stands for
    an abstention."""

    name: str
    body: bytes
    text: str | None
    finish: str = "stop"

    @property
    def whole(self) -> int:
        return self.body.index(END) + len(END)


def _frame(payload: dict[str, Any], *, ascii_only: bool = False, line_end: str = "\n") -> bytes:
    body = json.dumps(payload, ensure_ascii=ascii_only, separators=(",", ":"))
    return f"data: {body}{line_end}{line_end}".encode()


def openai(texts: Sequence[str], finish: str = "stop") -> list[bytes]:
    """`usage` is null on all chunks but one of its own; `obfuscation` pads them to one length."""
    head = {"id": "chatcmpl-B9MBs8Cj", "object": "chat.completion.chunk", "created": 1741569952}
    head |= {"model": "gpt-4.1-mini-2025-04-14", "service_tier": "default", "system_fingerprint": "fp_b376dfbbd5"}

    def frame(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _frame(head | {"choices": [choice], "usage": None, "obfuscation": "pQ3x"})

    details = {"prompt_tokens_details": {"cached_tokens": 100, "audio_tokens": 0}}
    return [
        frame({"role": "assistant", "content": "", "refusal": None}),
        *(frame({"content": text}) for text in texts),
        frame({}, finish),
        _frame(head | {"choices": [], "usage": _USAGE | details, "obfuscation": ""}),
    ]


def vllm(texts: Sequence[str], finish: str = "stop") -> list[bytes]:
    """The finish comes with an empty text and a `stop_reason`; `usage` stands alone; all of it escaped to ASCII."""
    head = {"id": "chatcmpl-8f1c", "object": "chat.completion.chunk", "created": 1741569952, "model": "m"}

    def frame(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason, **more}
        return _frame(head | {"choices": [choice]}, ascii_only=True)

    return [
        frame({"role": "assistant", "content": ""}),
        *(frame({"content": text}, token_ids=None) for text in texts),
        frame({"content": ""}, finish, stop_reason=None),
        _frame(head | {"choices": [], "usage": _USAGE | {"prompt_tokens_details": None}}),
    ]


def ollama(texts: Sequence[str], finish: str = "stop") -> list[bytes]:
    """Every delta names its role."""
    head = {"id": "chatcmpl-815", "object": "chat.completion.chunk", "created": 1741569952}
    head |= {"model": "llama3.2", "system_fingerprint": "fp_ollama"}

    def frame(text: str, reason: str | None = None) -> bytes:
        delta = {"role": "assistant", "content": text}
        return _frame(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

    usage = _frame(head | {"choices": [], "usage": _USAGE})
    return [*(frame(text) for text in texts), frame("", finish), usage]


def llama_cpp(texts: Sequence[str], finish: str = "stop") -> list[bytes]:
    """The first content is null, choices come first, and the last chunk has timings."""
    tail = {"created": 1741569952, "id": "chatcmpl-Xq2", "model": "m.gguf", "system_fingerprint": "b6527-1a2b"}
    tail |= {"object": "chat.completion.chunk"}

    def frame(delta: dict[str, Any], reason: str | None = None) -> bytes:
        return _frame({"choices": [{"finish_reason": reason, "index": 0, "delta": delta}]} | tail)

    timings = {"prompt_n": 120, "prompt_ms": 35.1, "predicted_n": 9, "predicted_ms": 61.8}
    return [
        frame({"role": "assistant", "content": None}),
        *(frame({"content": text}) for text in texts),
        frame({}, finish),
        _frame({"choices": [], "usage": _USAGE, "timings": timings} | tail),
    ]


_DIALECTS = {"openai": openai, "vllm": vllm, "ollama": ollama, "llama_cpp": llama_cpp}
_PLAIN = ["Refunds", " take 14", " days [", "1]."]
_WIDE = ["Grüße 👋", " nach Köln [", "2].", " 退款", "需要14天 [1]."]
_LISTS = ["- Refunds: 14 days [1]\n", "- Shipping", " is free [2]\n\n", "That is all."]


def _thinking(name: str, frames: list[bytes]) -> list[bytes]:
    """Some models think aloud first, in a field of their own."""
    field = "reasoning" if name == "ollama" else "reasoning_content"
    delta = {"role": "assistant", field: "The passage says 14."}
    return [_frame({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}), *frames]


def _between(frames: list[bytes], filler: bytes) -> bytes:
    return b"".join(filler + frame for frame in frames)


def _made() -> list[Recording]:
    found: list[Recording] = []
    for name, dialect in _DIALECTS.items():
        add = partial(Recording, finish="stop")
        plain, wide = dialect(_PLAIN), dialect(_WIDE)
        end = END + b"\n\n"
        found += [
            add(f"{name}-plain", b"".join(plain) + end, "Refunds take 14 days."),
            add(f"{name}-wide", b"".join(wide) + end, "Grüße 👋 nach Köln. 退款需要14天."),
            add(f"{name}-thinking", b"".join(_thinking(name, plain)) + end, "Refunds take 14 days."),
            add(f"{name}-declines", b"".join(dialect(["NOT_IN", "_SOURCES"])) + end, None),
        ]
    comments = _between(openai(_LISTS), b": OPENROUTER PROCESSING\n\n") + END + b"\n\n"
    lines = b"".join(vllm(_LISTS)).replace(b"\n", b"\r\n") + END + b"\r\n\r\n"
    said = "- Refunds: 14 days\n- Shipping is free\n\nThat is all."
    found += [
        Recording("openai-comments", comments, said),
        Recording("vllm-crlf", lines, said),
        Recording("ollama-length", b"".join(ollama(["Half a sen"], "length")) + END + b"\n\n", "Half a sen", "length"),
        Recording(
            "llama_cpp-events", _between(llama_cpp(_PLAIN), b"event: message\nid: 7\n") + END, "Refunds take 14 days."
        ),
    ]
    return found


RECORDINGS: tuple[Recording, ...] = tuple(_made())
