"""The settings that make an embedder, as a generation remembers them: what its vectors depend on, and no secret."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from app.model_settings import EmbedderSettings
from app.settings import ConfigurationError, Settings

# How an embedder is run, which its vectors do not depend on: that is always what is configured now.
HOW = ("threads", "precision", "device", "batch_tokens", "batch_texts", "timeout_s", "attempts")
_PLACES = ("model", "tokenizer")  # folders and files, where they are no names


def recipe_of(embedder: EmbedderSettings) -> dict[str, Any]:
    """What makes this embedder again. Secrets are left out: they are taken from the configuration of the day.
    A model's folder is told in full, since the service is not where we are."""
    told = {
        name: value
        for name, value in embedder.model_dump(mode="json").items()
        if name not in HOW and not isinstance(getattr(embedder, name), SecretStr)
    }
    found = {name: Path(told[name]).expanduser() for name in _PLACES if told.get(name)}
    return told | {name: str(path.absolute()) for name, path in found.items() if path.exists()}


def with_recipe(settings: Settings, recipe: Mapping[str, Any]) -> Settings:
    """The settings, but for the embedder that the recipe makes. What it does not say is as it is by default; how it is run,
    and secrets, are as they are configured. Raises ConfigurationError for a recipe of another release."""
    now = settings.embedder
    kept = {name: getattr(now, name) for name in type(now).model_fields if name not in recipe_of(now)}
    try:
        made = EmbedderSettings(**{**kept, **recipe})
    except (ValidationError, TypeError) as error:
        raise ConfigurationError(
            "The embedder that the index was built with is described in a way that this release does not know.",
            "Run grounded reindex to build the index anew with the configured embedder.",
        ) from error
    return settings.model_copy(update={"embedder": made})
