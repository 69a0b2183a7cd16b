"""Who answers a question: the cheapest tier that meets the bar, among those that may get the collection's passages.

The rules are in `generation.route`; here they meet the tiers of the configuration, their prices, and what may be sent where.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, TypeVar

from app.cost import FREE, Prices, cost_of, cost_of_all
from app.errors import TierNotAllowed, UnknownTier, UnsupportedParameter
from app.followups import FollowUps
from app.settings import nearest
from generation.classifier import Classifier, Graded
from generation.complexity import Features, measure
from generation.errors import GenerationError
from generation.fallback import Chain, Link
from generation.fallback import Limits as ChainLimits
from generation.gate import Gate
from generation.model import Ask, Attempt, Usage
from generation.ports import Generator, Verifier
from generation.route import EXTRACTIVE, Decision, Reason, above, chain, is_look_up, level_of, score
from generation.verify import VerbatimVerifier
from retrieval.model import Context

T = TypeVar("T")
Step = Literal["rewriters", "classifiers", "verifiers"]
_PROMPT_TOKENS = 1000  # of the prompt itself with its examples, with room to spare
_CHARS_A_TOKEN = 3  # of question and history; fewer than English has, so that a window is not overrun


@dataclass(frozen=True, slots=True)
class Tier:
    """A configured endpoint, ready to write. `collections` None stands for all; `window` 0 for unknown; `reserved` are the
    tokens that an answer may take."""

    name: str
    link: Link
    prices: Prices = FREE
    collections: frozenset[str] | None = None
    self_hosted: bool = False
    window: int = 0
    reserved: int = 512
    told: int = 0  # tokens of the prompt and its examples, where they may be more than is set aside for them


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of routing; `sensitive` collections go to self-hosted tiers alone. `always` names a tier that answers
    everything; without `fallback` a question fails where the tiers do, instead of being answered by quoting."""

    thresholds: tuple[float, ...] = (0.5, 2.1)
    sensitive: frozenset[str] = frozenset()
    always: str = ""
    escalate: bool = True
    extractive: bool = False
    extractive_confidence: float = 0.8
    fallback: bool = True


@dataclass(frozen=True, slots=True)
class Helpers:
    """Who does the other steps of an answer, by tier, the preferred first; the first whose tier may get the collection's
    texts does it. Without one, follow-ups go by rule, complexity by the rules, and sentences are judged by the model within
    the service, `within`, or where there is none `by_itself`."""

    rewriters: Mapping[str, FollowUps] = field(default_factory=dict)
    classifiers: Mapping[str, Classifier] = field(default_factory=dict)
    verifiers: Mapping[str, Callable[[], Verifier]] = field(default_factory=dict)
    by_rule: FollowUps = field(default_factory=FollowUps)
    by_itself: Callable[[], Verifier] = VerbatimVerifier
    within: Callable[[], Verifier] | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Who writes the answer, why, and who writes it again if it fails its checks: `up` makes that one, given the seconds
    and the calls that are gone. `decision` is None where there is nothing to decide."""

    generator: Generator
    decision: Decision | None = None
    up: Callable[[float, int], Generator] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What routing looks at: the question as it is put to a generator, where it looks, and what the caller wants."""

    ask: Ask
    collection: str
    tier: str | None = None


