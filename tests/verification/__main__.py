"""`python -m tests.verification`: 2,000 sentences of the handbook, changed in one thing each, and their untouched twins; with
`--twins reworded` twins that are told in other words first. One JSON document."""

import argparse
import asyncio
import json
import sys

from tests.verification.suite import drawn, judged, passages, report

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--twins", choices=("untouched", "reworded"), default="untouched")
    parser.add_argument("--missed", action="store_true", help="Print what was not caught.")
    given = parser.parse_args()
    claims = drawn(passages(), given.n, given.seed, reworded=given.twins == "reworded")
    outcomes = asyncio.run(judged(claims))
    for outcome in outcomes if given.missed else ():
        if not outcome.caught:
            sys.stderr.write(f"{outcome.claim.kind}: {outcome.claim.text} || {outcome.claim.twin}\n")
    sys.stdout.write(json.dumps({"twins": given.twins, **report(outcomes)}, indent=1) + "\n")
