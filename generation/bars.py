"""Probabilities from which the checks of an answer's sentences speak up. They stand alone so that settings can be read without
any of what checks."""

ATTRIBUTED_FROM = 0.95  # that one passage carries a sentence which names none, for it to be cited
CONTRADICTED_FROM = 0.9  # that the passages say the opposite, for a sentence to be called contradicted
