"""`grounded webhooks`: dead letters are listed and sent again where no service runs, as whoever owns the state folder."""

import asyncio
import json
from pathlib import Path

import pytest

from app.commands.ask import RemoteError
from app.commands.webhooks import dead, retry
from app.settings import Settings
from tests.app.serving import fake_embedder, served, settings_for
from tests.app.test_isolation import dead_letter

pytestmark = pytest.mark.usefixtures("silent")

HOOKS = {"allow": ["hooks.example"], "secret": "whsec_" + "A" * 40}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path / "state", webhooks=HOOKS)


def with_dead_letter(folder: Path) -> str:
    """Its id; the service has ended since."""
    with served(folder, {"a.md": "# A\n\nThe gate is green.\n"}, webhooks=HOOKS) as service:
        service.run(service.grounded.webhooks.stop())
        batch = {"questions": [{"id": "q", "question": "What colour?"}], "webhook": "https://hooks.example"}
        job = service.request("POST", "/v1/batch", json=batch).json()
        service.ended(job["id"])
        return dead_letter(service, job["id"])


def test_a_dead_letter_is_listed_and_sent_again(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    id_ = with_dead_letter(tmp_path)
    with fake_embedder():
        assert asyncio.run(dead(settings, 50, None, as_json=True)) == 0
        (row,) = json.loads(capsys.readouterr().out)["data"]
        assert (row["id"], row["state"], row["url"]) == (id_, "dead", "https://hooks.example")
        assert asyncio.run(dead(settings, 50, None, as_json=False)) == 0
        assert "hooks" in capsys.readouterr().out
        assert asyncio.run(retry(settings, id_, as_json=True)) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["id"], told["state"], told["attempts"]) == (id_, "waiting", 0)
        assert asyncio.run(dead(settings, 50, None, as_json=False)) == 0
        assert "no dead letter" in capsys.readouterr().err


@pytest.mark.parametrize("id_", ["msg_0", "../jobs", "a?b#c"])
def test_one_that_there_is_not(settings: Settings, id_: str) -> None:
    with fake_embedder(), pytest.raises(RemoteError) as caught:
        asyncio.run(retry(settings, id_, as_json=False))
    assert caught.value.status == 404
