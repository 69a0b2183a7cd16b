"""The files of docker/scale say what the manual says, and nginx lets streams through."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import setting_names, variable

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker" / "scale"
NGINX = (FOLDER / "nginx.conf").read_text()
MANUAL = (ROOT / "data" / "handbook" / "scale.md").read_text()


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return found


def test_nobody_but_this_machine_reaches_it_and_nginx_alone_is_reached(compose: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert list(ports) == ["nginx"]
    assert all(port.startswith("127.0.0.1:") for port in ports["nginx"])


def test_no_secret_stands_in_it_and_none_is_forgotten(compose: dict[str, Any]) -> None:
    text = (FOLDER / "compose.yaml").read_text()
    for secret in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "QDRANT_KEY"):
        used = re.findall(rf"(?<!\$)\${{{secret}[^}}]*}}", text)
        assert used, secret
        assert all(":?" in one for one in used), secret


def test_every_image_has_a_version(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert re.search(r":v?\d[\w.-]*$", service["image"]), name


def test_every_setting_is_one_that_there_is(compose: dict[str, Any]) -> None:
    known = {variable(name) for name in setting_names()}
    dockerfile = set(re.findall(r"(GROUNDED_\w+)=", (FOLDER / "Dockerfile").read_text()))
    for name in ("grounded-1", "grounded-2", "first-key"):
        assert set(compose["services"][name]["environment"]) | dockerfile <= known, name


def test_the_replicas_differ_in_nothing_and_share_the_folder_of_uploads(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["grounded-1"] == services["grounded-2"]
    assert "uploads:/uploads" in services["grounded-1"]["volumes"]
    assert "GROUNDED_UPLOADS=/uploads" in (FOLDER / "Dockerfile").read_text()


def test_what_each_waits_for_is_there(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services), name
        assert set(service["networks"]) <= set(compose["networks"]), name


def test_nginx_hands_on_to_every_replica_and_buffers_nothing(compose: dict[str, Any]) -> None:
    replicas = {name for name in compose["services"] if name.startswith("grounded-")}
    assert set(re.findall(r"server (grounded-\d+):8000", NGINX)) == replicas
    for line in ("proxy_buffering off;", "proxy_request_buffering off;", "gzip off;", "proxy_http_version 1.1;"):
        assert line in NGINX
    assert "X-Forwarded-For $remote_addr;" in NGINX, "what a client says of itself must not be handed on"
    (silence,) = map(int, re.findall(r"proxy_read_timeout (\d+)s;", NGINX))
    assert silence > 60, "the service pings every 15 s"
    assert NGINX.count("{") == NGINX.count("}")


def test_the_proxy_is_believed_and_nobody_else(compose: dict[str, Any]) -> None:
    (subnet,) = compose["networks"]["inside"]["ipam"]["config"]
    trusted = compose["services"]["grounded-1"]["environment"]["GROUNDED_LIMITS__TRUSTED_PROXIES"]
    assert trusted == f'["{subnet["subnet"]}"]'


def test_the_image_installs_what_the_project_pins_and_runs_as_nobody() -> None:
    dockerfile = (FOLDER / "Dockerfile").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (wanted,) = re.findall(r"'\.\[([\w,]+)\]'", dockerfile)
    assert set(wanted.split(",")) <= extras.keys()
    assert "--constraint constraints.txt" in dockerfile
    assert dockerfile.index("USER grounded") < dockerfile.index('CMD ["grounded"')


def test_the_manual_names_each_service(compose: dict[str, Any]) -> None:
    for name in compose["services"]:
        assert f"`{name.partition('-')[0]}" in MANUAL or f"`{name}`" in MANUAL, name
