"""One owner at a time, told apart by a lock and not by a file that may have been left behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.state import StateFolder
from ingest.errors import StateLocked, StateNotWritable

HOLD = "import sys; from pathlib import Path; from app.state import StateFolder\n"
HOLD += "with StateFolder(Path(sys.argv[1])).owned(sys.argv[2] or None): print('held', flush=True); sys.stdin.read()"


def test_a_second_owner_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with StateFolder(tmp_path).owned("http://127.0.0.1:1234"):
        with pytest.raises(StateLocked, match="1234"), StateFolder(tmp_path).owned():
            pass
        assert StateFolder(tmp_path).service_url() == "http://127.0.0.1:1234"
    with StateFolder(tmp_path).owned():
        assert StateFolder(tmp_path).service_url() is None


def test_an_owner_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path), "http://127.0.0.1:9"]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    assert StateFolder(tmp_path).service_url() == "http://127.0.0.1:9"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    holder.stdin.close()
    assert StateFolder(tmp_path).service_url() is None
    with StateFolder(tmp_path).owned():
        assert json.loads((tmp_path / "owner.json").read_text())["url"] is None


def test_no_folder_has_no_service(tmp_path: Path) -> None:
    assert StateFolder(tmp_path / "none").service_url() is None


def test_a_state_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateNotWritable), StateFolder(tmp_path / "file" / "state").owned():
        pass
