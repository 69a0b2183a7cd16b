"""`grounded doctor` on tiers: a line each, with the finding and the fix, from endpoints on real sockets."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.commands.doctor import Check, _tiers
from tests.app.serving import settings_for


@contextmanager
def endpoint(models: list[str], known: str = "m", key: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Lists `models`, and answers for one of them, with the key alone where there is one."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, {"data": [{"id": name} for name in models]}) if models else self._send(404, {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(body)
            refused = key and self.headers["authorization"] != f"Bearer {key}"
            self._send(401 if refused else 200 if body["model"] == known else 404, {"choices": []})

        def _send(self, status: int, body: object) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def checked(tmp_path: Path, url: str, **more: Any) -> Check:
    tier = {"name": "small", "base_url": url, "model": "m", "price_input": 0, "price_output": 0} | more
    (check,) = asyncio.run(_tiers(settings_for(tmp_path, tiers=[tier])))
    return check


@pytest.mark.parametrize("models", [["m", "other"], []])
def test_an_endpoint_that_answers_is_asked_for_one_token(tmp_path: Path, models: list[str]) -> None:
    with endpoint(models) as (url, asked):
        check = checked(tmp_path, url)
    assert (check.name, check.status, check.fix) == ("tier small", "OK", "")
    assert "one token in" in check.detail
    assert [(body["model"], body["max_tokens"]) for body in asked] == [("m", 1)]


def test_a_model_that_is_not_there_is_told_beside_those_that_are(tmp_path: Path) -> None:
    with endpoint(["qwen", "llama"]) as (url, _):
        check = checked(tmp_path, url, model="qwem")
    assert check.status == "FAIL"
    assert "offers qwen, llama" in check.detail
    assert "Correct model" in check.fix


def test_a_key_that_is_refused(tmp_path: Path) -> None:
    with endpoint(["m"], key="right") as (url, _):
        check = checked(tmp_path, url, api_key="wrong-secret")
        good = checked(tmp_path, url, api_key="right")
    assert (check.status, good.status) == ("FAIL", "OK")
    assert "refuses the key" in check.detail
    assert "api_key_file" in check.fix
    assert "wrong-secret" not in str(check)


def test_nobody_is_there(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        check = checked(tmp_path, f"http://127.0.0.1:{unused.getsockname()[1]}/v1")
    assert check.status == "FAIL"
    assert "cannot be reached" in check.detail
    assert check.fix == "Start the endpoint, or correct base_url of the tier small."


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    check = checked(tmp_path, "http://127.0.0.1:9/v1", api_key_file=str(tmp_path / "gone"))
    assert (check.status, check.fix) == ("FAIL", "Correct its name, or let this user read it.")


def test_every_tier_has_a_line_and_without_any_there_is_none(tmp_path: Path) -> None:
    with endpoint(["m"]) as (url, _):
        one = {"base_url": url, "model": "m", "price_input": 0, "price_output": 0}
        settings = settings_for(tmp_path, tiers=[one | {"name": "a"}, one | {"name": "b", "model": "x"}])
        found = asyncio.run(_tiers(settings))
    assert [(check.name, check.status) for check in found] == [("tier a", "OK"), ("tier b", "FAIL")]
    assert asyncio.run(_tiers(settings_for(tmp_path))) == []
