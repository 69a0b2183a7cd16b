"""`grounded eval calibrate` and the file that it writes: fitted, read by the service, and bound to what it was fitted for."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from app import cli
from app.calibration import SHIPPED_FOR, STAND_IN, Calibration, LiveBars, read_calibration
from app.commands.doctor import _abstention as abstention_check
from app.settings import ConfigurationError
from generation.abstention import SHIPPED, Bars
from tests.app.serving import answer, fake_embedder, product, served, write
from tests.app.test_routing import FILES, PLAIN, done, run, tiered
from tests.chat_endpoint import streamed
from tests.fakes import FakeEmbedder
from tests.ingest.memory import LineReader
from tests.model_endpoint import Reply, endpoint
from tests.scripted_upstream import reply

BARS = Bars(near=0.25, answer=0.45)
OWN = Calibration(FakeEmbedder.fingerprint, BARS, "embedded:1", None, {"n": 4})
ROWS: list[dict[str, Any]] = [
    {"question": "How many days do refunds take at most?", "answers": ["14 days"]},
    {"question": "How are parcels sent?", "answers": ["by ship"], "answerable": True},
    {"question": "How are refunds paid?", "answers": ["in gold"]},
    {"question": "Which guitarist recorded seventeen jazz albums yesterday?", "answers": [], "answerable": False},
    {"question": "Who painted it?", "answerable": False},
]


@pytest.fixture
def calibrate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Runs the command here, on two files; its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GROUNDED_INGEST__MIN_FREE_MB", "0")
    write(tmp_path / "docs", FILES)

    def call(*words: str, rows: list[dict[str, Any]] = ROWS) -> tuple[int, str, str]:
        Path("qa.jsonl").write_text("\n".join(map(json.dumps, rows)))
        capfd.readouterr()
        with fake_embedder(), pytest.raises(SystemExit) as end:
            cli.app(["eval", "calibrate", *words, "--qa", "qa.jsonl"])
        assert isinstance(end.value.code, int)
        return end.value.code, *capfd.readouterr()

    yield call
    structlog.reset_defaults()


Calibrate = Callable[..., tuple[int, str, str]]


class TestCommand:
    def test_it_fits_prints_and_writes_what_the_service_reads(self, calibrate: Calibrate, tmp_path: Path) -> None:
        code, out, err = calibrate("docs", "--write", "bars.json", "--target", "answered=1")
        assert code == 0, err
        told = json.loads(out)
        assert (told["n"], told["answerable"], told["target"]) == (5, 3, "answered=1")
        assert told["auroc"]["value"] == 1.0
        assert told["at"]["answered"] == {"value": 1.0, "ci95": [1.0, 1.0]}
        assert told["at"]["abstained"]["value"] == 1.0
        assert told["at"]["correct"]["value"] == pytest.approx(2 / 3, abs=1e-3)
        assert told["in_force"]["near"] is None
        assert told["embedder"] == FakeEmbedder.fingerprint
        assert told["shipped_embedder"] is False
        assert [row["coverage"] for row in told["risk_coverage"]][-1] == 1.0
        assert told["model"] is None
        written = read_calibration(tmp_path / "bars.json")
        assert written.bars == Bars(told["bars"]["near"], told["bars"]["answer"])
        assert written.embedder == FakeEmbedder.fingerprint
        assert written.verifier.startswith("embedded:")
        kept = (tmp_path / "bars.json").read_text()
        assert not any(word in kept for word in ("refunds", "guitarist", "days")), "numbers only"
        assert not list(tmp_path.glob("*.part"))

    def test_a_corpus_of_rows_does_as_well(self, calibrate: Calibrate, tmp_path: Path) -> None:
        rows = [{"_id": name, "title": "", "text": text} for name, text in FILES.items()]
        (tmp_path / "docs" / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
        code, out, err = calibrate("docs", "--limit", "4", "--target", "balanced")
        assert code == 0, err
        assert (json.loads(out)["n"], json.loads(out)["written"]) == (4, None)

    @pytest.mark.parametrize(
        ("words", "rows", "says"),
        [
            (["--target", "most"], ROWS, "no target"),
            ([], [row for row in ROWS if row.get("answerable") is False], "no answerable question"),
            (["--tier", "large"], ROWS, "unknown_tier"),
        ],
    )
    def test_what_cannot_be_done_is_told(
        self, calibrate: Calibrate, words: list[str], rows: list[dict[str, Any]], says: str
    ) -> None:
        code, out, err = calibrate("docs", *words, rows=rows)
        assert code != 0
        assert says in err
        assert not out

    def test_the_answers_of_a_model_are_put_to_the_verifier(
        self, calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Half of what it says is right; the bar is put between by what the verifier thinks of it."""

        def reply_to(body: Any) -> Reply:
            asked = body["messages"][-1]["content"]
            known = "Refunds take 14 days at most." if "How many days" in asked else "Parcels are sent by ship."
            return streamed(f"{known if 'days' in asked or 'parcels' in asked else 'Penguins paint in Peru.'} [1]")

        with endpoint(reply_to) as seen:
            chat = {
                "BACKEND": "openai_chat",
                "BASE_URL": seen.url,
                "MODEL": "m",
                "PRICE_INPUT": "0",
                "PRICE_OUTPUT": "0",
            }
            for name, value in chat.items():
                monkeypatch.setenv(f"GROUNDED_GENERATION__{name}", value)
            monkeypatch.setenv("GROUNDED_CONTEXT__TOKENIZER", "estimate")
            code, out, err = calibrate("docs", "--tier", "default", "--target", "answered=1", "--write", "bars.json")
        assert code == 0, err
        model = json.loads(out)["model"]
        assert (model["n"], model["right"]) == (5, 2)
        assert model["passed"]["right"] == 1.0
        assert read_calibration(tmp_path / "bars.json").carried == model["carried"]


