"""The output filter as the settings want it, with the prompts as they are now."""

from collections.abc import AsyncGenerator

from app.settings import Settings
from generation.answer import Drafted
from generation.events import Release
from generation.filters.answer import filtered_events
from generation.filters.leaks import NO_SECRET, Secret
from generation.filters.output import OutputPolicy
from generation.model import Ask
from generation.prompt_library import LivePrompt, PromptLibrary
from retrieval.model import Context

_SECRET = ("answer", "structured")  # the prompts that answers are written by


class OutputFilter:
    """Filters answers. One for the whole service; it keeps nothing between answers but what the prompts say."""

    def __init__(self, settings: Settings, prompts: PromptLibrary) -> None:
        self._settings = settings.filter
        self._prompts: tuple[LivePrompt, ...] = ()
        if settings.filter.prompt_leak == "block":
            self._prompts = tuple(prompts.live(name) for name in _SECRET)
        self._versions: tuple[str, ...] = ()
        self._policy = self._made(NO_SECRET)
        self.policy()  # what tells a leak is made of the prompts in some ten milliseconds; no answer should pay for it

    def watched(
        self, events: AsyncGenerator[Drafted, None], ask: Ask, context: Context, release: Release
    ) -> AsyncGenerator[Drafted, None]:
        """The events of an answer as they may go out. Raises what the events raise."""
        return filtered_events(events, self.policy(), ask, context, release)

    def is_off_topic(self, context: Context) -> bool:
        """Whether the operator wants no answer to questions that are so far from all passages. Where the search went without
        vectors it is not known, and the question is answered."""
        nearest = [place.score for passage in context.passages if (place := passage.hit.places.get("dense"))]
        wanted = self._settings.off_topic
        return wanted > 0 and bool(nearest) and max(nearest) < wanted  # a cosine may be below 0

    def policy(self) -> OutputPolicy:
        """What is done about what, now: a prompt's file may have changed."""
        prompts = [live.now() for live in self._prompts]
        versions = tuple(prompt.version for prompt in prompts)
        if versions != self._versions:
            texts = [part for prompt in prompts for part in (prompt.system, prompt.user, prompt.repair)]
            self._policy = self._made(Secret(dict.fromkeys(texts)))
            self._versions = versions
        return self._policy

    def _made(self, secret: Secret) -> OutputPolicy:
        f = self._settings
        return OutputPolicy(
            pii=f.actions(),
            quoted=f.quoted == "allow",
            secret=secret,
            markdown=f.markdown == "safe",
            phrases=f.phrases,
            on_phrase=f.on_phrase,
        )
