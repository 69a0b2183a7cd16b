"""Personal data by form and checksum: valid items are found at every split, near misses are not."""

import base64
import json
import random
import string
from collections import Counter
from collections.abc import Callable

import pytest

from generation.filters.checksums import IBAN_LENGTHS, iban, luhn
from generation.filters.hold_back import HoldBack
from generation.filters.pii import Item, Known, PiiScanner, items
from tests.generation.filters.streams import MASKED

DRAW = random.Random(7)


def digits(count: int) -> str:
    return "".join(DRAW.choices(string.digits, k=count))


def card() -> str:
    prefix, length = DRAW.choice(
        [("4", 16), ("52", 16), ("2300", 16), ("37", 15), ("6011", 16), ("3530", 16), ("36", 14)]
    )
    number = prefix + digits(length - len(prefix) - 1)
    number += next(check for check in string.digits if luhn(number + check))
    gap = DRAW.choice(["", " ", "-"])
    if length == 16:
        return gap.join(number[at : at + 4] for at in range(0, 16, 4))
    return gap.join((number[:4], number[4:10], number[10:]))


def broken_card() -> str:
    number = card()
    return number[:-1] + str((int(number[-1]) + DRAW.randint(1, 9)) % 10)


def account() -> str:
    country = DRAW.choice(["DE", "GB", "FR", "NL", "ES", "CH"])
    tail = ("NWBK" if country in ("GB", "NL") else "") + digits(
        IBAN_LENGTHS[country] - (8 if country in ("GB", "NL") else 4)
    )
    compact = next(f"{country}{check:02d}{tail}" for check in range(2, 99) if iban(f"{country}{check:02d}{tail}"))
    return " ".join(compact[at : at + 4] for at in range(0, len(compact), 4)) if DRAW.random() < 0.5 else compact


def broken_account() -> str:
    number = account()
    return number[:2] + f"{(int(number[2:4]) + 1) % 97 + 2:02d}" + number[4:]


def ssn() -> str:
    area = DRAW.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03d}-{DRAW.randint(1, 99):02d}-{DRAW.randint(1, 9999):04d}"


def broken_ssn() -> str:
    return DRAW.choice(
        [f"000-{digits(2)}-1234", f"666-12-{digits(4)}", f"9{digits(2)}-12-3456", "123-00-4567", "123-45-0000"]
    )


def mail() -> str:
    name = "".join(DRAW.choices(string.ascii_lowercase, k=6))
    return DRAW.choice([f"{name}@example.org", f"{name}.x+{digits(2)}@mail.example.co.uk", f"{name}_a@{name}-b.io"])


def broken_mail() -> str:
    return DRAW.choice(
        ["jane at example.org", "jane@", "@example.org", "jane@example", "jane@@example.org", "jane@.org"]
    )


def phone() -> str:
    area, office, line = f"{DRAW.randint(2, 9)}{digits(2)}", f"{DRAW.randint(2, 9)}{digits(2)}", digits(4)
    forms = [
        f"({area}) {office}-{line}",
        f"{area}-{office}-{line}",
        f"+1 {area} {office} {line}",
        f"+44 20 7{digits(3)} {line}",
    ]
    return DRAW.choice([*forms, f"+49 30 {digits(7)}", f"+33 6 {digits(2)} {digits(2)} {digits(2)} {digits(2)}"])


def broken_phone() -> str:
    return DRAW.choice(
        [
            f"115-{digits(3)}-{digits(4)}",
            f"415-155-{digits(4)}",
            "415-555-267",
            "+999 123 456 789",
            "2024-10-11",
            "3.14159265",
        ]
    )


def key() -> str:
    letters = string.ascii_letters + string.digits
    token = "".join(DRAW.choices(letters, k=36))
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()).decode().rstrip("=")
    body = base64.urlsafe_b64encode(json.dumps({"sub": token}).encode()).decode().rstrip("=")
    aws = "AKIA" + "".join(DRAW.choices(string.ascii_uppercase + string.digits, k=16))
    block = f"-----BEGIN PRIVATE KEY-----\n{token}{token}\n{token}\n-----END PRIVATE KEY-----"
    return DRAW.choice(
        [aws, f"ghp_{token}", f"sk-{token}1", f"sk-proj-{token}_2-x", f"{head}.{body}.{token}", block, f"grd_{token}"]
    )


