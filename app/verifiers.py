"""Who checks the sentences of a model, as the settings choose: there is one setting, and an older way of saying `judge`."""

from typing import Literal

from app.settings import ConfigurationError, Settings
from app.tiers import tiers_of

Kind = Literal["embedded", "verbatim", "nli", "judge"]


def verifier_kind(settings: Settings) -> Kind:
    """`generation.verifier`; where that was left alone, a tier in `routing.verify_tier` judges, as it did before there was a
    choice. Raises ConfigurationError."""
    g, tier = settings.generation, settings.routing.verify_tier
    kind: Kind = "judge" if tier and "verifier" not in g.model_fields_set else g.verifier
    if tier and kind != "judge":
        raise ConfigurationError(
            f"The tier {tier!r} is to judge sentences (routing.verify_tier), and generation.verifier says {kind}.",
            "Set generation.verifier to judge, or leave routing.verify_tier out.",
        )
    if kind == "judge" and not tiers_of(settings):
        raise ConfigurationError(
            "generation.verifier judge needs a chat model, and there is none.",
            "Name an endpoint under [generation] or [[tiers]], or set generation.verifier to embedded.",
        )
    if kind == "nli" and not g.nli_model:
        raise ConfigurationError(
            "generation.verifier nli needs a model.",
            "Set generation.nli_model to a folder with a CrossEncoder of three classes, or to the name of one that was fetched.",
        )
    return kind
