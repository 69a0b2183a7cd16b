"""What the readers make of files is measured by the processes that serve, and a file that is lost counts."""

import asyncio
import json
from pathlib import Path

import pytest

from app.evals.corpus import BadEvalData
from app.evals.extract import extract, words
from app.settings import Settings
from tests.ingest.reading import SHARED, pdf

Report = dict


@pytest.fixture
def measured(capsys):
    def measure(folder: Path) -> Report:
        assert asyncio.run(extract(Settings(), folder, None)) == 0
        return json.loads(capsys.readouterr().out)

    return measure


def _index(folder: Path, *rows: dict) -> None:
    (folder / "index.jsonl").write_text("\n".join(map(json.dumps, rows)))


def test_words_of_the_reference_that_are_read(tmp_path, measured):
    reference = "# Title <!-- a comment -->\n\n[one](http://hidden.example/(x)) two\\_three &amp; four four"
    (tmp_path / "truth.md").write_text(reference)
    (tmp_path / "all.html").write_text("<h1>Title</h1><p>one two three four four</p>")
    (tmp_path / "half.html").write_text("<h1>Title</h1><p>one four</p>")
    (tmp_path / "lost.pdf").write_bytes(pdf("")[:50])
    (tmp_path / "free.txt").write_text("free")
    labelled = ("all.html", "half.html", "lost.pdf")
    _index(tmp_path, *({"file": name, "groundtruth": "truth.md"} for name in labelled), {"file": "free.txt"})
    report = measured(tmp_path)
    assert report["formats"]["html"] == {"n": 2, "read": 2, "referenced": 2, "median_word_recall": 0.75}
    assert report["formats"]["pdf"] == {"n": 1, "read": 0, "referenced": 1, "median_word_recall": 0.0}
    assert report["formats"]["txt"]["median_word_recall"] is None
    assert (report["n"], report["verdicts"]) == (4, {"read": 3, "broken_file": 1})
    assert [row["file"] for row in report["files"]] == ["half.html", "lost.pdf"]


def test_encodings(tmp_path, measured):
    (tmp_path / "files").mkdir()
    for name, encoding in {"a.xml": "cp1252", "b.txt": "utf-8"}.items():
        (tmp_path / "files" / name).write_bytes("<p>Grüße aus Köln, schöne Straßen</p>".encode(encoding))
    rows = [{"file": "a.xml", "encoding": "cp1252"}, {"file": "b.txt", "encoding": "cp1252"}]
    _index(tmp_path, *rows, {"file": "a.xml", "encoding": "utf-8"})  # the last label cannot be true
    assert measured(tmp_path)["encodings"] == {"n": 2, "right": 1, "share": 0.5}


def test_a_folder_without_an_index_is_told_file_by_file(tmp_path, measured):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "good.pdf").write_bytes(pdf("text"))
    (tmp_path / "scan.pdf").write_bytes(pdf(""))
    report = measured(tmp_path)
    assert report["verdicts"] == {"read": 1, "empty_text": 1}
    assert (report["crashes"], report["hangs"]) == (0, 0)


@pytest.mark.parametrize("rows", [[{"name": "x"}], [7], [{"file": "gone.txt"}]])
def test_an_index_that_is_none(tmp_path, rows):
    _index(tmp_path, *rows)
    with pytest.raises(BadEvalData):
        asyncio.run(extract(Settings(), tmp_path, None))


def test_words_are_compared_as_people_read_them():
    assert words("Ünï_code ﬁx 2") == words("ünï CODE fix ２")


BARS = {"docx": 0.95, "html": 0.95, "md": 0.95, "pptx": 0.95, "xlsx": 0.95, "pdf": 0.9}


@pytest.mark.shared
def test_real_files_are_read(measured):
    if not (SHARED / "ingest_docling").exists():
        pytest.skip("no evaluation data ingest_docling beside the checkout")
    report = measured(SHARED / "ingest_docling")
    found = {ending: report["formats"][ending]["median_word_recall"] for ending in BARS}
    assert {ending: recall for ending, recall in found.items() if recall < BARS[ending]} == {}
    assert (report["crashes"], report["hangs"]) == (0, 0)
