"""What comes along with a quoted sentence."""

from dataclasses import replace

from generation.announced import shown_by, with_announced
from generation.quotable import quotable
from tests.generation.test_quotable import passage

LIST = """There are several ways to deploy it.

For example:

* With Docker Compose
* Nomad
* With a cloud service

That is all there is."""
CODE = "You add it to the application.\n\n```\napp.add(x)\n```\n\nThen you run it again."


def brought(text, i, *, shows=False) -> list[tuple[str, str]]:
    units = quotable(1, passage(text))
    found = with_announced(units, i, text, shows=shows)
    assert all(text[unit.start : unit.end] == unit.text for unit in found)
    return [(unit.kind, unit.text) for unit in found]


def test_a_list_is_quoted_whole_with_its_sentence():
    text = "Do this, in order:\n\n1. Stop the service now.\n2. Copy the folder away.\n\nThen start it again."
    assert brought(text, 0) == [("list", text.partition("\n\nThen")[0])]


def test_a_lead_in_belongs_to_its_list_and_short_items_too():
    assert brought(LIST, 0) == [("list", LIST.partition("\n\nThat")[0])]


def test_a_heading_ends_a_list():
    text = "Do this, in order:\n\n- Stop the service now.\n\n## Another thing\n\n- Copy the folder away."
    assert brought(text, 0) == [("list", text.partition("\n\n##")[0])]
    below = "The ways are these:\n\n## Another thing\n\n- Copy the folder away."
    assert [kind for kind, _ in brought(below, 0)] == ["sentence"]


def test_code_comes_along_where_the_answer_is_better_shown():
    assert brought(CODE, 0) == [("sentence", "You add it to the application.")]
    assert brought(CODE, 0, shows=True) == [
        ("sentence", "You add it to the application."),
        ("code", "```\napp.add(x)\n```"),
    ]


def test_code_behind_a_colon_always_comes_along():
    assert [kind for kind, _ in brought(CODE.replace("application.", "application:"), 0)] == ["sentence", "code"]


def test_nothing_comes_along_from_elsewhere():
    units = [*quotable(1, passage("It ends with a colon:")), *quotable(2, passage("- An item of another passage."))]
    assert with_announced(units, 0, "It ends with a colon:", shows=True) == units[:1]


def test_what_is_announced_announces_nothing():
    assert [kind for kind, _ in brought(LIST, 1, shows=True)] == ["item"]
    assert [kind for kind, _ in brought(CODE, 1, shows=True)] == ["code"]


def test_a_colon_in_front_of_what_cannot_be_quoted_announces_not_the_next_sentence():
    text = "Import it first:\n\n{* ../src/app.py *}\n\nAfterwards the service runs again."
    assert [quoted for _, quoted in brought(text, 0)] == ["Import it first:"]


def test_the_mark_of_a_box_does_not_part_a_sentence_from_its_code():
    text = 'Run the server:\n\n<div class="termy">\n\n```console\n$ tool run\n```\n\n</div>'
    assert [kind for kind, _ in brought(text, 0)] == ["sentence", "code"]


def test_a_section_shows_the_short_file_that_it_includes():
    page = passage("Import it first:\n\n{* ../src/app.py *}", headings=("Guide", "Import"))
    code = replace(passage("import it", media_type="text/x-python"), name="docs/src/app.py", document_id="code")
    sentence = quotable(1, page)[0]
    assert [(u.n, u.kind, u.text) for u in shown_by(sentence, [page, code])] == [(2, "code", "import it")]
    other = replace(page, heading_path=("Guide", "Another"), text="They import it at once.")
    assert shown_by(quotable(1, other)[0], [other, code, page]) == []
    assert shown_by(sentence, [page, replace(code, text="x = 1\n" * 30 + "y = 2")]) == []
    assert shown_by(sentence, [page, replace(code, name="src/other.py")]) == []
