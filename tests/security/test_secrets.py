"""No secret of any setting is shown: by commands, replies, the log, errors or tracebacks; and none is read from a file that
others may read."""

import asyncio
import base64
import io
import json
import logging
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog
from pydantic import SecretStr

from app.api.service import create_app
from app.commands.config import settings_table, show
from app.keys.model import new_key
from app.secret_files import secret_in
from app.settings import ConfigurationError, Settings, fields, load, secrets_of, variable
from app.telemetry import configure
from tests.app.serving import served

CANARY = "s3cr3t-canary"
NAMES = [name for name, info in fields() if info.annotation is SecretStr]
TIER = '[[tiers]]\nname = "small"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\nprice_input = 0\nprice_output = 0\n'


def canary(name: str) -> str:
    """A secret that this setting takes."""
    if name == "webhooks.secret":
        return "whsec_" + base64.b64encode(f"{CANARY}-{name}-and-some-more".encode()).decode()
    if name.endswith("url"):
        scheme = "redis" if "redis" in name else "postgresql"
        return f"{scheme}://user:{CANARY}-{name}@127.0.0.1:9/0"
    return f'{CANARY}-{name}-"quoted"'


CANARIES = {name: canary(name) for name in NAMES}


def held(text: str) -> list[str]:
    """The secrets that stand in a text, also as JSON writes them."""
    return [name for name, secret in CANARIES.items() if secret in text or json.dumps(secret)[1:-1] in text] + (
        [CANARY] if CANARY in text else []
    )


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("GROUNDED_CONFIG", str(tmp_path / "grounded.toml"))
    (tmp_path / "grounded.toml").write_text(f'{TIER}api_key = "{CANARY}-tier"\n')
    (tmp_path / "grounded.toml").chmod(0o600)
    for name, secret in CANARIES.items():
        monkeypatch.setenv(variable(name), secret)
    return load(state=tmp_path / "state")


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_there_are_some() -> None:
    assert {"generation.api_key", "index.api_key", "webhooks.secret"} <= set(NAMES)


def test_all_of_them_are_known_to_the_log(settings: Settings) -> None:
    assert set(secrets_of(settings)) == {*CANARIES.values(), f"{CANARY}-tier"}


@pytest.mark.parametrize("as_json", [False, True])
def test_commands_show_stars(settings: Settings, capsys: pytest.CaptureFixture[str], *, as_json: bool) -> None:
    assert asyncio.run(show(settings, as_json=as_json)) == 0
    said = capsys.readouterr().out
    assert "****" in said
    assert held(said) == []
    assert held("\n".join(settings_table())) == []


def test_settings_as_text_show_stars(settings: Settings) -> None:
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert held(text) == []


