"""From drafts to the events of a cited answer: offsets are counted, and each finished sentence becomes a claim.

Nothing bound to a task is held across a yield, and closing the events closes the drafts.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

from generation.checks import Checks, claim_of
from generation.citations import asserts
from generation.errors import UpstreamTruncated
from generation.events import ClaimJudged, Release, TextAdded, TextRetracted
from generation.model import Draft, DraftEnd, DraftRestarted, DraftSentence, DraftText
from retrieval.model import Context

Drafted = TextAdded | ClaimJudged | TextRetracted | DraftEnd


async def answer_events(
    drafts: AsyncIterator[Draft], context: Context, checks: Checks, release: Release
) -> AsyncGenerator[Drafted, None]:
    """TextAdded and ClaimJudged in order, then the DraftEnd, always last.

    With release `sentence` a sentence's text comes as one piece once it is judged, directly before its claim; with
    `token` it comes at once and the claim when it is judged. Text behind the last sentence becomes a sentence. A draft
    that begins anew withdraws all text that was given; what waits for its sentence was not, and is dropped. Raises what
    the drafts raise, and UpstreamTruncated when they stop without an end.
    """
    writing = _Writing(context, checks)
    try:
        async for draft in drafts:
            for event in await _step(writing, draft, release):
                yield event
            if isinstance(draft, DraftEnd):
                return
        raise UpstreamTruncated("The generator stopped without saying that it had finished.")
    finally:
        if isinstance(drafts, AsyncGenerator):
            await drafts.aclose()


async def _step(writing: "_Writing", draft: Draft, release: Release) -> list[Drafted]:
    """What follows from one piece of the draft."""
    at_once = release == "token"
    match draft:
        case DraftText():
            writing.text += draft.text
            return [TextAdded(draft.text)] if at_once and draft.text else []
        case DraftSentence():
            return await writing.finish(draft, at_once)
        case DraftRestarted():
            given = writing.restart(at_once)
            return [TextRetracted(0, given, "restart")] if given else []
        case DraftEnd():
            rest = writing.text.strip()
            last = await writing.finish(DraftSentence(rest, check_required=asserts(rest)), at_once) if rest else []
            return [*last, draft]


class _Writing:
    """Where we are in the answer: its length up to the last sentence, and the text since."""

    def __init__(self, context: Context, checks: Checks) -> None:
        self._context = context
        self._checks = checks
        self._length = 0
        self._index = 0
        self.text = ""

    async def finish(self, sentence: DraftSentence, at_once: bool) -> list[Drafted]:
        """Judge the text since the last sentence. The text that was sent counts, not the sentence's copy of it."""
        text = self.text.strip()
        if not text:
            return []
        judged = sentence if sentence.quotes else replace(sentence, text=text)  # a quote may stand in a fence of ours
        at = self._length + self.text.index(text)
        claim = await claim_of(judged, self._index, at, self._context, self._checks)
        claim = replace(claim, text=text, end=at + len(text))
        events: list[Drafted] = [] if at_once else [TextAdded(self.text)]
        self._length += len(self.text)
        self._index += 1
        self.text = ""
        return [*events, ClaimJudged(claim)]

    def restart(self, at_once: bool) -> int:
        """Begin anew. Returns how many code points the reader had been given."""
        given = self._length + (len(self.text) if at_once else 0)
        self._length = self._index = 0
        self.text = ""
        return given
