import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.citations import Marks, asserts
from generation.marks import MarkScanner, Text
from generation.model import DraftSentence, DraftText
from ingest.sentences import sentence_spans

RECORDED = (
    "Refunds are issued within 14 days [1]. Shipping is free.[2][3] Dr. Smith, e.g., agreed. [1, 3] See [below].",
    "Here is what I found:\n\n- First item 【1】\n- Second item [1-3]\n  1. nested [2]\n\n## Heading\n\nIs it so? Yes! [2]",
    "Use `arr[0]` or:\n```python\nx = arr[1]\n\nprint(x). Then\n```\nThat prints one [1].\n\n~~~\n[2]\n~~~\nEnd [3].",
    "👩‍👩‍👧 costs €5 [1]. e\u0301te\u0301 [2]… Größe: 3.14 m [1–2]! “Quoted.” [3] (Aside [1].) \u2028 Next\u00a0[2].",
    "退款需要十四天【1】。运费免费[2]！好的？“是”。\nरिफंड [1]। ठीक है। The U.S. is large [9]. No. 5 lives [0].",
    "[link](https://x.y/z) and [1](http://a.b) and [text][2] in [2024] [1 2] [ ] [-] [1,] [[1]] [x [1] y] [1][2](u)\r\nEnd",
    "A stray ` hides [1] till the end of the line\nbut not [2]. ``two ` ticks [1]`` end. ``` inline ``` [3] done",
    "Etc. The end [1]. etc. the middle [2]. A. B. Smith [3] wrote. U.S. Then... what [1",
    "[1] leads. According to [2], fine.\n[3]\nNext line.   \n\n",
)


def cite(pieces: list[str], passages: int = 3) -> tuple[str, list[DraftSentence], int]:
    """The text, the sentences and the unknown marks; and that each sentence closes exactly the text before it."""
    marks, text, since, sentences = Marks(passages), "", "", []
    for draft in [*(draft for piece in pieces for draft in marks.feed(piece)), *marks.close()]:
        if isinstance(draft, DraftText):
            assert draft.text
            text, since = text + draft.text, since + draft.text
        else:
            assert since.lstrip() == draft.text == draft.text.rstrip() != ""
            sentences.append(draft)
            since = ""
    assert since == ""
    return text, sentences, marks.unknown


def without_marks(text: str) -> str:
    return "".join(piece.text for piece in MarkScanner(3).feed(text, final=True) if isinstance(piece, Text))


def cited(text: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(sentence.text, sentence.cited) for sentence in cite([text])[1]]


@pytest.mark.parametrize("text", RECORDED)
def test_every_cut_in_two_and_letter_by_letter(text: str) -> None:
    whole = cite([text])
    assert cite(list(text)) == whole
    for cut in range(len(text) + 1):
        assert cite([text[:cut], text[cut:]]) == whole


@pytest.mark.parametrize("text", RECORDED)
def test_every_cut_in_three(text: str) -> None:
    text = text[:60]
    whole = cite([text])
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            assert cite([text[:first], text[first:second], text[second:]]) == whole


PARTS = st.sampled_from(
    [
        "Foo",
        "bar",
        ". ",
        ".",
        "! ",
        "? ",
        "…",
        "etc. ",
        "e.g. ",
        "No. ",
        "1",
        "5",
        "23",
        "\n",
        "\n\n",
        " ",
        "  ",
        "- ",
        "* ",
        "1. ",
        "2) ",
        '"',
        "(",
        ")",
        "[1]",
        "[2]",
        "[9]",
        " [1, 2]",
        "[",
        "]",
        "【1】",
        "[1-",
        "](u)",
        "[x](",
        "`",
        "``",
        "```",
        "\n```\n",
        "~~~",
        "。",
        "！",
        "”",
        "é",
        "👩\u200d👩\u200d👧",
        "é",
        "日本",
        "the ",
        "The ",
        "A.",
        "U.S. ",
        "\u2028",
        "\xa0",
        "#",
        "# H\n",
        "\r\n",
        "।",
        "Dr. ",
    ]
)


@settings(max_examples=600, deadline=None)
@given(st.lists(PARTS, max_size=16).map("".join), st.data())
def test_random_texts_and_cuts(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    shown, sentences, unknown = cite([text])
    assert cite(pieces) == (shown, sentences, unknown)
    assert shown.rstrip() == without_marks(text).rstrip()
    if not set(text) & set("`~"):
        plain = without_marks(text)
        assert [plain[start:end] for start, end in sentence_spans(plain)] == [s.text for s in sentences]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="`~ \n\ta.", max_size=30))
