"""No address that anybody can write makes the service connect to what only this machine can reach."""

import asyncio
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import pytest_socket

from app.adapters.webhook_sender import WebhookSender
from app.addresses import Target, is_public, target_of
from app.errors import WebhookFailed, WebhookTargetInside
from tests.receivers import receiver
from tests.security.ssrf import (
    FORMS,
    INSIDE,
    INSIDE6,
    LOCATIONS,
    PUBLIC,
    STATUSES,
    TARGET,
    Names,
    fetch,
    known_names,
    post,
    sweep,
    watched,
)


@pytest.fixture
def connects() -> Iterator[list[Any]]:
    with watched() as seen:
        yield seen


@pytest.fixture
def _stopped_by_the_watch() -> None:
    """What would leave this machine gets as far as the watch, instead of ending at pytest's own guard."""
    pytest_socket.socket_allow_hosts(["127.0.0.1", "::1", "localhost", PUBLIC], allow_unix_socket=True)


def test_there_are_enough_of_them() -> None:
    assert len(FORMS) >= 290


@pytest.mark.parametrize("url", FORMS, ids=ascii)
def test_no_form_of_an_address_leads_inside(url: str, connects: list[Any]) -> None:
    assert post(url, WebhookSender(2.0, resolve=known_names)) in (
        "no address",
        "webhook_target_inside",
        "webhook_failed",
    )
    assert fetch(url, known_names) in ("no address", "refused")
    assert connects == []


def test_the_watch_sees_a_connection(connects: list[Any]) -> None:
    with receiver() as got:
        assert post(got.url(), WebhookSender(2.0, loopback=True)) == "sent"
        assert connects == [("127.0.0.1", got.port)]


@pytest.mark.usefixtures("_stopped_by_the_watch")
def test_the_watch_sees_one_that_would_leave_this_machine(connects: list[Any]) -> None:
    with pytest.raises(WebhookFailed):
        asyncio.run(WebhookSender(2.0, resolve=Names([PUBLIC])).post(TARGET, b"{}", {}))
    assert connects == [(PUBLIC, 443)]


@pytest.mark.parametrize("inside", [*INSIDE, *INSIDE6, "::ffff:10.0.0.1", "::ffff:8.8.8.8", "fe80::1%eth0", "nonsense"])
def test_a_name_that_leads_inside_by_any_of_its_addresses_is_refused(inside: str, connects: list[Any]) -> None:
    for answer in ([inside], [PUBLIC, inside], [inside, PUBLIC], [PUBLIC, PUBLIC, inside]):
        names = Names(answer)
        with pytest.raises(WebhookTargetInside):
            asyncio.run(WebhookSender(2.0, resolve=names).post(TARGET, b"{}", {}))
        assert len(names.asked) == 1
    assert connects == []


@pytest.mark.parametrize("inside", ["10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "0.0.0.0", PUBLIC])
def test_what_is_open_for_trying_out_is_this_machine_alone(inside: str, connects: list[Any]) -> None:
    for answer in ([inside], ["127.0.0.1", inside]):
        sender = WebhookSender(2.0, loopback=True, resolve=Names(answer))
        with pytest.raises(WebhookTargetInside):
            asyncio.run(sender.post(Target("http", "hooks.example", 80, "/"), b"{}", {}))
    assert connects == []


def test_a_name_that_says_something_else_the_second_time_is_not_asked_again() -> None:
    with receiver() as meant, receiver(host="127.0.0.2") as other:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        sender = WebhookSender(2.0, loopback=True, resolve=names)
        target = Target("http", "hooks.example", meant.port, "/hook")
        assert asyncio.run(sender.post(target, b"{}", {})) == 204
        assert names.asked == [("hooks.example", meant.port)]
        ((_, headers, _),) = meant.requests
        assert headers["host"] == f"hooks.example:{meant.port}"
        assert other.connections == 0


def test_a_name_that_has_turned_inside_by_the_next_attempt_is_refused_then(connects: list[Any]) -> None:
    names = Names([], ["127.0.0.1"])
    sender = WebhookSender(2.0, resolve=names)
    with pytest.raises(WebhookFailed):
        asyncio.run(sender.post(TARGET, b"{}", {}))
    with pytest.raises(WebhookTargetInside):
        asyncio.run(sender.post(TARGET, b"{}", {}))
    assert connects == []


@pytest.mark.parametrize(("status", "location"), list(product(STATUSES, LOCATIONS)))
def test_no_redirect_is_followed(status: int, location: str) -> None:
    with receiver() as inside:
        told = {"location": location.format(port=inside.port)}
        with receiver(lambda _: (status, told, b"elsewhere")) as got:
            sender = WebhookSender(2.0, loopback=True)
            target = target_of(got.url())
            assert target is not None
            assert asyncio.run(sender.post(target, b"{}", {})) == status
            assert len(got.requests) == 1
        assert inside.connections == 0


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy, receiver() as got:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert post(got.url(), WebhookSender(2.0, loopback=True)) == "sent"
        assert (proxy.connections, len(got.requests)) == (0, 1)


def test_what_is_checked_is_what_the_world_calls_public() -> None:
    assert is_public(PUBLIC)


OPENERS = re.compile(r"AsyncClient\(|httpx2\.Client\(|urlopen\(|create_connection\(|open_connection\(|HTTPConnection\(")
OPERATORS = {  # addresses of the operator's own configuration, or of the service itself
    *("app/commands/ask.py", "app/commands/batch.py", "app/commands/remote.py", "app/evals/clients.py"),
    *(
        "generation/adapters/openai_batch.py",
        "generation/adapters/openai_chat.py",
        "generation/adapters/openai_moderation.py",
    ),
    *("generation/adapters/probe.py", "generation/adapters/token_counters.py", "retrieval/adapters/json_endpoint.py"),
}


def test_nothing_else_connects_to_an_address_that_somebody_names() -> None:
    """Whoever adds a place where a connection is opened says here whose word it is opened on."""
    packages = ("app", "generation", "ingest", "retrieval")
    found = {
        path.as_posix()
        for package in packages
        for path in Path(package).rglob("*.py")
        if OPENERS.search(path.read_text())
    }
    assert found == OPERATORS | {"app/adapters/named_address.py"}


@pytest.mark.usefixtures("_stopped_by_the_watch")
def test_the_sweep_of_the_command_line_finds_nothing_wrong() -> None:
    found = sweep(50, seed=7)
    assert found["wrong"] == []
    assert found["redirects"] == len(STATUSES) * len(LOCATIONS)