class TestFile:
    def test_it_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        for carried in (None, 0.25):
            own = Calibration("f", BARS, "embedded:1", carried, {"n": 4})
            (tmp_path / "bars.json").write_text(json.dumps(own.as_json()))
            assert read_calibration(tmp_path / "bars.json") == own

    @pytest.mark.parametrize(
        "change",
        [
            {"form": 2},
            {"near": "far"},
            {"answer": None},
            {"answer": 7},
            {"near": True},
            {"carried": [1]},
            {"answer": 1e999},
        ],
    )
    def test_what_is_no_such_file_is_refused_with_its_name(self, tmp_path: Path, change: dict[str, Any]) -> None:
        (tmp_path / "bars.json").write_text(json.dumps(OWN.as_json() | change))
        with pytest.raises(ConfigurationError, match=r"abstention\.calibration.*bars\.json"):
            read_calibration(tmp_path / "bars.json")

    @pytest.mark.parametrize("content", ["", "[]", "{}", "{", '"x"', "null"])
    def test_nor_is_anything_else(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "bars.json").write_text(content)
        with pytest.raises(ConfigurationError):
            read_calibration(tmp_path / "bars.json")
        with pytest.raises(ConfigurationError):
            read_calibration(tmp_path / "missing.json")


class TestWhatIsInForce:
    def test_the_shipped_bars_for_the_shipped_embedder(self) -> None:
        bars = LiveBars(lambda: SHIPPED_FOR, "embedded:1")
        assert (bars.now(), bars.problem, bars.carried) == (SHIPPED, None, None)

    def test_ones_own_for_the_embedder_they_were_fitted_for(self) -> None:
        bars = LiveBars(lambda: FakeEmbedder.fingerprint, "embedded:1", OWN)
        assert (bars.now(), bars.problem) == (BARS, None)

    def test_after_a_swap_of_the_embedder_they_are_not_used_and_that_is_said_once(self) -> None:
        live = [FakeEmbedder.fingerprint]
        bars = LiveBars(lambda: live[0], "embedded:1", OWN)
        with structlog.testing.capture_logs() as log:
            for name, wanted in (("another", STAND_IN), ("another", STAND_IN), (SHIPPED_FOR, SHIPPED)):
                live[0] = name
                assert bars.now() == wanted
                assert "another embedder" in (bars.problem or "")
        assert [line["event"] for line in log] == ["abstention.not_calibrated"]
        live[0] = FakeEmbedder.fingerprint
        assert (bars.now(), bars.problem) == (BARS, None)

    def test_a_probability_holds_for_its_verifier_alone(self) -> None:
        own = Calibration(FakeEmbedder.fingerprint, BARS, "embedded:1", 0.3)
        assert LiveBars(lambda: FakeEmbedder.fingerprint, "embedded:1", own).carried == 0.3
        other = LiveBars(lambda: FakeEmbedder.fingerprint, "embedded:2", own)
        assert (other.carried, other.now()) == (None, BARS)
        assert "verifier" in (other.problem or "")

    def test_nothing_is_too_far_where_models_are_always_asked(self) -> None:
        bars = LiveBars(lambda: SHIPPED_FOR, "embedded:1", asks_always=True)
        assert bars.now() == Bars(None, SHIPPED.answer)


def test_the_file_decides_in_the_product(tmp_path: Path) -> None:
    """The same question, with bars that nothing and that everything reaches."""

    async def use() -> None:
        for near, asked in ((0.9, 0), (0.01, 1)):
            (tmp_path / "bars.json").write_text(
                json.dumps(Calibration(FakeEmbedder.fingerprint, Bars(near, 0.9), "").as_json())
            )
            own = {"abstention": {"calibration": tmp_path / "bars.json"}}
            async with tiered(tmp_path, reply("Refunds take 14 days at most. [1]"), [], **own) as (grounded, one, _):
                end = done(await answer(grounded, PLAIN))
                assert len(one.requests) == asked
                assert end.finish_reason == ("stop" if asked else "abstained")
            async with product(tmp_path, FILES, LineReader(), **own) as grounded:
                end = done(await answer(grounded, PLAIN))
                assert end.abstention is not None
                assert end.abstention.reason == ("no_supported_sentence" if asked else "below_threshold")

    run(use)


def test_readiness_and_doctor_tell_where_the_bars_are_not_the_embedders(tmp_path: Path) -> None:
    with served(tmp_path, FILES) as service:
        ready = service.get("/health/ready").json()
        assert "another embedder" in ready["details"]["abstention"]
        assert set(ready["checks"].values()) == {"ok"}, "it answers"
    warned = abstention_check(ready["details"]["abstention"])
    assert (warned.name, warned.status) == ("abstention", "WARN")
    assert "grounded eval calibrate" in warned.fix
    assert abstention_check(None).status == "OK"
