"""The page in a real browser, against a little server that plays recorded native streams with delays.

Chromium comes from GROUNDED_TEST_CHROMIUM or the PATH; without one these tests are skipped.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.journeys.page import (
    CHROMIUM,
    CITED,
    FLAGS,
    HOSTILE,
    LONG,
    PASSAGE,
    QUOTE,
    QUOTE_2,
    SOURCES,
    START,
    Pause,
    Service,
    Visit,
    announced,
    done,
    opening,
    playwright_api,
    quoted,
    said,
    source,
    until,
)
from tests.patience import PATIENCE_S

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install one or set GROUNDED_TEST_CHROMIUM"),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    service = Service()
    yield service
    service.stop()


@pytest.fixture
def service(running: Service) -> Service:
    running.reset()
    return running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, service: Service) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def make(**options: Any) -> Visit:
        context = browser.new_context(
            **({"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"} | options)
        )
        visits.append(Visit(context, service.url))
        return visits[-1]

    yield make
    for one in visits:
        one.context.close()
        assert one.foreign == [], "the page asked another origin for something"
        expected = ("Failed to load resource",)
        assert [line for line in one.trouble if not line.startswith(expected)] == []


# ---- asking


def test_first_text_is_painted_before_the_end_and_frames_are_not_overrun(
    visit: Callable[..., Visit], service: Service
) -> None:
    words = [{"type": "delta", "text": f"word{i} "} for i in range(300)]
    paced = [part for i, word in enumerate(words) for part in ([word, Pause(0.005)] if i % 3 == 0 else [word])]
    seen_begun = threading.Event()
    service.streams["long"] = [
        *opening(),
        {"type": "delta", "text": "First words. "},
        seen_begun,
        *paced,
        Pause(0.2),
        done(),
    ]
    one = visit()
    page = one.open()
    page.evaluate(
        """() => {
          window.seen = {frames: 0, changes: 0, perFrame: 0, worst: 0, paintedBusy: false};
          const frame = () => {
            seen.frames += 1;
            seen.worst = Math.max(seen.worst, seen.perFrame);
            seen.perFrame = 0;
            const article = document.querySelector('.turn article');
            if (article?.getAttribute('aria-busy') === 'true' && /First words/.test(article.textContent)) seen.paintedBusy = true;
            requestAnimationFrame(frame);
          };
          requestAnimationFrame(frame);
          new MutationObserver((all) => {
            const near = (node) => (node.nodeType === 1 ? node : node.parentElement)?.closest('.answer');
            if (!all.some((change) => near(change.target))) return;
            seen.changes += 1;
            seen.perFrame += 1;
          }).observe(document.body, {childList: true, subtree: true, characterData: true});
        }"""
    )
    one.ask("long", wait=False)
    until(page, "/First words/.test(document.querySelector('.answer')?.textContent)")
    assert service.finished == []
    until(page, "seen.paintedBusy")
    seen_begun.set()
    page.wait_for_selector(".turn article[aria-busy=false]")
    seen = page.evaluate("seen")
    assert seen["paintedBusy"]
    assert seen["changes"] > 5
    assert seen["worst"] <= 1, seen
    assert "word299" in page.text_content(".answer")


def test_a_cited_answer_says_what_it_is_worth(visit: Callable[..., Visit], service: Service) -> None:
    service.streams["refunds?"] = CITED
    one = visit()
    one.open()
    page = one.ask("refunds?")
    request = json.loads(next(body for method, _, _, body in service.requests if method == "POST"))
    assert request == {
        "question": "refunds?",
        "collection": "default",
        "history": [],
        "stream": True,
        "include": ["sources.text"],
    }

    assert page.get_by_role("button", name="Source 1: guide.md").count() == 2
    assert page.get_by_role("button", name="Source 2: terms.pdf, page 12").count() == 1
    assert page.locator(".claim-supported").first.text_content().startswith("😀")
    assert page.locator(".answer strong").text_content() == "Refunds"
    assert page.locator(".answer .claim-uncited").text_content() == "Nobody wrote this."
    assert "(supported)" in page.locator(".answer").text_content()
    for words in ("partly supported", "no source", "not supported"):
        assert page.locator(".answer .badge", has_text=words).is_visible()
    kinds = page.evaluate(
        "['supported','partial','uncited','unsupported'].map((s) => "
        "getComputedStyle(document.querySelector(`.answer .claim-${s}`)).textDecorationStyle)"
    )
    assert kinds == ["solid", "dashed", "dotted", "wavy"]
    assert announced(page) == "Answer complete: 4 sentences, 1 supported, 3 sources"
    assert page.locator(".tally li").all_text_contents() == [
        "1 supported",
        "1 partly supported",
        "1 not supported",
        "1 no source",
    ]
    # behind its sentence: the sentence, its state, then its chips
    assert page.evaluate(
        "document.querySelector('.answer .chip').compareDocumentPosition(document.querySelector('.claim-partial')) & 4"
    )
    page.hover(".chip >> nth=0")
    assert page.locator(".claim[data-hot]").first.text_content().startswith("😀")
    assert not page.locator(".cost dl").is_visible()
    page.click(".cost summary")
    assert page.locator(".cost dl").is_visible()
    assert "900 ms" in page.locator(".cost summary").text_content()


def test_what_the_checks_came_to_stands_below_the_answer(visit: Callable[..., Visit], service: Service) -> None:
    events = said(
        ("Refunds are issued within 14 days.", "supported", [quoted("src-1", "doc-1", QUOTE)]),
        (" Late ones take a year.", "unsupported", [quoted("src-1", "doc-1", QUOTE_2)]),
    )
    events[-1] |= {"contradicted": True, "contradiction": 0.97}
    verification = {"status": "partly", "supported": 1, "unsupported": 1, "contradicted": 1, "dropped": 2}
    service.streams["refunds?"] = [*opening(), *events, done(verification=verification)]
    one = visit()
    one.open()
    page = one.ask("refunds?")
    badge = page.locator(".answer .badge-contradicted")
    assert badge.text_content().strip() == "contradicted"
    assert badge.locator("svg.icon-contradicted").is_visible()
    assert badge.get_attribute("title") == "The cited passage says the opposite."
    assert page.locator(".answer .claim-contradicted").text_content() == "Late ones take a year."
    assert page.locator(".tally li").all_text_contents() == [
        "Checked: supported in part",
        "1 supported",
        "1 contradicted",
        "2 sentences left out",
    ]


def test_why_these_passages_is_a_table_of_candidates(visit: Callable[..., Visit], service: Service) -> None:
    service.streams["refunds?"] = CITED
    service.explained = False
    one = visit()
    one.open()
    page = one.ask("refunds?")
    page.click(".cost summary")
    page.click(".why button")
    page.wait_for_selector(".why span[aria-live]:has-text('There is no such source.')")
    service.explained = True
    page.click(".why button")
    page.wait_for_selector(".why table")
    heads = page.locator(".why th").all_text_contents()
    assert heads == ["#", "Passage", "by meaning", "by words", "both", "Score", "Outcome"]
    first, gone = (row.locator("td").all_text_contents() for row in page.locator(".why tbody tr").all())
    assert first == ["1", "guide.md · Refunds", "2 (.016)", "", "1", "0.2500", "kept"]
    assert gone == ["2", "deleted, replaced or not yours to read", "", "1 (.016)", "", "0.0160", "replaced or deleted"]
    assert page.locator(".why tbody a").count() == 1
    page.click(".why tbody a")
    page.wait_for_selector(".panel mark, mark")


def test_chip_panel_mark_escape_and_back_with_the_keyboard_alone(visit: Callable[..., Visit], service: Service) -> None:
    service.streams["refunds?"] = CITED
    one = visit()
    one.open()
    page = one.ask("refunds?")
    page.focus("[data-chip='1/0/src-1']")
    page.keyboard.press("Enter")
    page.wait_for_selector(".panel mark")
    assert page.locator(".panel mark").all_text_contents() == [QUOTE]
    assert page.url.endswith("#source=src-1")
    assert "guide.md" in page.locator(".panel h2").text_content()
    assert page.locator(".heading-path").text_content() == "Handbook › Refunds"
    assert "Mar 4, 2025" in page.locator(".facts").text_content()
    assert page.evaluate("document.activeElement.id") == "panel-title"
    inside = page.evaluate(
        "(() => { const m = document.querySelector('mark').getBoundingClientRect(), d = document.querySelector('.document')"
        ".getBoundingClientRect(); return m.top >= d.top && m.bottom <= d.bottom; })()"
    )
    assert inside, "the mark is scrolled into view"
    text = page.evaluate("[...document.querySelector('.document').childNodes].map((n) => n.textContent).join('')")
    assert PASSAGE in text
    assert page.locator("[data-chip='1/0/src-1']").get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    page.wait_for_selector(".panel", state="detached")
    until(page, "document.activeElement.dataset.chip === '1/0/src-1'")
    assert "#" not in page.url

    page.click("[data-chip='1/1/src-2']")
    page.wait_for_selector(".panel mark")
    assert page.locator(".panel mark").all_text_contents() == [QUOTE_2]
    assert "page 12" in page.locator(".facts").text_content()
    page.go_back()
    page.wait_for_selector(".panel", state="detached")


def test_what_cannot_be_placed_is_shown_without_a_mark(visit: Callable[..., Visit], service: Service) -> None:
    service.streams["refunds?"] = CITED
    one = visit()
    one.open()
    page = one.ask("refunds?")
    page.click("[data-chip='1/3/src-3']")
    page.wait_for_selector(".panel .passage")
    assert page.locator("mark").count() == 0
    assert page.locator(".panel .passage").text_content() == "The old words stand here."
    assert "has changed since" in page.locator(".panel .panel-note").text_content()


def test_a_source_has_an_address(visit: Callable[..., Visit], service: Service) -> None:
    for path in ("/sources/src-1", "/#source=src-1"):
        page = visit().open(path)
        page.wait_for_selector(".panel .passage")
        assert page.locator(".panel .passage").text_content() == PASSAGE
        page.keyboard.press("Escape")
        page.wait_for_selector(".panel", state="detached")
        assert page.url == service.url + "/"
    page = visit().open("/sources/gone")
    page.wait_for_selector(".panel .panel-note >> text=There is no such source.")


def test_stop_ends_the_request_at_once_and_keeps_what_came(visit: Callable[..., Visit], service: Service) -> None:
    service.streams["slow"] = [*opening(), {"type": "delta", "text": "Half of it."}, Pause(600), done()]
    one = visit()
    one.open()
    page = one.ask("slow", wait=False)
    page.wait_for_selector(".answer >> text=Half of it.")
    for way in ("button", "Escape"):
        service.closed.clear()
        page.click("button.stop") if way == "button" else page.keyboard.press("Escape")
        ends = time.monotonic() + PATIENCE_S
        while not service.closed:  # the stream would go on for ten minutes
            assert time.monotonic() < ends
            page.wait_for_timeout(20)
        page.wait_for_selector(".turn:last-child .note >> text=Stopped.")
        assert page.locator(".turn:last-child .answer").text_content() == "Half of it."
        assert announced(page).startswith("Stopped")
        page.click(".turn:last-child .actions >> text=Ask again")  # the second round stops by Esc
        page.wait_for_selector(".turn:last-child article[aria-busy=true] .answer >> text=Half of it.")
    page.click("button.stop")


def test_stages_are_named_with_seconds_after_two(visit: Callable[..., Visit], service: Service) -> None:
    service.streams["slow"] = [*opening(), {"type": "status", "stage": "queued", "ms": 2}, Pause(600), done()]
    one = visit()
    one.open()
    asked_at = time.monotonic()
    page = one.ask("slow", wait=False)
    page.wait_for_selector(".progress >> text=Waiting for a free place")
    assert announced(page) == "Waiting for a free place"
    shown = page.locator(".seconds").count()
    assert shown == 0 or time.monotonic() - asked_at >= 2
    page.wait_for_selector(".seconds >> text=/^([2-9]|\\d\\d+) s$/")


# ---- other ends


def test_an_abstention_is_an_answer_with_the_nearest_sources(visit: Callable[..., Visit], service: Service) -> None:
    words = "The documents do not say what the moon is made of."
    abstention = {"reason": "not_in_passages", "message": words, "nearest": SOURCES[:2]}
    service.streams["moon?"] = [*opening(), {"type": "delta", "text": words}, done("abstained", abstention=abstention)]
    one = visit()
    one.open()
    page = one.ask("moon?")
    assert page.locator(".answer").text_content() == words
    assert page.locator(".error").count() == 0
    assert page.locator(".abstained").text_content().startswith("The nearest passages may still help.")
    assert announced(page) == "Answer complete: the documents do not answer this question"
    page.get_by_role("link", name="terms.pdf").click()
    page.wait_for_selector(".panel .passage")
    assert page.locator(".panel .passage").text_content() == QUOTE_2


def test_withdrawn_words_vanish_and_the_reason_stands_there(visit: Callable[..., Visit], service: Service) -> None:
    good, bad = "😀 Good. ", "His number is 12345."
    retract = {"type": "retract", "start": len(good), "end": len(good + bad), "reason": "pii", "replacement": ""}
    seen_it = threading.Event()
    service.streams["who?"] = [
        *opening(),
        *said((good.strip(), "supported", [quoted("src-1", "doc-1", QUOTE)]), (" " + bad, "unchecked", [])),
        Pause(0.2),
        retract,
        seen_it,
        done(),
    ]
    one = visit()
    one.open()
    page = one.ask("who?", wait=False)
    page.wait_for_selector(".withdrawn")
    assert announced(page) == "A part of the answer was withdrawn: it held personal data"
    seen_it.set()
    page.wait_for_selector(".turn article[aria-busy=false]")
    assert page.locator(".withdrawn").text_content() == "Withdrawn: it held personal data"
    assert "12345" not in page.text_content("main")
    assert page.locator(".claim").count() == 1


def test_errors_say_what_to_do(visit: Callable[..., Visit], service: Service) -> None:
    error = {
        "code": "upstream_truncated",
        "message": "The model broke off.",
        "next_step": "Run `grounded doctor`.",
        "request_id": "req_77",
    }
    service.streams["broken"] = [
        *opening(),
        {"type": "delta", "text": "Half"},
        {"type": "error", "error": error},
        done("error"),
    ]
    service.streams["cut"] = [*opening(), {"type": "delta", "text": "Some"}]
    limited = {"code": "rate_limited", "message": "Too many questions.", "next_step": "Wait.", "request_id": "req_78"}
    service.refusals["often"] = (429, {"retry-after": "7"}, limited)
    service.refusals["secret"] = (
        401,
        {},
        {"code": "missing_api_key", "message": "A key is needed.", "next_step": "Type it."},
    )
    one = visit()
    one.open()
    page = one.ask("broken")
    box = page.locator(".turn:last-child .error")
    assert page.locator(".turn:last-child .answer").text_content() == "Half"
    for words in ("The model broke off.", "grounded doctor", "upstream_truncated", "req_77"):
        assert words in box.text_content()
    one.ask("cut")
    assert "connection was lost" in box.text_content()
    one.ask("often")
    assert "You can go on in 7 seconds." in box.text_content()
    assert "req_78" in box.text_content()

    one.ask("secret")
    del service.refusals["secret"]
    service.streams["secret"] = [*opening(), *said(("Yes.", "unchecked", [])), done()]
    page.fill(".turn:last-child input[type=password]", "grd_key")
    page.click("text=Use this key")
    page.wait_for_selector(".turn:last-child .answer >> text=Yes.")
    method, target, headers, _ = next(r for r in reversed(service.requests) if r[0] == "POST")
    assert (headers["authorization"], method, target) == ("Bearer grd_key", "POST", "/ask")
    assert page.evaluate("JSON.stringify([localStorage, sessionStorage])") == '[{},{"grounded.key":"grd_key"}]'

    page.context.set_offline(True)
    one.ask("anything")
    assert "cannot be reached" in box.text_content()


def test_parts_that_are_missing_are_named(visit: Callable[..., Visit], service: Service) -> None:
    service.checks = {"catalog": "ok", "reranker": "degraded"}
    service.streams["q"] = [*opening(), *said(("Yes.", "unchecked", [])), done(degraded=["verifier"])]
    one = visit()
    page = one.open()
    page.wait_for_selector(".banner >> text=reranker")
    one.ask("q")
    page.wait_for_selector(".banner >> text=verifier")
    assert page.locator(".badge-unchecked").is_visible()


# ---- hostile text


def test_nothing_a_model_writes_runs_or_leads_away(visit: Callable[..., Visit], service: Service) -> None:
    for i, payload in enumerate(HOSTILE):
        pieces = [payload[k : k + 7] for k in range(0, len(payload), 7)]
        stream: list[Any] = [
            *opening([source(1, "src-1", "doc-1", f"<img src=x onerror=hook('{i}')>.md", PASSAGE, START)])
        ]
        stream += [part for piece in pieces for part in ({"type": "delta", "text": piece}, Pause(0.001))]
        claim = {"type": "claim", "index": 0, "start": 0, "end": len(payload), "text": payload, "status": "supported"}
        stream += [claim | {"score": 1, "check_required": True, "citations": [quoted("src-1", "doc-1", QUOTE)]}, done()]
        service.streams[f"hostile {i}"] = stream
    one = visit()
    one.page.add_init_script("window.ran = []; window.hook = (what) => ran.push(what);")
    page = one.open()
    for i in range(len(HOSTILE)):
        one.ask(f"hostile {i}")
    page.mouse.move(300, 300)
    page.wait_for_timeout(100)
    assert page.evaluate("ran") == []
    inside = page.evaluate(
        """() => {
          const active = 'img,script,style,iframe,form,base,meta,object,embed,input,video,audio,link';
          const names = ['src', 'style', 'srcdoc', 'action'];
          const bad = (a) => a.name.startsWith('on') || names.includes(a.name);
          return [...document.querySelectorAll('.answer *')]
            .filter((n) => n.matches(active) || [...n.attributes].some(bad)).map((n) => n.outerHTML);
        }"""
    )
    assert inside == []
    links = page.evaluate("[...document.querySelectorAll('main a')].map((a) => a.getAttribute('href'))")
    assert set(links) == {"/sources/src-1"}


def test_the_policy_holds_in_the_browser(visit: Callable[..., Visit], service: Service) -> None:
    one = visit()
    page = one.open()
    assert (
        page.evaluate(
            "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'set'; } catch (e) { return e.name; } })()"
        )
        == "TypeError"
    )
    assert (
        page.evaluate(
            "(() => { try { trustedTypes.createPolicy('other', {}); return 'made'; } catch (e) { return e.name; } })()"
        )
        == "TypeError"
    )
    assert page.evaluate("fetch('https://example.org/').then(() => 'sent', (e) => e.name)") == "TypeError"
    one.trouble.clear()  # the refusals above are logged as errors
    one.foreign.clear()


# ---- the page itself


def test_the_empty_page_offers_questions_or_the_command(visit: Callable[..., Visit], service: Service) -> None:
    question = "What does the exit code 3 mean?"
    service.streams[question] = CITED
    service.collections.append({"name": "empty-one", "documents": 0, "chunks": 0})
    page = visit().open()
    page.wait_for_selector(".examples button")
    assert page.locator(".examples button").count() == 3
    page.click(f"text={question}")
    page.wait_for_selector(".turn article[aria-busy=false]")
    assert page.locator("h1").count() == 1

    page = visit().open("/?collection=empty-one")
    page.wait_for_selector(".no-documents")
    assert page.locator(".no-documents code").text_content() == "grounded ingest path/to/folder --collection empty-one"
    page.select_option("select", "default")
    page.wait_for_selector(".examples button")
    assert page.url == service.url + "/"

    service.titles = ["Somebody's own notes"]  # which do not answer questions about the manual
    page = visit().open()
    page.wait_for_selector("option >> text=default · 14 documents", state="attached")
    page.wait_for_load_state("networkidle")
    assert page.locator(".examples").count() == 0


def test_a_question_takes_along_what_was_said_before_it(visit: Callable[..., Visit], service: Service) -> None:
    for question in ("How do refunds work?", "And late ones?"):
        service.streams[question] = [*opening(), *said(("In 14 days.", "unchecked", [])), done()]
    one = visit()
    one.open()
    one.ask("How do refunds work?")
    one.ask("And late ones?")
    page = one.page
    page.locator(".turn").nth(1).locator("button >> text=Ask again").click()
    page.locator(".turn").nth(2).locator("article[aria-busy=false]").wait_for()
    told = [
        json.loads(body)["history"]
        for method, target, _, body in service.requests
        if (method, target) == ("POST", "/ask")
    ]
    before = [{"role": "user", "content": "How do refunds work?"}, {"role": "assistant", "content": "In 14 days."}]
    assert told == [[], before, before]


def test_keys(visit: Callable[..., Visit], service: Service) -> None:
    service.streams["a\nb"] = [*opening(), *said(("Yes.", "unchecked", [])), done()]
    one = visit()
    page = one.open()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    for words in ("partly supported", "not supported", "no source", "not checked"):
        assert page.locator("dialog .legend", has_text=words).is_visible()
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="detached")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "question-box"
    page.keyboard.type("a")
    page.evaluate(
        "document.getElementById('question-box').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))"
    )
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("b")
    assert page.locator(".turn").count() == 0
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn article[aria-busy=false]")
    assert page.locator(".question").text_content() == "a\nb"
    assert page.input_value("#question-box") == ""
    page.click("text=Edit question")
    until(page, "document.getElementById('question-box').value === 'a\\nb'")


def test_copying(visit: Callable[..., Visit], service: Service) -> None:
    service.streams["refunds?"] = CITED
    one = visit(permissions=["clipboard-read", "clipboard-write"])
    one.open()
    page = one.ask("refunds?")
    read = "navigator.clipboard.readText()"
    page.get_by_role("button", name="Copy", exact=True).click()
    page.wait_for_selector("text=Copied")
    assert page.evaluate(read).startswith("😀 **Refunds** are issued within 14 days. Late ones")
    page.get_by_role("button", name="Copy with sources").click()
    until(page, "document.querySelectorAll('.actions .icon-supported').length === 2")
    assert page.evaluate(read).startswith(
        "😀 **Refunds** are issued within 14 days. [1] Late ones take 30 days, or more. [1] [2]"
    )
    assert "[2] terms.pdf, Handbook › Refunds, page 12" in page.evaluate(read)
    page.get_by_role("button", name="Copy as Markdown").click()
    until(page, "document.querySelectorAll('.actions .icon-supported').length === 3")
    assert f"14 days. [[1]]({service.url}/sources/src-1)" in page.evaluate(read)


def test_nothing_sticks_out_at_320_px_and_the_panel_is_a_sheet(visit: Callable[..., Visit], service: Service) -> None:
    table = "| a long heading | another long heading | third |\n|---|---|---|\n| " + "wide " * 20 + "| x | y |"
    text = f"{table}\n\n```\n{'code ' * 40}\n```\n\n{'unbreakable' * 20}."
    service.streams["wide"] = [*opening(), *said((text, "supported", [quoted("src-1", "doc-1", QUOTE)])), done()]
    service.streams["refunds?"] = CITED
    one = visit(viewport={"width": 320, "height": 640})
    page = one.open()
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) <= 0
    one.ask("wide")
    assert page.evaluate(overflow) <= 0
    one.ask("refunds?")
    assert page.evaluate(overflow) <= 0
    page.click("[data-chip='2/1/src-2']")
    page.wait_for_selector(".panel[role=dialog] mark")
    assert page.evaluate("document.querySelector('.panel').getBoundingClientRect().width") == 320
    assert page.evaluate("document.querySelector('main').inert")
    page.click(".panel button[aria-label='Close the source']")
    until(page, "document.activeElement.dataset.chip === '2/1/src-2'")
    small = page.evaluate(
        """[...document.querySelectorAll('button, select, summary')].filter((n) => n.checkVisibility())
          .map((n) => [n.getBoundingClientRect(), n.textContent]).filter(([r]) => r.width < 24 || r.height < 24)
          .map(([, text]) => text)"""
    )
    assert small == [], "targets of at least 24 px"


def test_the_theme_follows_the_system_until_it_is_switched(visit: Callable[..., Visit], service: Service) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = visit(color_scheme="light").open().evaluate(paper)
    page = visit(color_scheme="dark").open()
    dark = page.evaluate(paper)
    assert light != dark
    switch = page.locator("button[aria-label^='Theme']")
    switch.click()
    until(page, "document.documentElement.dataset.theme === 'light'")
    assert page.evaluate(paper) == light
    page.reload()
    page.wait_for_selector("h1")
    assert page.evaluate(paper) == light
    switch.click()
    switch.click()
    until(page, "!('theme' in document.documentElement.dataset)")
    assert page.evaluate(paper) == dark


def test_the_page_does_not_jump_once_the_reader_scrolled_up(visit: Callable[..., Visit], service: Service) -> None:
    sentences = [{"type": "delta", "text": f"\n\n{LONG[: 300 + i]}"} for i in range(12)]
    scrolled = threading.Event()
    rest = [part for sentence in sentences[4:] for part in (sentence, Pause(0.05))]
    service.streams["long"] = [*opening(), *sentences[:4], scrolled, *rest, done()]
    service.streams["first"] = [*opening(), {"type": "delta", "text": LONG}, done()]
    one = visit()
    page = one.open()
    one.ask("first")
    one.ask("long", wait=False)
    until(page, "document.querySelectorAll('.turn:last-child .answer p').length >= 4")
    bottom = page.evaluate("scrollY")
    page.mouse.move(600, 300)
    page.mouse.wheel(0, -400)
    until(page, f"scrollY < {bottom}")
    page.wait_for_timeout(150)
    before = page.evaluate("scrollY")
    scrolled.set()
    page.wait_for_selector(".turn:last-child article[aria-busy=false]")
    assert page.evaluate("scrollY") == before
