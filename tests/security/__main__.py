"""`python -m tests.security CHECK [--n N] [--seed S]`: what may not leave in an answer; see `tests.checks`."""

import sys

from tests.checks import Check, main

CHECKS = {
    "altered": Check("altered", "sweep", 2000, "harmless answers through the filter"),
    "obedient": Check("obedient", "sweep", 15_000, "outputs of a model that does whatever documents say"),
    "page": Check("rendering", "sweep", 300, "outputs of that model in the real page, in a browser"),
    "patterns": Check("patterns", "sweep", 0, "patterns on a megabyte of hostile text; 0 for all"),
    "ssrf": Check("ssrf", "sweep", 1000, "look-ups of names that change their mind, beside all forms of addresses"),
    "pii": Check("pii", "sweep", 10_000, "items of personal data, and as many near misses, at every cut"),
}

if __name__ == "__main__":
    sys.exit(main("tests.security", CHECKS, sys.argv[1:]))
