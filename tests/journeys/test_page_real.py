"""The page of the real service in a real browser: what it marks is what the API says it cites."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.app.serving import write
from tests.journeys.page import CHROMIUM, FLAGS, Visit, playwright_api
from tests.journeys.test_service import Served, environment, grounded, serving

pytestmark = [pytest.mark.browser, pytest.mark.models, pytest.mark.slow]

ANSWER = "The lighthouse of the harbour was built in 1887."
DOCS: dict[str, str | bytes] = {
    "harbour.md": f"# Harbour\n\nFishermen meet at the Cafe\u0301 👩‍💻 before dawn 🙂. {ANSWER} Its lamp is lit at dusk.\n",
    "refunds.md": "# Refunds\n\nRefunds are issued within 14 days of the order. Late refunds take 30 days.\n",
    "ferry.md": "# Ferry\n\nThe ferry leaves at nine. Tickets are sold on board.\n",
}
ASKED = "When was the lighthouse built?"
OFF_TOPIC = "Which enzyme unwinds DNA during replication?"
THREADS = {"GROUNDED_EMBEDDER__THREADS": "1"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("page")
    docs = write(folder / "docs", DOCS)
    ran = grounded("ingest", str(docs), env=environment(folder / "state", **THREADS))
    assert ran.returncode == 0, ran.stderr
    with serving(folder / "state", folder, **THREADS) as running:
        yield running


@pytest.fixture
def visit(served: Served) -> Iterator[Visit]:
    """A visitor who sees no error, no breach of the content security policy, and no other origin asked."""
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
        one = Visit(browser.new_context(reduced_motion="reduce"), f"http://127.0.0.1:{served.port}")
        one.page.add_init_script(
            "window.breaches = []; document.addEventListener('securitypolicyviolation', "
            "(e) => breaches.push(`${e.violatedDirective} ${e.blockedURI}`));"
        )
        yield one
        assert one.page.evaluate("breaches") == []
        assert one.trouble == []
        assert one.foreign == []
        browser.close()


def got(served: Served, path: str) -> Any:
    status, body = served.http("GET", path)
    assert status == 200, body
    return json.loads(body) if body.startswith(b"{") else body.decode()


def test_a_citation_opens_its_document_at_the_very_words(visit: Visit, served: Served) -> None:
    claim = served.ask(ASKED)["claims"][0]
    citation = claim["citations"][0]
    source = got(served, f"/v1/sources/{citation['source']}")
    document = got(served, f"/v1/documents/{source['document_id']}/content")
    assert citation["cited_text"] == ANSWER == document[citation["start"] : citation["end"]]

    visit.open()
    page = visit.ask(ASKED)
    assert ANSWER in page.locator(".answer").text_content()
    page.click(".answer .chip >> nth=0")
    page.wait_for_selector(".panel mark")
    assert page.locator(".panel mark").all_text_contents() == [citation["cited_text"]]
    assert source["filename"] == "harbour.md"
    assert "harbour.md" in page.locator(".panel h2").text_content()
    assert page.locator(".panel .passage").text_content() == source["text"]
    assert page.locator(".panel .document").text_content() == document
    assert page.locator(".panel [role=note]").count() == 0

    visit.open(f"/sources/{citation['source']}")  # the address that the API gives
    page.wait_for_selector(".panel .passage")
    assert source["url"].endswith(f"/sources/{citation['source']}")
    assert "harbour.md" in page.locator(".panel h2").text_content()
    assert page.locator(".panel .passage").text_content() == source["text"]


def test_a_question_about_something_else_is_declined(visit: Visit) -> None:
    visit.open()
    page = visit.ask(OFF_TOPIC)
    assert page.locator(".abstained").is_visible()
    assert page.locator(".answer .chip").count() == 0
