"""What a document says of itself and what rules say of it: what is taken, what is left out, and who wins."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.metadata import (
    MOST_EXTRA,
    MOST_TAGS,
    Metadata,
    as_json,
    check,
    from_json,
    key_of,
    language_tag,
    moment,
    said_by_document,
)
from ingest.model import Block, Document, Parsed, Source
from ingest.rules import Described, Rule, Rules, metadata_of

WHEN = datetime(2026, 3, 1, tzinfo=UTC)
ROOT = Path("/srv/docs")


def source(name: str) -> Source:
    return Source(ROOT, name, 4, WHEN)


def described(name: str, *rules: Rule, **said: str) -> Described:
    return metadata_of(
        source(name), Parsed("", "text", (Block("paragraph", 0, 4),), "text/plain", None, said), Rules(rules)
    )


class TestOfTheDocument:
    def test_everything_that_a_document_can_say(self) -> None:
        found, warnings = said_by_document(
            {
                "author": "  Ada\n Lovelace ",
                "created": "2026-01-31",
                "modified": "2026-01-31T09:30:00.5+02:00",
                "language": "EN_gb",
                "tags": "Policy, leave,, policy ,people",
                "url": "https://example.org:8443/a?b=c#d",
                "Last Reviewed": "spring",
                "empty": " ",
            }
        )
        assert warnings == ()
        assert found == Metadata(
            author="Ada Lovelace",
            created_at=datetime(2026, 1, 31, tzinfo=UTC),
            modified_at=datetime(2026, 1, 31, 7, 30, tzinfo=UTC),
            language="en-GB",
            tags=("Policy", "leave", "people"),
            url="https://example.org:8443/a?b=c#d",
            extra={"last_reviewed": "spring"},
        )

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            *(("created", value) for value in ("yesterday", "2026-02-30", "31.01.2026", "2026", "2026-01-01T25:00Z")),
            ("modified", "0001-01-01T00:00:00+14:00"),
            *(("language", value) for value in ("English", "e", "en GB", "en-", "x" * 40, "de\x00")),
            *(("url", value) for value in ("javascript:alert(1)", "ftp://a", "https://", "//a/b", "https://u:p@a/")),
            *(("url", value) for value in ("https://a/b c", "https://a/\x01", "https://a:99999/", "https://a/" + "x" * 3000)),
            ("author", "x" * 501),
            ("author", "Ada\x1b[31m"),
            ("author", "Ada\u202e"),
            ("tags", ",".join(map(str, range(MOST_TAGS + 1)))),
            ("tags", "x" * 201),
            ("access", "everyone"),
            ("日本", "x"),
            ("x" * 65, "x"),
            ("note", "x" * 2001),
            ("note", "\x07"),
        ],
    )  # fmt: skip
    def test_a_value_that_cannot_be_right_is_left_out_and_told(self, key: str, value: str) -> None:
        found, warnings = said_by_document({key: value, "author2": "kept"})
        assert found == Metadata(extra={"author2": "kept"})
        assert len(warnings) == 1
        assert warnings[0].endswith("; left out.")
        with pytest.raises(ValueError, match=r"."):
            check(key, value)
        check("author2", "kept")

    def test_a_warning_repeats_nothing_of_a_value(self) -> None:
        for key in ("created", "modified", "language", "url", "author", "tags", "note", "access"):
            _, warnings = said_by_document({key: "s3cret\x00" * 999})
            assert len(warnings) == 1
            assert "s3cret" not in warnings[0]

    def test_one_field_too_many_costs_itself_alone(self) -> None:
        found, warnings = said_by_document({f"field{n:03}": "x" for n in range(MOST_EXTRA + 2)})
        assert len(found.extra) == MOST_EXTRA
        assert len(warnings) == 2

    def test_a_language_that_is_marked_as_unknown_is_unknown(self) -> None:
        assert said_by_document({"language": "und"}) == (Metadata(), ())

    @pytest.mark.parametrize(
        ("text", "tag"),
        [("de", "de"), ("DE-at", "de-AT"), ("zh-hant-tw", "zh-Hant-TW"), ("es-419", "es-419"), ("sr_latn", "sr-Latn")],
    )
    def test_languages_are_written_as_bcp_47_writes_them(self, text: str, tag: str) -> None:
        assert language_tag(text) == tag

    def test_names_of_fields(self) -> None:
        assert [key_of(name) for name in ("Last Reviewed", "a.b-c", "__x__", "!", "Ü")] == [
            "last_reviewed",
            "a_b_c",
            "x",
            "",
            "",
        ]

    @given(st.dictionaries(st.text(max_size=20) | st.sampled_from(["tags", "created", "url", "language"]), st.text()))
    @settings(max_examples=300, deadline=None)
    def test_whatever_it_says_it_is_kept(self, said: dict[str, str]) -> None:
        found, warnings = said_by_document(said)
        assert found.access == ()
        assert len(warnings) <= len(said)
        assert from_json(as_json(found)) == found
        for text in (found.author, found.url, *found.tags, *found.extra.values()):
            assert text == " ".join(text.split())
            assert text.isprintable() or not any(ord(c) < 32 for c in text)

    @given(
        st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),  # noqa: DTZ001
        st.integers(-24 * 60 + 1, 24 * 60 - 1),
    )
    def test_a_time_comes_back_as_the_same_moment(self, when: datetime, minutes: int) -> None:
        when = when.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
        assert moment(when.isoformat()) == when
        assert moment(when.isoformat(" ", "minutes")) == when.replace(second=0)


class TestRules:
    def test_what_rules_say_stands_above_the_document_and_tags_add_up(self) -> None:
        rule = Rule("hr/**", ("hr",), ("policy",), "People team", "de", "https://a.b/{path}", {"Department": "people"})
        found = described("hr/a b.md", rule, author="Ada", language="en", tags="x", department="sales", note="n")
        assert found == Described(
            Metadata(
                author="People team",
                language="de",
                tags=("policy", "x"),
                url="https://a.b/hr/a%20b.md",
                access=("hr",),
                extra={"department": "people", "note": "n"},
            )
        )
        assert described("other/a.md", rule, author="Ada") == Described(Metadata(author="Ada"))

    def test_of_two_rules_the_first_that_speaks_of_a_field_wins(self) -> None:
        rules = (
            Rule("public/**", access=()),
            Rule("hr/**", access=("hr",), tags=("a",)),
            Rule("**", access=("staff",), tags=("b",), author="All"),
        )
        assert described("hr/a.md", *rules).metadata == Metadata(author="All", tags=("a", "b"), access=("hr",))
        assert described("public/a.md", *rules).metadata.access == ()
        assert described("a.md", *rules).metadata.access == ("staff",)

    def test_no_document_can_say_who_may_read_it(self) -> None:
        rule = Rule("*", access=("hr",))
        found = described("a.md", rule, access="everyone")
        assert found.metadata.access == ("hr",)
        assert len(found.warnings) == 1
        assert described("a.md", access="hr").metadata.access == ()

    @pytest.mark.parametrize(
        ("glob", "matches"),
        [("hr/**", True), ("*.md", True), ("hr/*.txt", False), ("/srv/docs/hr/**", True), ("/srv/other/**", False)],
    )
    def test_globs_are_below_the_folder_or_whole_paths(self, glob: str, matches: bool) -> None:
        assert bool(Rules((Rule(glob, tags=("x",)),)).applying(ROOT, "hr/deep/a.md")) is matches

    @pytest.mark.parametrize(
        ("template", "url"),
        [
            ("https://a.b/{path_without_ext}.html", "https://a.b/hr/le%C3%A4ve%20%231.x.html"),
            ("https://a.b/{name}?raw=1", "https://a.b/le%C3%A4ve%20%231.x.md?raw=1"),
            ("https://a.b/{stem}#top", "https://a.b/le%C3%A4ve%20%231.x#top"),
            ("https://a.b/all", "https://a.b/all"),
        ],
    )
    def test_addresses_are_made_of_names(self, template: str, url: str) -> None:
        assert described("hr/leäve #1.x.md", Rule("*", url=template)).metadata.url == url

    def test_an_address_that_a_name_makes_too_long_is_left_out_and_the_rest_of_the_rule_holds(self) -> None:
        found = described(
            "ä" * 500 + ".md", Rule("*", access=("hr",), url="https://a.b/{path}"), url="https://own.org/"
        )
        assert (found.metadata.access, found.metadata.url, len(found.warnings)) == (("hr",), "https://own.org/", 1)

    @pytest.mark.parametrize(
        ("said", "named"),
        [
            ({"glob": ""}, "glob"),
            ({"access": ("*",)}, "access"),
            ({"access": ("",)}, "access"),
            ({"access": ("hr team",)}, "access"),
            ({"tags": ("\x00",)}, "tags"),
            ({"author": "x" * 999}, "author"),
            ({"language": "English"}, "language"),
            ({"url": "file:///etc/passwd"}, "url"),
            ({"url": "https://a.b/{paht}"}, "url"),
            ({"url": "{path}"}, "url"),
            ({"metadata": {"!": "x"}}, "metadata"),
        ],
    )
    def test_a_rule_that_is_wrong_is_never_left_out_in_silence(self, said: dict[str, Any], named: str) -> None:
        with pytest.raises(ValueError, match=named):
            Rule(**{"glob": "*", **said})

    def test_tags_and_fields_of_rules_are_kept_when_there_are_too_many(self) -> None:
        many = {f"f{n}": "x" for n in range(MOST_EXTRA)}
        said = {**many, "tags": ",".join(f"t{n}" for n in range(MOST_TAGS))}
        found = described("a.md", Rule("*", tags=("mine",), metadata={"mine": "y"}), **said).metadata
        assert (len(found.tags), found.tags[0]) == (MOST_TAGS, "mine")
        assert (len(found.extra), found.extra["mine"]) == (MOST_EXTRA, "y")

    def test_the_fingerprint_changes_for_the_files_that_a_rule_is_about_and_for_no_other(self) -> None:
        none, rules = Rules(), Rules((Rule("hr/**", access=("hr",)),))
        other = Rules((Rule("hr/**", access=("board",)), Rule("x/**", tags=("x",))))
        assert none.stamped("structure-2/256", ROOT, "hr/a.md") == "structure-2/256"
        assert rules.stamped("structure-2/256", ROOT, "a.md") == "structure-2/256"
        stamps = [r.stamped("structure-2/256", ROOT, "hr/a.md") for r in (none, rules, other)]
        assert len(set(stamps)) == 3
        assert rules.stamped("s" * 64, ROOT, "hr/a.md") != rules.stamped("s" * 63 + "t", ROOT, "hr/a.md")
        assert max(len(rules.stamped("s" * 64, ROOT, name)) for name in ("a.md", "hr/a.md")) == 64

    def test_how_a_glob_is_written_changes_nothing(self) -> None:
        one, two = Rules((Rule("hr/**", tags=("x",)),)), Rules((Rule("hr/*", tags=("x",)),))
        assert one.stamped("s", ROOT, "hr/a.md") == two.stamped("s", ROOT, "hr/a.md")


def test_a_document_was_modified_when_it_says_so_and_else_when_its_file_was() -> None:
    parsed = Parsed("", "text", (), "text/plain")
    own = Metadata(modified_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert Document("d", "c", source("a.md"), "sha", parsed).modified_at == WHEN
    assert Document("d", "c", source("a.md"), "sha", parsed, own).modified_at == own.modified_at


def test_rows_from_before_there_was_metadata_hold_none() -> None:
    assert from_json({}) == Metadata()
    assert as_json(Metadata()) == {}