def broken_key() -> str:
    return DRAW.choice(
        [
            "AKIA" + "A" * 10,
            "ghp_short",
            "sk-learn-is-a-python-library",
            "eyJhbGciOi.x.y",
            "-----BEGIN PRIVATE KEY----- is its head",
        ]
    )


def address() -> str:
    return DRAW.choice([".".join(str(DRAW.randint(1, 126)) for _ in range(4)), f"2001:db8::{DRAW.randint(1, 9999)}:7"])


def broken_address() -> str:
    return DRAW.choice(["1.2.3", "300.1.2.3", "1.2.3.4.5", "12:34:56", "127.0.0.1", "std::vector", "::"])


MADE: dict[str, tuple[Callable[[], str], Callable[[], str]]] = {
    "credit_card": (card, broken_card),
    "iban": (account, broken_account),
    "us_ssn": (ssn, broken_ssn),
    "email": (mail, broken_mail),
    "phone": (phone, broken_phone),
    "secret": (key, broken_key),
    "ip_address": (address, broken_address),
}
FRAMES = ("It is {}.", "{}", "Use {}, please.", "({})", "| {} | next |", "Is it {}?\nYes.", "1. {}\n2. no")


@pytest.mark.parametrize("kind", MADE)
def test_valid_ones_are_found_and_near_misses_are_not(kind: str) -> None:
    valid, near = MADE[kind]
    count = Counter[str]()
    for _ in range(700):
        frame = DRAW.choice(FRAMES)
        for made, label in ((valid(), "valid"), (near(), "near")):
            text = frame.format(made)
            start = text.index(made)
            covers = [i for i in items(text) if i.kind == kind and i.start < start + len(made) and start < i.end]
            whole = any(i.start <= start and (i.end >= start + len(made) or kind == "secret") for i in covers)
            count[f"{label} {bool(covers) if label == 'near' else whole}"] += 1
    assert count["valid True"] / 700 >= 0.995
    assert count["near True"] / (count["near True"] + count["valid True"]) <= 0.01, count


def test_items_at_every_split_of_the_stream() -> None:
    for kind, (valid, _) in MADE.items():
        for _ in range(12):
            made = valid()
            text = f"So it is {made} now, {kind}."
            for cut in range(len(text) + 1):
                stream = HoldBack(PiiScanner(MASKED))
                first = stream.feed(text[:cut])
                said = first + stream.feed(text[cut:], final=True)
                assert made not in said
                assert first.startswith("So it is "[: len(first)])
                assert said.startswith("So it is ‹")
                assert said.endswith(f"› now, {kind}.")
                assert made[: len(made) // 2] not in first


def test_what_the_reader_may_read_may_be_said() -> None:
    known = Known(["Write to help@example.org or call (415) 555-2671."])
    text = "Call 415-555-2671 or write to HELP@example.org, not to xhelp@example.org."
    said = HoldBack(PiiScanner(MASKED, known)).feed(text, final=True)
    assert said == "Call 415-555-2671 or write to HELP@example.org, not to ‹e-mail address›."


def test_each_kind_has_its_own_rule() -> None:
    stream = HoldBack(PiiScanner({"email": "allow", "credit_card": "block", "phone": "mask"}))
    assert stream.feed("a@b.co and 4111111111111111 or", final=True) == "a@b.co and "
    assert stream.stopped == "pii.credit_card"


@pytest.mark.parametrize(
    "text",
    [
        "４１１１ １１１１ １１１１ １１１１",
        "4111\u00a01111\u00a01111\u00a01111",
        "4111‑1111‑1111‑1111",
        "٤١١١١١١١١١١١١١١١",
    ],
)
def test_digits_and_dashes_of_every_script(text: str) -> None:
    assert items(text) == [Item("credit_card", 0, len(text))]


def test_a_secret_is_masked_to_its_end() -> None:
    token = "ghp_" + "a1B2" * 200
    stream = HoldBack(PiiScanner(MASKED))
    said = "".join(stream.feed(char) for char in f"{token} end") + stream.feed("", final=True)
    assert said == "‹secret› end"
