"""Calls of a model through the product's own generator, chain of money and database: here, or as a process of its own."""

import asyncio
import json
import sys
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from app.budgets.ledger import Ledger
from app.budgets.model import Amount
from app.budgets.paid import Paid, Terms
from app.budgets.purse import Purses, use
from app.cost import Prices
from app.keys.model import Principal
from app.limits.window import MovingWindow
from app.telemetry import configure
from generation.adapters.openai_chat import OpenAIChatGenerator
from generation.errors import BudgetSpent
from generation.model import Ask
from generation.prompt import load_prompt
from ingest.errors import GroundedError
from retrieval.model import Context
from tests.app.budgeting import budgets_at

WHO = Principal("default", "key_1", frozenset({"ask"}), None, None)
SUBJECT = "key:key_1"
TERMS = Terms("small", Prices(Decimal(1), Decimal(2)), (load_prompt(),), max_tokens=20)
ASK, NOTHING = Ask("How long do refunds take?"), Context((), (), 0)
MOST = TERMS.most(ASK, NOTHING)
EACH: Amount = TERMS.bound(MOST)  # what the endpoint of these checks tells is all that was reserved


@dataclass
class Told:
    """What became of calls."""

    made: int = 0
    refused: int = 0
    failed: int = 0


async def called(ledger: Ledger, url: str, calls: int) -> Told:
    """So many calls at once, all of one key."""
    told = Told()
    model = OpenAIChatGenerator(base_url=url, model="m", max_tokens=TERMS.max_tokens)
    paid = Paid(model, TERMS)

    async def one() -> None:
        use(Purses(ledger, MovingWindow()).of(WHO, lambda: None))
        try:
            async with aclosing(paid.draft(ASK, NOTHING)) as drafts:  # type: ignore[type-var]
                async for _ in drafts:
                    pass
            told.made += 1
        except BudgetSpent:
            told.refused += 1
        except GroundedError:
            told.failed += 1

    try:
        await asyncio.gather(*(one() for _ in range(calls)))
    finally:
        await model.aclose()
    return told


async def main(folder: Path, url: str, calls: int) -> None:
    configure("json", "error")
    async with budgets_at(folder) as store:
        ledger = Ledger(store)
        await ledger.begin()
        print("begun", flush=True)  # noqa: T201  for the parent
        sys.stdin.readline()
        told = await called(ledger, url, calls)
        await ledger.close()
    print(json.dumps(vars(told)), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
