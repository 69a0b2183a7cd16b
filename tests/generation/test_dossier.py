"""The status of a whole answer, and which answers may be given again."""

from dataclasses import replace

import pytest

from generation.cacheable import may_be_cached
from generation.dossier import Verification, verification_of
from generation.events import Abstention, Filtered, Finished
from generation.model import Citation, Claim, ClaimStatus, DraftEnd

CITED = (Citation("src-1", 0, 3, "abc"),)


def claim(status: ClaimStatus, *, asserts: bool = True, contradicted: bool = False) -> Claim:
    cited = () if status == "uncited" or not asserts else CITED
    return Claim(0, 0, 3, "abc", status, None, cited, asserts, None, contradicted)


SAYS_NOTHING = claim("unchecked", asserts=False)


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ((), "unchecked"),
        (("supported",), "passed"),
        (("supported", "supported"), "passed"),
        (("supported", "partial"), "partly"),
        (("partial",), "partly"),
        (("supported", "unsupported"), "partly"),
        (("supported", "uncited"), "partly"),
        (("supported", "unchecked"), "partly"),
        (("partial", "unsupported"), "partly"),
        (("unsupported",), "failed"),
        (("uncited", "uncited"), "failed"),
        (("unsupported", "unchecked"), "failed"),
        (("unchecked", "unchecked"), "unchecked"),
    ],
)
def test_the_status_of_the_whole(statuses: tuple[ClaimStatus, ...], status: str) -> None:
    claims = [SAYS_NOTHING, *(claim(one) for one in statuses)]
    found = verification_of(claims, DraftEnd())
    assert found.status == status
    assert sum(found.counts.values()) == len(statuses), "what asserts nothing is not counted"


def test_counts_and_what_the_policy_did() -> None:
    claims = [claim("supported"), claim("unsupported", contradicted=True), claim("unsupported")]
    found = verification_of(claims, DraftEnd(dropped=2, unknown_marks=3), "uncited")
    assert found == Verification(
        "partly", supported=1, unsupported=2, contradicted=1, dropped=2, escalated="uncited", unknown_marks=3
    )
    assert found.counts == {"supported": 1, "unsupported": 2, "contradicted": 1, "dropped": 2}


def test_an_answer_that_was_taken_back_has_failed() -> None:
    found = verification_of([], DraftEnd(abstained="no_supported_sentence", withdrawn="contradicted"))
    assert (found.status, found.withdrawn) == ("failed", "contradicted")


PASSED = Verification("passed", supported=2)
WHOLE = Finished("stop", "ans_1", "t", "m", verification=PASSED)


@pytest.mark.parametrize(
    ("end", "may"),
    [
        (WHOLE, True),
        (replace(WHOLE, verification=replace(PASSED, unknown_marks=1)), True),
        (replace(WHOLE, verification=replace(PASSED, escalated="uncited")), True),
        (replace(WHOLE, finish_reason="length"), False),
        (replace(WHOLE, finish_reason="filtered"), False),
        (replace(WHOLE, finish_reason="cancelled"), False),
        (replace(WHOLE, finish_reason="error"), False),
        (replace(WHOLE, finish_reason="abstained"), False),
        (replace(WHOLE, finish_reason="no_context"), False),
        (replace(WHOLE, abstention=Abstention("not_in_passages", "No.", ())), False),
        (replace(WHOLE, filter=Filtered("output", ("pii.email",))), False),
        (replace(WHOLE, degraded=("reranker",)), False),
        (replace(WHOLE, verification=None), False),
        (replace(WHOLE, verification=replace(PASSED, dropped=1)), False),
        *((replace(WHOLE, verification=Verification(status)), False) for status in ("partly", "failed", "unchecked")),
    ],
)
def test_only_what_is_whole_and_passed_may_be_cached(end: Finished, may: bool) -> None:
    assert may_be_cached(end) is may
