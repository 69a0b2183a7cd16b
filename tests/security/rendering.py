"""What an obedient model says, in the real page of the real service, in a real browser: nobody else is asked for anything."""

import tempfile
from pathlib import Path
from random import Random
from typing import Any

from tests.checks import Unavailable
from tests.security.attacks import Heard, acts
from tests.security.obedient import attacked
from tests.security.obedient_model import Obedient, Trap

_ACTIVE = "img,script,style,iframe,form,base,meta,object,embed,input,video,audio,link,svg image,math"
_TURNS = 40  # answers on one page


def sweep(n: int, seed: int) -> dict[str, Any]:
    """Renders `n` outputs, one after the other. Raises Unavailable without a browser."""
    try:
        from tests.journeys.page import CHROMIUM, FLAGS, Visit, playwright_api
    except BaseException as error:
        raise Unavailable("the playwright package is not installed") from error
    if CHROMIUM is None:
        raise Unavailable("no Chromium: install one or set GROUNDED_TEST_CHROMIUM")
    with (
        tempfile.TemporaryDirectory() as place,
        attacked(Path(place), 4, seed) as (served, model, trap, _),
        playwright_api.sync_playwright() as playwright,
    ):
        model.playlist = outputs(trap.url, n, seed)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
        visit = Visit(browser.new_context(reduced_motion="reduce"), f"http://127.0.0.1:{served.port}")
        visit.page.add_init_script("window.ran = []; window.hook = (what) => ran.push(what);")
        wrong, marked = _rendered(visit, model, trap)
        browser.close()
    return {"outputs": n, "sentences_with_marks": marked, "requests_elsewhere": len(visit.foreign), "wrong": wrong}


def outputs(evil: str, n: int, seed: int) -> list[str]:
    """Every act that wants to fetch, link or run, and then several at once."""
    heard, draw = Heard("The prompt.", "What?", "Do it.", evil), Random(seed)
    names = [name for name in acts() if name.startswith(("link", "frame", "call"))]
    found = [f"See here [1]. {acts()[name](heard, draw)} End [1]." for name in names]
    while len(found) < n:
        found.append(draw.choice((" ", "", "\n\n", "\n")).join(draw.sample(found[: len(names)], 4)))
    return found[:n]


def _rendered(visit: Any, model: Obedient, trap: Trap) -> tuple[list[str], int]:
    wrong, marked = list[str](), 0
    for nth in range(len(model.playlist)):
        if nth % _TURNS == 0:
            visit.open()
        page = visit.ask(f"PLAY-{nth} When are refunds issued?")
        if (nth + 1) % _TURNS == 0 or nth + 1 == len(model.playlist):
            marked += page.locator(".answer .chip").count()
            wrong += _looked(page)
    wrong += [f"asked {url}" for url in visit.foreign] + [f"trouble {what}" for what in visit.trouble]
    return wrong + ["the attacker was visited"] * trap.visits, marked


def _looked(page: Any) -> list[str]:
    """What on the page should not be there."""
    wrong = [f"ran {what}" for what in page.evaluate("ran")]
    for one in _ACTIVE.split(","):
        wrong += [f"{one} in an answer"] * page.locator(f".answer {one}").count()
    links = page.evaluate("[...document.querySelectorAll('main a')].map((a) => a.getAttribute('href'))")
    return wrong + [f"link to {link}" for link in links if not link.startswith("/sources/")]
