"""Bugs to plant in streams: events lost or told twice, answers that anybody takes up, memory without a bound, ends without a
word."""

from tests.chaos.mutant import Mutant

_RECORDINGS = "app/recordings.py"
_RECORDED = "tests/streams/test_recordings.py"
_RESUMED = "tests/streams/test_resume.py"
_SERVED = "tests/streams/test_served.py"

STREAMS = (
    Mutant(
        "an event is sent twice where a stream is taken up",
        "app/api/resumed.py",
        "    return int(given) + 1\n",
        "    return int(given)\n",
        f"{_RESUMED}::TestTakenUp",
    ),
    Mutant(
        "anybody may take an answer up",
        _RECORDINGS,
        "        if found is None or found.owner != replace(who, until=None):\n",
        "        if found is None:\n",
        f"{_RESUMED}::TestWho",
    ),
    Mutant(
        "whoever is of the same tenant may take an answer up",
        _RECORDINGS,
        "        if found is None or found.owner != replace(who, until=None):\n",
        "        if found is None or found.owner.tenant != who.tenant:\n",
        f"{_RESUMED}::TestWho",
    ),
    Mutant(
        "a recording outlives the key that asked",
        _RECORDINGS,
        "            end.add_done_callback(self._key_ended)\n",
        "            assert end\n",
        f"{_RESUMED}::TestWho::test_the_end_of_the_key_ends_it_for_all_who_read",
    ),
    Mutant(
        "events of answers that have ended are kept without bound",
        _RECORDINGS,
        "        while self._held > self._most and self._ended:\n",
        "        while self._most < 0 and self._ended:\n",
        _RECORDED,
    ),
    Mutant(
        "an answer that nobody comes back for goes on",
        _RECORDINGS,
        "        return self._loop.call_later(self._grace_s, self.cut, None)\n",
        "        return self._loop.call_later(self._grace_s + 10**6, self.cut, None)\n",
        f"{_RECORDED}::TestGrace",
    ),
    Mutant(
        "an answer that can be taken up ends with its first reader",
        _RECORDINGS,
        "        if not self._readers and not self.ended:\n            self._deserted = self._wait()\n",
        "        if not self._readers and not self.ended:\n            self.cut(None)\n",
        f"{_RESUMED}::TestLeft",
    ),
    Mutant(
        "an answer that is cut before its first step is left open",
        _RECORDINGS,
        "            self._closing = self._loop.create_task(self._stop_making())\n",
        "            self._making.cancel()\n",
        f"{_RECORDED}::TestCut",
    ),
    Mutant(
        "a frame that was sent is sent again at the end",
        "app/api/stream.py",
        "                await self._send(send, self._frame(event))\n        finally:\n",
        "                await self._send(send, self._frame(event))\n                await asyncio.sleep(0)\n        finally:\n",
        f"{_RECORDED}::TestCut",
    ),
    Mutant(
        "a stream that is cut off says nothing",
        "app/api/stream.py",
        "            await self._cut(send, cut_short())\n",
        "            return\n",
        f"{_RECORDED}::TestCut",
    ),
    Mutant(
        "the door closes before the last stream has ended",
        "app/commands/serve.py",
        "        await ended(tasks, until, lambda: self.force_exit)\n",
        "        assert ended\n",
        f"{_SERVED}::test_until_the_last_stream_has_ended_whoever_comes_is_told_to_come_back",
    ),
    Mutant(
        "a question in line is cut off without a word",
        "app/api/ask.py",
        '        if not getattr(request.app.state, "draining", False):\n            raise\n',
        "        raise\n",
        f"{_SERVED}::test_a_question_that_is_in_line_when_the_drain_time_is_over_is_told_so",
    ),
    Mutant(
        "a connection that takes nothing is kept",
        "app/commands/serve.py",
        "        bound_unsent(listener, settings.stalled_s)\n",
        "        assert bound_unsent\n",
        f"{_SERVED}::test_clients_that_take_nothing_are_dropped_and_what_they_left_is_bounded",
    ),
)