def test_what_is_no_mark_comes_out_as_it_came_in(text: str) -> None:
    text = text.replace("[", "(").replace("【", "(")
    assert cite([text])[0] == text.rstrip()
    assert cite(list(text))[0] == text.rstrip()


@pytest.mark.parametrize("text", RECORDED)
def test_half_a_mark_is_never_released(text: str) -> None:
    """What is shown at any time is a beginning of what is shown in the end."""
    whole = cite([text])[0]
    marks, shown = Marks(3), ""
    for letter in text:
        shown += "".join(draft.text for draft in marks.feed(letter) if isinstance(draft, DraftText))
        assert whole.startswith(shown)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Foo [1]. Bar.", [("Foo.", (1,)), ("Bar.", ())]),
        ("Foo. [1] Bar.", [("Foo.", (1,)), ("Bar.", ())]),
        ("Foo.[1][2] Bar.[3]", [("Foo.", (1, 2)), ("Bar.", (3,))]),
        ("Foo [1, 3]. Bar [1-3]. Baz 【2】.", [("Foo.", (1, 3)), ("Bar.", (1, 2, 3)), ("Baz.", (2,))]),
        ("Foo [1], bar [2] and [1] baz.", [("Foo, bar and baz.", (1, 2))]),
        ("Foo [1]bar.", [("Foo bar.", (1,))]),
        ("[2] Foo.", [("Foo.", (2,))]),
        ("Foo.\n\n[2] Bar.", [("Foo.", ()), ("Bar.", (2,))]),
        ("Foo.\n\n[1][2]\n", [("Foo.", (1, 2))]),
        ("Foo“. [1] Bar", [("Foo“.", (1,)), ("Bar", ())]),
        ("好的。[1]不是[2]。", [("好的。", (1,)), ("不是。", (2,))]),
        ("Foo\u202f[1]. Bar", [("Foo.", (1,)), ("Bar", ())]),
        ("[1]", []),
        (" \n ", []),
    ],
)
def test_which_sentence_a_mark_belongs_to(text: str, expected: list[tuple[str, tuple[int, ...]]]) -> None:
    assert cited(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "See [below] and [a1].",
        "The year [2024] and [ ] and [1 2] and [,] and [-1] here.",
        "A [link](http://x), [1](http://x) and ![1](y.png).",
        "Use `arr[0]` and ``a`[1]`` here.",
        "```\narr[1]\n```",
        "~~~py\narr[1]\n```\n[1]\n~~~",
        "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]",
    ],
)
def test_what_is_no_mark(text: str) -> None:
    shown, sentences, unknown = cite([text])
    assert shown == text
    assert unknown == 0
    assert all(sentence.cited == () for sentence in sentences)


@pytest.mark.parametrize(
    ("text", "cites", "unknown"),
    [("A [4].", (), 1), ("A [0][1].", (1,), 1), ("A [2-9].", (2, 3), 1), ("A [3-1].", (), 1), ("A [1,7,8].", (1,), 2)],
)
def test_unknown_numbers_go_and_are_counted(text: str, cites: tuple[int, ...], unknown: int) -> None:
    shown, (sentence,), counted = cite([text])
    assert (shown, sentence.cited, counted) == ("A.", cites, unknown)


def test_a_fence_is_a_sentence_of_its_own() -> None:
    assert [text for text, _ in cited("Do this:\n```\na. B\n\nc\n```\nthen go.")] == [
        "Do this:",
        "```\na. B\n\nc\n```",
        "then go.",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Refunds take 14 days.", True),
        ("- an item", True),
        ("退款需要十四天。", True),
        ("Is it so?", False),
        ('"Really?"', False),
        ("Here is what I found:", False),
        ("**Steps:**", False),
        ("## Refunds", False),
        ("## Refunds\nThey take 14 days.", True),
        ("```\nx = 1\n```", False),
        ("---", False),
        ("", False),
    ],
)
def test_what_asserts_something(text: str, expected: bool) -> None:
    assert asserts(text) is expected


def test_what_is_cited_is_to_be_checked() -> None:
    (sentence,) = cite(["These are the steps [1]:"])[1]
    assert sentence.check_required


def test_long_hostile_texts_take_no_long_time() -> None:
    for text in ("[" * 50_000, " " * 50_000 + "x", "`" * 50_000, "[1" * 20_000, ". " * 5_000, "\n" * 20_000 + "x"):
        told, _, unknown = cite([text[at : at + 1000] for at in range(0, len(text), 1000)])
        assert (told.rstrip(), unknown) == (text.rstrip(), 0)  # none of it is a mark
