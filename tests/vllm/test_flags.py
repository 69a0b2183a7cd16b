"""Every flag that we tell people to start vLLM with is one that vLLM has, with a value that it takes."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.vllm.server import FLAGS

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker" / "vllm" / "compose.yaml"
MANUAL = ROOT / "data" / "handbook" / "vllm.md"
OPTIONS = "VLLM_OPTIONS="
# Parses command lines as the server does; a line that it refuses is told with the reason, and the others go on.
PARSE = """
import contextlib, io, json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
known = make_arg_parser(FlexibleArgumentParser())
def refused(line):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        known.parse_args(line)
        return None
    return said.getvalue()[-300:] or "refused"
print(json.dumps([refused(line) for line in json.load(sys.stdin)]))
"""


def service() -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(COMPOSE.read_text())["services"]["vllm"]
    return found


def filled(text: str) -> str:
    """What compose puts in for a variable: its default, and a model's name for the one without."""
    return re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", lambda match: match[2] if match[2] is not None else "m", text)


def served() -> list[str]:
    return shlex.split(filled(str(service()["command"])))


def told() -> list[list[str]]:
    """The further options that the manual tells."""
    return [
        shlex.split(shlex.split(line.removeprefix(OPTIONS))[0])
        for line in MANUAL.read_text().splitlines()
        if line.startswith(OPTIONS)
    ]


class TestCompose:
    def test_it_answers_this_machine_alone_and_fetches_nothing(self) -> None:
        found = service()
        assert isinstance(found["ports"], list)
        assert isinstance(found["environment"], dict)
        assert all(port.startswith("127.0.0.1:") for port in found["ports"])
        assert found["environment"]["HF_HUB_OFFLINE"] == "1"
        assert ":latest" not in str(found["image"])

    def test_what_the_issue_of_a_gpu_needs_is_there(self) -> None:
        wanted = {"--max-model-len", "--gpu-memory-utilization", "--enable-prefix-caching", "--enable-chunked-prefill"}
        wanted |= {"--max-num-seqs", "--max-num-queued-reqs", "--max-num-queued-tokens"}
        assert wanted <= set(served())

    def test_the_manual_explains_each_of_its_flags(self) -> None:
        manual = MANUAL.read_text()
        for line in (served(), *told()):
            for flag in (word for word in line if word.startswith("--")):
                assert f"`{flag.partition('.')[0]}" in manual, flag

    def test_options_of_the_manual_are_found(self) -> None:
        flags = {word.partition(".")[0] for line in told() for word in line}
        assert {"--speculative-config", "--enable-lora", "--lora-modules"} <= flags


@pytest.mark.vllm
@pytest.mark.slow
def test_vllm_knows_them_all() -> None:
    python = os.environ.get("GROUNDED_TEST_VLLM_PYTHON")
    if not python:
        pytest.skip("no environment with vLLM: run make test-vllm, or set GROUNDED_TEST_VLLM_PYTHON")
    lines = [served(), *([*served(), *more] for more in told()), list(FLAGS), [*served(), "--no-such-flag"]]
    ran = subprocess.run([python, "-c", PARSE], input=json.dumps(lines), capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    *ours, unknown = json.loads(ran.stdout.splitlines()[-1])
    assert ours == [None] * (len(lines) - 1)
    assert "--no-such-flag" in unknown
