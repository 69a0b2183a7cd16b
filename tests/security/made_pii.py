"""Personal data that nobody has: items that are valid and others that are nearly so, by kind, drawn at random."""

import base64
import json
import string
from collections.abc import Callable
from random import Random

from generation.filters.checksums import IBAN_LENGTHS, iban, luhn

Draw = Callable[[Random], str]


def digits(draw: Random, count: int) -> str:
    return "".join(draw.choices(string.digits, k=count))


def card(draw: Random) -> str:
    prefix, length = draw.choice(
        [("4", 16), ("52", 16), ("2300", 16), ("37", 15), ("6011", 16), ("3530", 16), ("36", 14)]
    )
    number = prefix + digits(draw, length - len(prefix) - 1)
    number += next(check for check in string.digits if luhn(number + check))
    gap = draw.choice(["", " ", "-"])
    if length == 16:
        return gap.join(number[at : at + 4] for at in range(0, 16, 4))
    return gap.join((number[:4], number[4:10], number[10:]))


def broken_card(draw: Random) -> str:
    number = card(draw)
    return number[:-1] + str((int(number[-1]) + draw.randint(1, 9)) % 10)


def account(draw: Random) -> str:
    country = draw.choice(["DE", "GB", "FR", "NL", "ES", "CH"])
    tail = ("NWBK" if country in ("GB", "NL") else "") + digits(
        draw, IBAN_LENGTHS[country] - (8 if country in ("GB", "NL") else 4)
    )
    compact = next(f"{country}{check:02d}{tail}" for check in range(2, 99) if iban(f"{country}{check:02d}{tail}"))
    return " ".join(compact[at : at + 4] for at in range(0, len(compact), 4)) if draw.random() < 0.5 else compact


def broken_account(draw: Random) -> str:
    number = account(draw)
    return number[:2] + f"{(int(number[2:4]) + 1) % 97 + 2:02d}" + number[4:]


def ssn(draw: Random) -> str:
    area = draw.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03d}-{draw.randint(1, 99):02d}-{draw.randint(1, 9999):04d}"


def broken_ssn(draw: Random) -> str:
    return draw.choice(
        [
            f"000-{digits(draw, 2)}-1234",
            f"666-12-{digits(draw, 4)}",
            f"9{digits(draw, 2)}-12-3456",
            "123-00-4567",
            "123-45-0000",
        ]
    )


def mail(draw: Random) -> str:
    name = "".join(draw.choices(string.ascii_lowercase, k=6))
    return draw.choice(
        [f"{name}@example.org", f"{name}.x+{digits(draw, 2)}@mail.example.co.uk", f"{name}_a@{name}-b.io"]
    )


def broken_mail(draw: Random) -> str:
    return draw.choice(
        ["jane at example.org", "jane@", "@example.org", "jane@example", "jane@@example.org", "jane@.org"]
    )


def phone(draw: Random) -> str:
    """As people of several countries write them, and with words that say what they are."""
    area, office, line = (
        f"{draw.randint(2, 9)}{digits(draw, 2)}",
        f"{draw.randint(2, 9)}{digits(draw, 2)}",
        digits(draw, 4),
    )
    pairs = " ".join(digits(draw, 2) for _ in range(4))
    bare = f"{draw.randint(1, 9)}{digits(draw, 2)} {digits(draw, 3)} {digits(draw, 3)}"
    forms = (
        f"({area}) {office}-{line}",
        f"{area}-{office}-{line}",
        f"{area}.{office}.{line}x{digits(draw, 3)}",
        f"+1 {area} {office} {line} ext. {digits(draw, 3)}",
        f"+44 20 7{digits(draw, 3)} {line}",
        f"001-{area}-{office}-{line}",
        f"0044 20 7{digits(draw, 3)} {line}",
        f"+49 30 {digits(draw, 7)}",
        f"+33 6 {pairs}",
        f"06 {pairs}",
        f"07{digits(draw, 3)} {digits(draw, 3)} {digits(draw, 3)}",
        f"0{draw.randint(20, 99)} {digits(draw, 3)} {digits(draw, 2)} {digits(draw, 2)}",
        f"(0{draw.randint(20, 99)}) {digits(draw, 4)} {digits(draw, 4)}",
        f"{draw.choice(TELEPHONE)} {bare}",
        f"{bare} {draw.choice(('office', 'fax', 'mobile'))}",
    )
    return draw.choice(forms)


