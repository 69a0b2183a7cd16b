"""The prompts as the settings choose them, and what is said when one cannot be used."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.settings import ConfigurationError, Settings
from generation.examples import BrokenExamplesError, Examples, load_examples
from generation.prompt import BrokenPromptError
from generation.prompt_library import PromptLibrary


def library_of(settings: Settings) -> PromptLibrary:
    """Shipped prompts and the operator's own. Raises ConfigurationError: every prompt that a setting names is read once,
    so that what is broken is told at the start and not by the first question."""
    folder = settings.prompts.folder
    if folder is not None and not folder.is_dir():
        raise ConfigurationError(
            "Setting 'prompts.folder' names no folder.",
            "Make the folder, or leave the setting out for the shipped prompts.",
        )
    library = PromptLibrary(folder, settings.prompts.chosen())
    for name, version in settings.prompts.chosen().items():
        with told(f"prompts.{name}"):
            library.find(version)
    return library


def examples_of(settings: Settings) -> Examples | None:
    """The examples to choose from, where any are wanted: the operator's own, or those that are shipped. Raises
    ConfigurationError."""
    if not settings.prompts.examples:
        return None
    try:
        return load_examples(settings.prompts.folder)
    except BrokenExamplesError as error:
        raise ConfigurationError(
            f"The examples cannot be used: {error}.", "Correct the line, or set prompts.examples to 0."
        ) from None


@contextmanager
def told(setting: str) -> Iterator[None]:
    """What is wrong with a prompt, as a ConfigurationError."""
    try:
        yield
    except BrokenPromptError as error:
        raise ConfigurationError(
            f"Setting {setting!r}: {error}.", "Correct the file, or see grounded prompts for those that can be used."
        ) from None
