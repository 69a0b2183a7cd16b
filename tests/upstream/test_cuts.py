"""A cut at every byte of twenty recorded streams."""

import asyncio

import pytest

from tests.upstream.cuts import cases, over_sockets, parsed
from tests.upstream.recordings import RECORDINGS, Recording


def test_there_are_twenty_of_four_kinds() -> None:
    assert len({recording.name for recording in RECORDINGS}) == 20
    assert {recording.name.partition("-")[0] for recording in RECORDINGS} == {"openai", "vllm", "ollama", "llama_cpp"}
    assert sum(len(recording.body) for recording in RECORDINGS) > 20_000


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_read_without_a_socket_it_is_whole_from_one_byte_on(recording: Recording) -> None:
    for cut in range(len(recording.body) + 1):
        found = parsed(recording, cut, 61)
        assert (found is not None) == (cut >= recording.whole), cut
    assert [parsed(recording, len(recording.body), size) is not None for size in (1, 2, 3, 1000)] == [True] * 4


def test_over_sockets_too() -> None:
    found = asyncio.run(over_sockets(cases(101)))
    assert found["wrong"] == []
    assert found["shown"] == 0
    assert found["complete"] > 20
    assert found["truncated"] > 300