TELEPHONE = ("Phone:", "Tel.", "call me on", "fax:", "reach us at", "my number is")


def broken_phone(draw: Random) -> str:
    """What technical texts hold: versions, dates, ids, ports, sums, ranges, bits."""
    forms = (
        f"115-{digits(draw, 3)}-{digits(draw, 4)}",
        f"415-155-{digits(draw, 4)}",
        "415-555-267",
        "+999 123 456 789",
        f"20{digits(draw, 2)}-1{draw.randint(0, 2)}-2{draw.randint(0, 8)}",
        f"20{digits(draw, 2)}-1{draw.randint(0, 2)}-2{draw.randint(0, 8)} 1{draw.randint(0, 9)}:{draw.randint(10, 59)}:07",
        f"{draw.randint(0, 9)}.{digits(draw, 8)}",
        f"{draw.randint(1, 30)}.{draw.randint(0, 99)}.{draw.randint(0, 999)}",
        f"#{digits(draw, 7)}",
        f"order {draw.randint(1, 9)}{digits(draw, 9)}",
        f"port {draw.randint(1024, 65535)}",
        f"{draw.randint(1, 99)},{digits(draw, 3)},{digits(draw, 3)}.{digits(draw, 2)}",
        f"{draw.randint(1, 99)} {digits(draw, 3)} {digits(draw, 3)} EUR",
        f"pages {draw.randint(100, 499)}-{draw.randint(500, 999)}",
        " ".join(f"{draw.getrandbits(5):05b}" for _ in range(6)),
        f"0x{draw.getrandbits(32):08x}",
        f"{digits(draw, 8)}-{digits(draw, 4)}-4{digits(draw, 3)}-a{digits(draw, 3)}-{digits(draw, 12)}",
    )
    return draw.choice(forms)


def key(draw: Random) -> str:
    letters = string.ascii_letters + string.digits
    token = "".join(draw.choices(letters, k=36))
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()).decode().rstrip("=")
    body = base64.urlsafe_b64encode(json.dumps({"sub": token}).encode()).decode().rstrip("=")
    aws = "AKIA" + "".join(draw.choices(string.ascii_uppercase + string.digits, k=16))
    block = f"-----BEGIN PRIVATE KEY-----\n{token}{token}\n{token}\n-----END PRIVATE KEY-----"
    return draw.choice(
        [aws, f"ghp_{token}", f"sk-{token}1", f"sk-proj-{token}_2-x", f"{head}.{body}.{token}", block, f"grd_{token}"]
    )


def broken_key(draw: Random) -> str:
    return draw.choice(
        [
            "AKIA" + "A" * 10,
            "ghp_short",
            "sk-learn-is-a-python-library",
            "eyJhbGciOi.x.y",
            "-----BEGIN PRIVATE KEY----- is its head",
        ]
    )


def address(draw: Random) -> str:
    return draw.choice([".".join(str(draw.randint(1, 126)) for _ in range(4)), f"2001:db8::{draw.randint(1, 9999)}:7"])


def broken_address(draw: Random) -> str:
    return draw.choice(["1.2.3", "300.1.2.3", "1.2.3.4.5", "12:34:56", "127.0.0.1", "5.7.0.1", "std::vector", "::"])


MADE: dict[str, tuple[Draw, Draw]] = {
    "credit_card": (card, broken_card),
    "iban": (account, broken_account),
    "us_ssn": (ssn, broken_ssn),
    "email": (mail, broken_mail),
    "phone": (phone, broken_phone),
    "secret": (key, broken_key),
    "ip_address": (address, broken_address),
}
FRAMES = ("It is {}.", "{}", "Use {}, please.", "({})", "| {} | next |", "Is it {}?\nYes.", "1. {}\n2. no")
