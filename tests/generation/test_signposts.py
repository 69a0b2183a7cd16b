"""Sentences that lead to an answer, told from sentences that are one."""

import time
from dataclasses import replace

import pytest

from generation.signposts import instructs, is_changelog, is_pointer, is_scenario, leans, linked, marked_up
from tests.generation.test_quotable import passage


@pytest.mark.parametrize(
    "text",
    [
        "In this section we'll see how to use other middlewares.",
        "In the main tutorial you read how to add [Custom Middleware](../tutorial/middleware.md) to your application.",
        "You can later read more about it in the guide.",
        "It returns an HTML response, as you read above.",
        "You will learn more about that in a moment.",
        "For more information, check the docs.",
        "Read the docs for the details.",
        "Let’s review these concepts.",
        "Jump to the file below.",
        "I'll tell you about it later.",
        "This chapter is about servers: how to start one, and which flags it takes.",
        "This guide explains the installation.",
    ],
)
def test_pointers(text):
    assert is_pointer(text)


@pytest.mark.parametrize(
    "text",
    [
        "Thus we see that squaring is not more difficult than multiplication.",
        "You can see the pages at /docs.",
        "You read the file with `open`.",
        "The service shows how much memory it takes.",
        "Add it with `app.add_middleware()`.",
        "In this example the port is 8000.",
        "The chapter of Paris was founded in 1901.",
    ],
)
def test_answers(text):
    assert not is_pointer(text)


@pytest.mark.parametrize(
    "text",
    [
        "For example, let's say that you want to return a status of 201.",
        "Let us imagine two services.",
        "There are some scenarios where you might want to override a dependency during testing.",
        "There could be cases where the file is gone.",
        "But in some cases you need to return a different status.",
        "Imagine that you have no network.",
    ],
)
def test_a_case_that_is_only_pictured(text):
    assert is_scenario(text)


@pytest.mark.parametrize(
    "text",
    [
        "If you want to return another status, return a `Response` directly.",
        "You can imagine the index as a table.",
        "The jury decided in both cases.",
        "To override a dependency, put the function into `app.dependency_overrides`.",
    ],
)
def test_a_case_with_its_answer(text):
    assert not is_scenario(text)


@pytest.mark.parametrize(
    "text",
    [
        "First import `Header`:",
        "Use `Form` to declare form data input parameters.",
        "To override a dependency for testing, put the original one as a key.",
        "You can add middleware to applications.",
        "Then you only need to run it again.",
        "In your application, create a socket:",
    ],
)
def test_a_sentence_that_tells_what_to_do(text):
    assert instructs(text)


@pytest.mark.parametrize(
    "text",
    [
        "The middleware responds to two kinds of requests.",
        "You could also use the other one.",
        "Uses of headers are many.",
        "And when the items didn't exist before, it creates them.",
        "",
    ],
)
def test_a_sentence_that_tells_something_else(text):
    assert not instructs(text)


@pytest.mark.parametrize(
    "text",
    [
        "And then you can set cookies in that response.",
        "Instead, you want to provide another one.",
        "In this case, it is a list.",
        "It will then start the server.",
        "You could also use the other one.",
        "That's why it is declared here.",
    ],
)
def test_a_sentence_that_goes_on_from_another(text):
    assert leans(text)


@pytest.mark.parametrize(
    "text", ["Use it.", "Then run it.", "In your application, use it.", "Italy is a land.", "Sort it.", ""]
)
def test_a_sentence_that_stands_by_itself(text):
    assert not leans(text)


def test_the_share_of_tags():
    assert marked_up("") == marked_up("a < b and c > d") == marked_up("No tag.") == 0
    assert marked_up("<td></td>") == 1
    assert marked_up("xxxx<td>") == 0.5


def test_the_share_of_links():
    assert linked("") == 0
    assert linked("No link at all.") == 0
    assert linked("[a](b)") == 1
    assert linked("xxxxxx[a](b)") == 0.5
    assert linked("https://example.org/") == 1


@pytest.mark.parametrize("name", ["CHANGELOG.md", "docs/release-notes.md", "docs/Release Notes.txt", "whats_new.rst"])
def test_a_changelog_is_known_by_its_file(name):
    assert is_changelog(replace(passage("Fixed a bug."), name=name))


def test_a_changelog_is_known_by_its_title():
    assert is_changelog(passage("Fixed a bug.", "What's new"))
    assert not is_changelog(passage("Fixed a bug.", "History of the Normans"))
    assert not is_changelog(replace(passage("Fixed a bug."), name="news/normans.md"))


@pytest.mark.parametrize(
    "text", ["you can " * 20_000, "[" * 20_000, "[a](" * 20_000, "see read " * 20_000, "in the " * 20_000]
)
def test_hostile_text_takes_no_time(text):
    started = time.process_time()
    is_pointer(text)
    instructs(text)
    leans(text)
    linked(text)
    assert time.process_time() - started < 30  # quadratic time would be minutes
