"""The one look that spares nine: whatever is found in a text, it has seen that there is something."""

import string

from hypothesis import example, given
from hypothesis import strategies as st

from generation.filters.finding import in_order
from generation.filters.folding import folded, folded_char
from generation.filters.invisible import InvisibleScanner, is_hidden
from generation.filters.pii import _ANYTHING, KINDS, _finders
from generation.filters.shadow import shadow

_HEADS = (
    "AKIA", "ghp_", "github_pat_", "glpat-", "xoxb-", "AIza", "sk_live_", "whsec_test_", "hf_", "npm_", "pypi-", "SG.", "grd_",
    "eyJ", "sk-", "secret = ", "SECRET_KEY: '", "-----BEGIN RSA PRIVATE KEY-----\n", "https://", "phone ", "DE", "fe80::", "@",
)  # fmt: skip
_LETTERS = st.text(string.ascii_letters, max_size=45)
_SIGNS = st.text(string.ascii_letters + string.digits + "_-./+=@: \n()é", max_size=45)
_TEXTS = st.lists(st.one_of(st.sampled_from(_HEADS), _LETTERS, _SIGNS), max_size=8).map("".join)


@given(_TEXTS)
@example("xoxb-abcdefghij")
@example("AKIA" + "B" * 16)
@example("secret: " + "ab/+" * 10)
@example("-----BEGIN PRIVATE KEY-----\n" + "a=" * 8)
@example("who@example.org")
@example("user:word@host in ftp://user:word@host")
@example("dead:beef:cafe::babe")
def test_what_is_found_was_seen_to_be_there(text: str) -> None:
    seen = shadow(text)
    for found in in_order(_finders(frozenset(KINDS)), seen, 0):
        assert _ANYTHING.search(seen, found.begin) is not None


@given(st.text(st.characters(max_codepoint=0x2100), max_size=60))
def test_letters_are_those_of_each_character(text: str) -> None:
    assert folded(text) == "".join(map(folded_char, text))


@given(st.text(st.sampled_from("ab\u200d\u200b\u2028\r\n\x00\u00ad\U000e0020é"), max_size=20), st.booleans())
def test_every_invisible_character_is_found(text: str, prose: bool) -> None:
    edits = InvisibleScanner(prose=prose).scan(text, 0, final=True).edits
    ends = {at for at, char in enumerate(text) if prose and char in "\r\x0b\x0c\x85\u2028\u2029"}
    assert [edit.start for edit in edits] == sorted(ends | {at for at in range(len(text)) if is_hidden(text, at)})
