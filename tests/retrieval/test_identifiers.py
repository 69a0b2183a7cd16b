"""What counts as an identifier, in which spelling, and that none is lost whatever stands around it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.identifiers import identifiers

EXACT = (
    "ERR_CONN_REFUSED_443",
    "--max-num-seqs",
    "app.add_middleware",
    "CVE-2024-3094",
    "GROUNDED_RETRIEVAL__RRF_K",
    "deploy_guide.md",
    "std::vector",
    "10.0.0.1",
    "localhost:8000",
    "me@example.org",
    ".gitignore",
    "C++",
    "C#",
    "-O2",
)


@pytest.mark.parametrize("exact", EXACT)
def test_an_identifier_is_found_among_words_and_signs(exact: str) -> None:
    for text in (
        exact,
        f"What does {exact} do?",
        f"Set {exact}, or ({exact}).",
        f'"{exact}"; `{exact}`',
        exact.upper(),
    ):
        assert exact.casefold() in identifiers(text), text


@pytest.mark.parametrize(
    "text",
    [
        "Words, and nothing else. A sentence: with its signs (and brackets)!",
        "and/or TCP/IP high-speed boundary-layer 3/4 3,500 50% a - b -- c",
        "e.g. this, i.e. that, in the U.S. at 5 p.m. ...and so on",
        "don't it's #123 @home ~ / // ... :: ++ -",
        "",
    ],
)
def test_words_are_none(text: str) -> None:
    assert list(identifiers(text)) == []


def test_a_version_is_the_same_with_and_without_its_v() -> None:
    assert list(identifiers("v2.13.0 torch==2.13.0")) == ["2.13.0", "2.13.0"]
    assert "2.1.3" not in identifiers("v2.13.0")


def test_parts_of_a_path_and_of_a_dotted_name_are_found_too() -> None:
    assert {"deploy_guide.md", "docs/deploy_guide.md"} <= set(identifiers("see docs/deploy_guide.md"))
    assert "add_middleware" in identifiers("app.add_middleware(x)")
    assert "example.org" in identifiers("https://example.org/a?b=c")
    assert "v1/ask" in identifiers("POST /v1/ask")
    assert "files/report.txt" in identifiers("files\\report.txt")


def test_hyphens_and_forms_of_unicode_are_one_spelling() -> None:
    assert list(identifiers("CVE\u20112024\u20103094")) == ["cve-2024-3094"]
    assert list(identifiers("ｅｒｒ_４４３")) == ["err_443"]


@given(st.text(max_size=200), st.sampled_from(EXACT))
def test_nothing_around_it_hides_one(around: str, exact: str) -> None:
    """White space and brackets part it from what stands beside it; whatever that is, it is read without an error."""
    assert exact.casefold() in identifiers(f"{around} {exact} {around}")
    assert exact.casefold() in identifiers(f"{around}({exact}){around}")


@given(st.text(alphabet="ab1_.-:/@#+ \\", max_size=60))
def test_signs_alone_are_no_identifiers(text: str) -> None:
    assert all(any(c.isalnum() for c in found) for found in identifiers(text))
