"""Whatever a model writes, what a reader's Markdown makes of the filtered text neither fetches nor links."""

import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from generation.filters.hold_back import HoldBack
from generation.filters.invisible import InvisibleScanner
from generation.filters.markdown import MarkdownScanner, safe_markdown

MARKED = Path(__file__).parents[3] / "app" / "web" / "vendor" / "marked.esm.js"
SIGNS = (
    *(
        "[",
        "]",
        "(",
        ")",
        "!",
        "`",
        "``",
        "```",
        "~~~",
        "\n",
        "\n\n",
        " ",
        "  ",
        "    ",
        "- ",
        "> ",
        "1. ",
        "\t",
        "# ",
        "*",
        "|",
    ),
    *(
        "a",
        "b c",
        "http://",
        "https://evil.example/?q=s",
        "www.",
        "evil.example",
        "mailto:a@b.example",
        "<",
        ":",
        "\\",
        "&#91;",
    ),
    *(
        "![x](u)",
        "[x](u)",
        "](u)",
        "[r]: u\n",
        "[r]",
        "[^1]: u\n",
        "<img src=x>",
        "<a href=x>",
        "<script>",
        "<!--",
        "-->",
    ),
    *(
        "<http://e>",
        "h",
        "ttp://",
        "//",
        "|-|-|\n",
        "```\n",
        "~~~\n",
        "  ```\n",
        "[![x](u)](v)",
        "[x][r]",
        "javascript:alert(1)",
    ),
    *("\r", "\x0c", "\u2028", " " * 70, "\\`", "//evil.example", "[r](", "&amp;", "&colon;", "`` "),
)
RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def clean(text: str) -> str:
    """As the filters make it, one behind the other."""
    return safe_markdown(HoldBack(InvisibleScanner()).feed(text, final=True))


def variants(count: int, seed: int = 3) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(SIGNS, k=draw.randint(2, 22))) for _ in range(count)]


def active(text: str) -> list[str]:
    """What a renderer makes of the text that fetches, links or is HTML, and addresses that others would make links of."""
    found = []
    for token in RENDERER.parse(text):
        found += ["html"] if token.type == "html_block" else []
        for child in token.children or []:
            found += [child.type] if child.type in ("link_open", "image", "html_inline") else []
            if child.type == "text" and re.search(r"(?i)https?://|www\.|mailto:", child.content):
                found.append(child.content)
    return found


def test_the_attacks_are_live_without_it() -> None:
    assert sum(bool(active(text)) for text in variants(500)) > 300


def test_no_variant_links_or_fetches() -> None:
    assert [text for text in variants(6000) if active(clean(text))] == []


@pytest.mark.skipif(shutil.which("node") is None, reason="Node renders what the page renders")
def test_no_variant_links_or_fetches_in_the_renderer_of_the_page() -> None:
    said = [clean(text) for text in variants(4000, seed=4)]
    script = f"""
import {{ Marked }} from {json.dumps(MARKED.as_uri().replace("file://", ""))};
import {{ readFileSync }} from "node:fs";
const marked = new Marked();
const bad = JSON.parse(readFileSync(0, "utf8")).filter((text) => /<(a|img|script|iframe)\\b/i.test(marked.parse(text)));
console.log(JSON.stringify(bad));
"""
    run = subprocess.run(
        ["node", "--input-type=module", "-e", script],
        input=json.dumps(said),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("See [the terms](terms.md), please.", "See the terms, please."),
        ("It uses the [`encoder`](./encoder.md) here", "It uses the `encoder` here"),
        ("A ![chart](https://e.example/q.png) here", "A chart here"),
        ("Open https://a.example/b?c=d.", "Open `https://a.example/b?c=d`."),
        ("x < 3 and y <- 4, a & b, AT&T", "x < 3 and y <- 4, a & b, AT&T"),
        ("Use `[a](b)` and `<b>` as they are.", "Use `[a](b)` and `<b>` as they are."),
        ("```py\nx[0](1) # <b>\n```\n[a](b.md)", "```py\nx[0](1) # <b>\n```\na"),
        ("1. Do:\n   ```sh\n   ls <x>\n   ```\n2. Go", "1. Do:\n   ```sh\n   ls <x>\n   ```\n2. Go"),
        ("**Bold**, _it_ and lists:\n- [ ] one\n- two", "**Bold**, _it_ and lists:\n- [ ] one\n- two"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("A <b>tag</b>", "A \\<b>tag\\</b>"),
        ("The ``inner'' part of `x` and ``more''", "The ``inner'' part of `x` and ``more''"),
        ("a rise in [Ca(2+)](i) of &NA; or AT&amp;T", "a rise in [Ca(2+)]\\(i) of &NA; or AT&amp;T"),
        ("[r]: https://e.example", "[r]\\: `https://e.example`"),
    ],
)
def test_what_is_harmless_stays(text: str, said: str) -> None:
    assert safe_markdown(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "[r" + " " * 70 + "\n]: //evil.example/x\n\n[r]",
        "`a\r\r[x](//evil.example)\r\r`",
        "```\r\n```\r\n[x](//evil.example)",
        "`` a\n` b `` [x](//evil.example) `",
        "`` a\n\\``[x](//evil.example)`",
        "`` a" + " " * 70 + "\n` b `` [x](//evil.example) `",
    ],
)
def test_what_got_through_once(text: str) -> None:
    assert active(text)
    assert active(clean(text)) == []


def test_pieces_make_no_difference() -> None:
    draw = random.Random(5)
    for text in variants(3000, seed=6):
        stream = HoldBack(MarkdownScanner())
        said, at = "", 0
        while at < len(text):
            step = draw.choice((1, 1, 2, 5, 40))
            said += stream.feed(text[at : at + step])
            at += step
        assert said + stream.feed("", final=True) == safe_markdown(text), text
