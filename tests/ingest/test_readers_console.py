"""Recorded terminals in Markdown."""

import pytest

from ingest.readers.console import as_printed
from ingest.readers.registry import read, stamped

RECORDED = """# Run it

Run the server:

```console
$ <font color="#4E9A06">tool</font> run <u style="x">main.py</u>
  <span style="background-color:#009485"><font color="#D3D7CF"> INFO </font></span>  &apos;a&apos; &lt;b&gt; &amp;lt;
```

Use `<span style="color:red">` in HTML:

```html
<span style="color:red">red</span>
```

<span style="color:red">prose</span>
"""
PRINTED = """# Run it

Run the server:

```console
$ tool run main.py
   INFO   'a' <b> &lt;
```
"""


def test_a_recording_reads_as_it_was_printed_and_nothing_else_changes() -> None:
    text = as_printed(RECORDED)
    assert text.startswith(PRINTED)
    assert text.removeprefix(PRINTED) == RECORDED[RECORDED.index("\nUse `<span") :]
    assert as_printed(text) == text


def test_lines_and_offsets_are_those_of_the_text_that_is_kept() -> None:
    parsed = read("guide.md", RECORDED.encode())
    (block,) = [block for block in parsed.blocks if "tool run" in parsed.text[block.start : block.end]]
    assert (block.kind, block.line) == ("code", RECORDED[: RECORDED.index("```console")].count("\n") + 1)
    assert parsed.text.count("\n") == RECORDED.count("\n")
    assert "<font" not in parsed.text


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx = '<font color=red>a</font>'\n```\n",
        "```\n<u>no colour</u>\n```\n",
        "<font color=red>no fence</font>\n",
        "```\n<font color=red>never closed</font>\n",
    ],
)
def test_what_is_no_recording_stays(text: str) -> None:
    assert as_printed(text) == text


@pytest.mark.parametrize("text", ["<font color=" * 20_000, "```\n" * 40_000 + "<font color=a", "`" * 200_000])
def test_hostile_text_ends(text: str) -> None:
    assert isinstance(as_printed(f"<span style=>{text}"), str)


def test_files_whose_reader_changed_are_read_anew() -> None:
    assert stamped("structure-5/256", "a.md") == "structure-5/256/read-2"
    assert stamped("structure-5/256", "a.txt") == stamped("structure-5/256", "no ending") == "structure-5/256"
