"""Runs a long check from the command line: one line of JSON with the numbers; exit code 1 on a miss."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any


class Unavailable(RuntimeError):
    """What a check needs is not there; the message says what. What could not be tried has not been passed."""


@dataclass(frozen=True, slots=True)
class Check:
    """`function` of `module` takes how many and a seed, and gives its numbers with a list of what was `wrong`. `n` is how
    many where nobody says it, and `counted` what they are."""

    module: str
    function: str
    n: int
    counted: str


def main(package: str, checks: Mapping[str, Check], arguments: Sequence[str]) -> int:
    """`python -m PACKAGE CHECK [--n N] [--seed S]`"""
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=__doc__)
    parser.add_argument("check", choices=checks)
    counts = "; ".join(f"{name}: {check.counted} (default {check.n})" for name, check in checks.items())
    parser.add_argument("--n", type=int, help=counts)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    check = checks[options.check]
    run: Callable[[int, int], dict[str, Any]] = getattr(import_module(f"{package}.{check.module}"), check.function)
    begun = time.perf_counter()
    try:
        found = run(check.n if options.n is None else options.n, options.seed)
    except Unavailable as why:
        sys.stdout.write(json.dumps({"check": options.check, "ok": False, "skipped": str(why)}) + "\n")
        return 1
    wrong = found.pop("wrong")
    seconds = round(time.perf_counter() - begun, 1)
    line = {"check": options.check, "ok": not wrong, "seed": options.seed, **found, "seconds": seconds}
    sys.stdout.write(json.dumps(line | ({"misses": len(wrong), "first": wrong[:10]} if wrong else {})) + "\n")
    return 1 if wrong else 0