def test_a_password_in_any_address_is_starred(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    url = settings.model_copy(update={"public_url": f"https://user:{CANARY}@grounded.example/a@b"})
    asyncio.run(show(url, as_json=True))
    said = capsys.readouterr().out
    assert held(said) == []
    assert "https://user:********@grounded.example/a@b" in said


def test_the_interface_describes_none(settings: Settings) -> None:
    assert held(json.dumps(create_app(settings).openapi())) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_value_is_not_repeated(settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    del settings
    monkeypatch.setenv(variable(name), f"whsec_{CANARY}")
    assert held(refusal()) == []


def refusal() -> str:
    """What is said of settings that are wrong; nothing where they are not."""
    try:
        load()
    except ConfigurationError as error:
        return f"{error.message} {error.next_step} {error}"
    return ""


class BrokenError(RuntimeError):
    """A failure whose text holds what no failure should."""


def fail(text: str) -> None:
    raise BrokenError(text)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_line_of_the_log_holds_one_whatever_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, log_format: Literal["text", "json"]
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    configure(log_format, "debug", secrets_of(settings))
    _, key = new_key("a", "default", ("ask",), None, None, None)
    for secret in (*CANARIES.values(), f"{CANARY}-tier", key):
        try:
            fail(f"401 for {secret} at http://127.0.0.1")
        except BrokenError:
            structlog.get_logger().exception("request.failed", header=f"Bearer {secret}")
        logging.getLogger("a.library").warning("sent %s", secret)
    said = log.getvalue()
    assert said.count("BrokenError") >= len(CANARIES)
    assert held(said) == []
    assert key not in said
    if log_format == "json":
        assert all(isinstance(json.loads(line), dict) for line in said.splitlines())


def test_no_reply_of_a_service_that_holds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address that is read, an answer with its explanation, and a failure that nobody planned."""
    for name, secret in CANARIES.items():
        if "." in name:  # those outside of sections are addresses of servers
            monkeypatch.setenv(variable(name), secret)
    monkeypatch.setenv("GROUNDED_WEBHOOKS__ALLOW", '["hooks.example"]')
    files: dict[str, str | bytes] = {"a.md": "# A\n\nThe gate is green.\n"}
    with structlog.testing.capture_logs(), served(tmp_path, files) as service:
        assert set(secrets_of(service.grounded.settings)) == {CANARIES[name] for name in CANARIES if "." in name}
        answer = service.ask("What colour is the gate?").json()
        paths = [f"/v1/answers/{answer['id']}", f"/v1/answers/{answer['id']}/explain", "/openapi.json", "/health/ready"]
        paths += ["/v1/collections", "/v1/generations", "/v1/jobs", "/v1/documents", "/v1/webhooks/dead"]
        for path in paths:
            reply = service.get(path)
            assert reply.status_code == 200, reply.text
            assert held(reply.text + str(reply.headers)) == []

        async def fails(*_: Any, **__: Any) -> Any:
            raise BrokenError(" ".join(CANARIES.values()))

        monkeypatch.setattr(service.grounded.catalog, "collection", fails)
        reply = service.ask("What colour is the gate?")
        assert reply.status_code == 500
        assert held(reply.text + str(reply.headers)) == []


class TestFiles:
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622, 0o644, 0o601])
    def test_one_that_others_may_use_is_not_read(self, tmp_path: Path, mode: int) -> None:
        file = tmp_path / "key"
        file.write_text(f"{CANARY}\n")
        file.chmod(mode)
        with pytest.raises(OSError, match="chmod 600"):
            secret_in(file)
        file.chmod(0o600)
        assert secret_in(file) == CANARY
        file.chmod(0o400)
        assert secret_in(file) == CANARY

    @pytest.mark.parametrize("name", NAMES)
    def test_every_secret_may_stand_in_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        file = tmp_path / "secret"
        file.write_text(CANARIES[name])
        file.chmod(0o644)
        monkeypatch.setenv(f"{variable(name)}_FILE", str(file))
        with pytest.raises(ConfigurationError, match="chmod 600") as caught:
            load()
        assert held(str(caught.value)) == []
        file.chmod(0o600)
        assert CANARIES[name] in secrets_of(load())

    @pytest.mark.parametrize("held_there", [f'{TIER}api_key = "{CANARY}"', f'[generation]\napi_key = "{CANARY}"'])
    def test_a_configuration_that_holds_one_is_its_owners(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_there: str
    ) -> None:
        file = tmp_path / "grounded.toml"
        monkeypatch.setenv("GROUNDED_CONFIG", str(file))
        file.write_text(held_there)
        file.chmod(0o644)
        with pytest.raises(ConfigurationError, match="others than its owner"):
            load()
        file.chmod(0o600)
        assert CANARY in secrets_of(load())
        file.write_text(TIER)
        file.chmod(0o644)
        assert secrets_of(load()) == []


def test_a_crash_leaves_no_image_of_the_process() -> None:
    """In a process of its own, whose limit cannot be raised again."""
    code = "import resource; from app.secret_files import no_core_dumps; no_core_dumps(); print(resource.getrlimit(4))"
    assert resource.RLIMIT_CORE == 4
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(0, 0)"