class Router:
    """Chooses. One for the whole service; it keeps nothing between questions."""

    def __init__(
        self,
        last: Generator,
        tiers: Sequence[Tier] = (),
        rules: Rules | None = None,
        helpers: Helpers | None = None,
        limits: ChainLimits | None = None,
        gate: Gate | None = None,
    ) -> None:
        """`last` answers where no tier can or may; `tiers` are from the cheapest to the dearest, and `gate` says where none of
        them is asked."""
        self._last = last
        self._tiers = {tier.name: tier for tier in tiers}
        self._names = tuple(self._tiers)
        self._rules = rules or Rules()
        self._helpers = helpers or Helpers()
        self._limits = limits or ChainLimits()
        self._gate = gate

    def batched(self, name: str, before: Callable[[Generator], Generator]) -> "Router":
        """The same, but that tier answers all that does not ask for another, with what is put before its generator."""
        tiers = [
            replace(tier, link=replace(tier.link, generator=before(tier.link.generator))) if tier.name == name else tier
            for tier in self._tiers.values()
        ]
        return Router(self._last, tiers, replace(self._rules, always=name), self._helpers, self._limits, self._gate)

    @property
    def built_in(self) -> str:
        """Who speaks where no model was asked."""
        return self._last.name

    @property
    def name(self) -> str:
        """The models that answer, for reports."""
        return ", ".join(tier.link.generator.name for tier in self._tiers.values()) or self._last.name

    @property
    def state(self) -> Literal["ok", "degraded"]:
        """Degraded while an endpoint is left alone because it has failed of late."""
        breakers = [tier.link.breaker for tier in self._tiers.values()]
        return "ok" if all(breaker is None or breaker.state == "closed" for breaker in breakers) else "degraded"

    @property
    def tiers(self) -> tuple[str, ...]:
        """The names that a request may ask for."""
        return (EXTRACTIVE, *self._names)

    def admit(self, tier: str | None, collection: str, *, structured: bool = False) -> None:
        """Refuse what cannot be asked for; `structured` answers need a model. Raises UnknownTier, TierNotAllowed,
        UnsupportedParameter."""
        if structured and (tier == EXTRACTIVE or not self.allowed(collection)):
            raise UnsupportedParameter(
                "Answers with a response_format are written by a chat model, and none may be asked here.",
                "Leave response_format out, or ask the operator for a tier with a chat model.",
                param="response_format",
            )
        if tier is None or tier == EXTRACTIVE:
            return
        if tier not in self._tiers:
            near = nearest(tier, self.tiers)
            hint = f" Did you mean {near!r}?" if near else ""
            raise UnknownTier(f"tier: there is no tier {tier!r}.{hint}", param="tier")
        if tier not in self.allowed(collection):
            raise TierNotAllowed(f"The passages of {collection!r} may not be sent to the tier {tier!r}.", param="tier")

    def asks_nobody(self, context: Context) -> bool:
        """Whether no model is asked about this context, since even its nearest passage is too far from the question."""
        return self._gate is not None and self._gate.is_shut(context)

    def allowed(self, collection: str) -> tuple[str, ...]:
        """The tiers to which questions about this collection and its passages may be sent."""
        return tuple(name for name, tier in self._tiers.items() if self._may_get(tier, collection))

    async def graded(self, question: str, collection: str) -> Graded:
        """What the classifier says, where there is one that may see the question; without a level the rules stand in."""
        classifier = self._helper(self._helpers.classifiers, collection)
        if classifier is None:
            return Graded()
        try:
            return await classifier.grade(question)
        except GenerationError as error:
            return Graded(usage=error.usage)

    def route(self, asked: Asked, context: Context, graded: Graded | None = None) -> Route:
        """Who answers this question from this context. What `admit` would refuse is not asked for."""
        if not self._tiers:
            return Route(self._last)
        usable = [name for name in self.allowed(asked.collection) if self._fits(self._tiers[name], asked.ask, context)]
        features = measure(asked.ask.standalone or asked.ask.question, context, asked.ask.history)
        decision = self._decision(asked, usable, features, graded or Graded())
        left_out = tuple(name for name in self._names if name not in usable)
        decision = replace(decision, left_out=left_out, features=features, score=score(features))
        up = above(self._names, decision.tier, usable) if self._may_go_up(decision) else None
        if up is None:
            return Route(self._chained(decision.chain), decision)
        data = asked.ask.response_format is not None
        higher = self._order(self._names, self._names.index(up), usable, data=data)
        return Route(self._chained(decision.chain), replace(decision, up=up), partial(self._chained, higher))

    def follow_ups(self, collection: str) -> FollowUps:
        """Who makes follow-ups standalone."""
        return self._helper(self._helpers.rewriters, collection) or self._helpers.by_rule

    def verifier(self, collection: str) -> Verifier:
        """A judge for one answer."""
        helpers = self._helpers
        return (self._helper(helpers.verifiers, collection) or helpers.within or helpers.by_itself)()

    def attributor(self) -> Verifier:
        """Who finds the passage of a sentence that names none: a judge that asks no model."""
        return self._helpers.by_itself()

    def cost_of_step(self, step: Step, usage: Usage, collection: str) -> int:
        """1e-9 USD: what another step took for a question about this collection."""
        helpers: Mapping[Step, Mapping[str, object]] = {
            "rewriters": self._helpers.rewriters,
            "classifiers": self._helpers.classifiers,
            "verifiers": self._helpers.verifiers,
        }
        tier = self._helping(helpers[step], collection)
        return 0 if tier is None else cost_of(usage, self._tiers[tier].prices)

    def cost(self, attempts: Sequence[Attempt]) -> int:
        """1e-9 USD: every attempt at the prices of its tier."""
        return cost_of_all(attempts, {name: tier.prices for name, tier in self._tiers.items()})

    def _decision(self, asked: Asked, usable: Sequence[str], features: Features, graded: Graded) -> Decision:
        data = asked.ask.response_format is not None  # which quoting cannot write
        if wanted := asked.tier or self._rules.always:
            order = self._order([wanted], 0, usable, data=data)
            return Decision(order[0], "forced" if asked.tier else "configured", order)
        if not usable:
            return Decision(EXTRACTIVE, "none_allowed", (EXTRACTIVE,))
        if self._rules.extractive and not data and is_look_up(features, self._rules.extractive_confidence):
            return Decision(EXTRACTIVE, "look_up", (EXTRACTIVE,), level=0)
        level, why = self._level(features, graded)
        order = self._order(self._names, level, usable, data=data)
        return Decision(order[0], "only" if len(self._names) == 1 else why, order, level)

    def _may_go_up(self, decision: Decision) -> bool:
        """A look-up that cannot be quoted has not been answered yet, so it always may."""
        if decision.reason in ("forced", "configured"):
            return False
        return self._rules.escalate or decision.reason == "look_up"

    def _order(
        self, names: Sequence[str], wanted: int, usable: Sequence[str], *, data: bool = False
    ) -> tuple[str, ...]:
        order = chain(names, wanted, usable)
        return order if (self._rules.fallback and not data) or len(order) == 1 else order[:-1]

    def _level(self, features: Features, graded: Graded) -> tuple[int, Reason]:
        if graded.level is not None:
            return graded.level, "classifier"
        return level_of(score(features), self._rules.thresholds), "rules"

    def _chained(self, order: Sequence[str], gone_s: float = 0.0, calls: int = 0) -> Generator:
        """Cheap to make: what costs something, connections and the memory of failures, belongs to the links. One deadline
        and one number of calls hold for both answers, where one is written again."""
        links = [self._tiers[name].link for name in order if name != EXTRACTIVE]
        if not links:
            return self._last
        if EXTRACTIVE in order:
            links.append(Link(self._last, EXTRACTIVE))
        limits = self._limits
        left = replace(
            limits, deadline_s=max(1.0, limits.deadline_s - gone_s), attempts=max(1, limits.attempts - calls)
        )
        chained = Chain(links, left)
        return chained if self._gate is None else self._gate.before(chained)

    def _may_get(self, tier: Tier, collection: str) -> bool:
        named = tier.collections is None or collection in tier.collections
        return named and (tier.self_hosted or collection not in self._rules.sensitive)

    def _fits(self, tier: Tier, ask: Ask, context: Context) -> bool:
        if not tier.window:
            return True
        said = len(ask.question) + sum(len(text) for _, text in ask.history)
        said += len(ask.response_format.shown) if ask.response_format else 0
        answer = min(ask.max_tokens or tier.reserved, tier.reserved)
        return max(_PROMPT_TOKENS, tier.told) + context.tokens + said // _CHARS_A_TOKEN + answer <= tier.window

    def _helper(self, helpers: Mapping[str, T], collection: str) -> T | None:
        name = self._helping(helpers, collection)
        return None if name is None else helpers[name]

    def _helping(self, helpers: Mapping[str, T], collection: str) -> str | None:
        allowed = self.allowed(collection)
        return next((name for name in helpers if name in allowed), None)
