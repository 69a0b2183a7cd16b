"""How the sentences of answers are checked, as the settings say."""

from dataclasses import dataclass, field

from app.verification_settings import VerificationSettings
from generation.bars import ATTRIBUTED_FROM, CONTRADICTED_FROM
from generation.checks import Checks
from generation.policy import MARKING, Policy
from generation.ports import Verifier


@dataclass(frozen=True, slots=True)
class Checked:
    """How the sentences of one answer are checked, and what becomes of those that fail."""

    checks: Checks
    policy: Policy = MARKING


@dataclass(frozen=True, slots=True)
class Checking:
    """The same for the whole service. The two bars are probabilities, see `generation.bars`; without `attribute` a sentence
    that names no passage is never cited."""

    policy: Policy = field(default_factory=Policy)
    attributed_from: float = ATTRIBUTED_FROM
    contradicted_from: float = CONTRADICTED_FROM
    attribute: bool = True

    def of(self, verifier: Verifier, attributor: Verifier) -> Checked:
        """For one answer. `attributor` costs nothing."""
        finder = attributor if self.attribute else None
        return Checked(Checks(verifier, finder, self.attributed_from, self.contradicted_from), self.policy)


def checking_of(v: VerificationSettings, carried_from: float | None = None) -> Checking:
    """As the settings want it; `carried_from` was fitted for the verifier."""
    policy = Policy(v.unsupported, v.contradicted, v.uncited, v.none_carried, carried_from)
    return Checking(policy, v.attributed_from, v.contradicted_from, attribute=v.attribute == "clear")
