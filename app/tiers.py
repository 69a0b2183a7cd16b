"""The tiers of a configuration, checked: whoever names one names one that is there. One endpoint under `[generation]` is
short for a single tier."""

from decimal import Decimal

from app.cost import Prices
from app.secret_files import secret_in
from app.settings import ConfigurationError, Settings, nearest
from app.tier_settings import EXTRACTIVE, TierSettings, TierTokens

DEFAULT = "default"  # what the tier of [generation] is called
_STEPS = ("answer_tier", "rewrite_tier", "verify_tier")


def tiers_of(settings: Settings) -> tuple[TierSettings, ...]:
    """From the cheapest to the dearest; none where nothing but quoting answers. Raises ConfigurationError."""
    if settings.tiers and settings.generation.backend == "openai_chat":
        raise ConfigurationError(
            "There are tiers and an endpoint under generation as well.",
            "Make the endpoint a [[tiers]] table too, and leave generation.backend out.",
        )
    tiers = settings.tiers or _shorthand(settings)
    names = [tier.name for tier in tiers]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"Two tiers are called {name!r}.", "Give each tier a name of its own.")
    _check_steps(settings, names)
    return tiers


def prices_of(tier: TierSettings) -> Prices:
    """What the endpoint takes."""
    return Prices(tier.price_input, tier.price_output, tier.price_cached_input)


def key_of(tier: TierSettings) -> str:
    """The endpoint's key; empty where it wants none. Raises ConfigurationError."""
    if tier.api_key_file is None:
        return tier.api_key.get_secret_value()
    try:
        return secret_in(tier.api_key_file)
    except (OSError, ValueError) as error:
        why = f": {error.strerror}" if isinstance(error, OSError) else ""
        raise ConfigurationError(
            f"The file of api_key_file of tier {tier.name!r} cannot be read{why}.",
            "Correct its name, or let this user read it.",
        ) from error


def _check_steps(settings: Settings, names: list[str]) -> None:
    r = settings.routing
    asked = {f"routing.{step}": getattr(r, step) for step in _STEPS}
    asked["routing.classifier"] = "" if r.classifier == "rules" else r.classifier
    for setting, name in asked.items():
        allowed = [*names, EXTRACTIVE] if setting == "routing.answer_tier" else names
        if name and name not in allowed:
            near = nearest(name, allowed)
            hint = f" Did you mean {near!r}?" if near else ""
            raise ConfigurationError(
                f"Setting {setting!r}: there is no tier {name!r}.{hint}",
                "Name one of the [[tiers]], or leave the setting out.",
            )


def _shorthand(settings: Settings) -> tuple[TierSettings, ...]:
    g = settings.generation
    if g.backend != "openai_chat":
        return ()
    if not g.base_url or not g.model or g.price_input is None or g.price_output is None:
        raise ConfigurationError(
            "generation.backend openai_chat needs base_url, model, price_input and price_output.",
            "Set them in grounded.toml; prices are USD per million tokens, 0 for your own hardware.",
        )
    one = TierSettings(
        name=DEFAULT,
        base_url=g.base_url,
        model=g.model,
        api_key=g.api_key,
        price_input=Decimal(str(g.price_input)),
        price_output=Decimal(str(g.price_output)),
        max_tokens=TierTokens(answer=g.max_tokens),
        structured_output=g.structured_output,
        temperature=g.temperature,
        connect_timeout_s=g.connect_timeout_s,
        first_token_timeout_s=g.first_token_timeout_s,
        between_tokens_timeout_s=g.between_tokens_timeout_s,
        timeout_s=g.timeout_s,
    )
    return (one,)
