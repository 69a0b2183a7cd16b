"""Every route of the application, asked by everybody who may and everybody who may not.

What belongs to one tenant, or to one group of it, is not there for all others: the same reply as for what never was. A route
that has no row here fails the test, and so does one without a need in `app.keys.routes`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import pytest
from fastapi import FastAPI
from starlette.routing import Route

from app.api import answers, ask, batch, documents, health, jobs, page, uploads
from app.keys.library import Library
from app.keys.routes import NEEDS
from tests.app.keyed import ASKED, Caller, add, caller, keyed, made, texts
from tests.app.serving import Service, assert_refused, events_of

pytestmark = pytest.mark.usefixtures("silent")

CANARY = "quokka7319"  # in names and texts of what is the owner's
PUBLIC = "pelican8842"  # in a document that all of the owner's tenant may read
TEXT = f"# The {CANARY} file\n\nThe code {CANARY} opens the harbour gate. Nobody else is told the code {CANARY}.\n"
EVERYONE = ("owner", "colleague", "stranger", "revoked", "anonymous")


@dataclass
class World:
    """What there is: callers, and the owner's things by id."""

    service: Service
    callers: dict[str, Caller]
    ids: dict[str, str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("isolation")
    hooks = {"allow": ["hooks.example"], "secret": "whsec_" + "A" * 40}
    with keyed(folder, webhooks=hooks, resume_grace_s=3600) as service:
        yield furnished(service)


def furnished(service: Service) -> World:
    """The owner reads all of group hr of the tenant acme, the colleague is of sales, the stranger owns another tenant."""
    owner = caller(service, "owner", "acme", scopes=("ask", "ingest"), groups=("hr",))
    colleague = caller(service, "colleague", "acme", scopes=("ask", "ingest"), groups=("sales",))
    stranger = caller(service, "stranger", "globex", scopes=("ask", "ingest", "admin"), groups=None)
    chief = caller(service, "chief", "acme", groups=None)
    operator = caller(service, "operator", "default", groups=None)
    gone, secret = made("acme", groups=("hr",))
    add(service, gone)
    service.run(service.grounded.authenticator.ring.store.revoke(gone.id, gone.created_at))
    callers = {c.name: c for c in (owner, colleague, stranger, chief, operator)}
    callers |= {"revoked": Caller("revoked", service, secret), "anonymous": Caller("anonymous", service)}
    ids = {"upload": owner.upload(f"{CANARY}.md", TEXT, ("hr",))["id"]}
    owner.upload("open.md", f"# Open\n\nThe {PUBLIC} sits on the pier all day long.\n")
    doomed = owner.upload(f"doomed-{CANARY}.md", "# Doomed\n\nA short text.\n", ("hr",))["files"][0]["document_id"]
    stranger.upload("theirs.md", "# Theirs\n\nThe stranger has one document of otters.\n")
    listed = {d["filename"]: d for d in owner.get("/v1/documents").json()["data"]}
    ids["document"] = listed[f"{CANARY}.md"]["id"]
    told = owner.ask().json()
    assert CANARY in told["answer"], told
    ids |= {"answer": told["id"], "source": told["sources"][0]["id"], "gone": doomed}
    ids["resumable"] = events_of(owner.ask(stream=True, resumable=True).content)[0]["answer_id"]
    ids["deletion"] = owner.request("DELETE", f"/v1/documents/{doomed}").json()["job_id"]
    owner.ended(ids["deletion"])
    question = {"id": f"q-{CANARY}", "question": ASKED}
    batch = owner.post("/v1/batch", {"questions": [question], "webhook": "https://hooks.example"})
    ids["batch"] = batch.json()["id"]
    owner.ended(ids["batch"])
    ids["webhook"] = dead_letter(service, ids["batch"])
    service.run(service.grounded.explanations.close())
    return World(service, callers, ids)


def dead_letter(service: Service, job_id: str) -> str:
    store = service.grounded.webhooks.store
    service.run(service.grounded.webhooks.stop())
    found = service.run(store.of_job(job_id))
    from dataclasses import replace

    service.run(store.note(replace(found, state="dead", ended_at=found.due_at)))
    return str(found.id)


@dataclass(frozen=True)
class Case:
    """A route as somebody calls it. `for_owner` is the status that the owner gets; others get `for_others` where they are not
    let in at all, and otherwise a reply without anything of the owner's. `foreign`: names something that is the owner's, so
    whoever may not see it gets the reply to something that never was."""

    call: Callable[[Caller, dict[str, str]], httpx2.Response]
    for_owner: int
    foreign: bool = False
    for_colleague: int | None = None
    for_stranger: int | None = None
    public: bool = False


def named(method: str, path: str, **more: Any) -> Callable[[Caller, dict[str, str]], httpx2.Response]:
    """A call of an address with the ids of the world in it."""
    return lambda who, ids: who.request(method, path.format(**ids), **more)


def retried(who: Caller, ids: dict[str, str]) -> httpx2.Response:
    """Sends a dead letter again; one that somebody has sent again before is dead once more."""
    if isinstance(who, Caller) and ids["batch"] != ABSENT["batch"]:
        dead_letter(who.service, ids["batch"])
    return who.request("POST", f"/v1/webhooks/{ids['webhook']}/retry")


def body(**content: Any) -> dict[str, Any]:
    return {"json": content}


ASK = body(question=ASKED, include=["sources.text"])
UPLOAD = body(documents=[{"filename": "mine.md", "text": "# Mine\n\nIt is mine."}])
NEW = {"idempotency-key": "the same for everyone"}

MATRIX: dict[tuple[str, str], Case] = {
    ("GET", "/"): Case(named("GET", "/"), 200, public=True),
    ("GET", "/sources/{source_id}"): Case(named("GET", "/sources/{source}"), 200, public=True),
    ("GET", "/web/{name:path}"): Case(named("GET", "/web/app.js"), 200, public=True),
    ("GET", "/health/live"): Case(named("GET", "/health/live"), 200, public=True),
    ("GET", "/health/ready"): Case(named("GET", "/health/ready"), 200, public=True),
    ("POST", "/ask"): Case(named("POST", "/ask", **ASK), 200, for_stranger=200),
    ("POST", "/v1/ask"): Case(named("POST", "/v1/ask", **body(question=ASKED, stream=True)), 200),
    ("GET", "/ask"): Case(named("GET", "/ask?question=Which+code+opens+the+harbour+gate%3F"), 200),
    ("POST", "/v1/vector_stores/{collection}/search"): Case(
        named("POST", "/v1/vector_stores/default/search", **body(query=ASKED, explain=True)), 200
    ),
    ("GET", "/v1/answers/{answer_id}"): Case(named("GET", "/v1/answers/{answer}"), 200, foreign=True),
    ("GET", "/v1/answers/{answer_id}/explain"): Case(named("GET", "/v1/answers/{answer}/explain"), 200, foreign=True),
    ("GET", "/v1/answers/{answer_id}/events"): Case(named("GET", "/v1/answers/{resumable}/events"), 200, foreign=True),
    ("POST", "/v1/answers/{answer_id}/cancel"): Case(
        named("POST", "/v1/answers/{resumable}/cancel"), 202, foreign=True
    ),
    ("POST", "/v1/batch"): Case(named("POST", "/v1/batch", **body(questions=[{"id": "q", "question": ASKED}])), 202),
    ("GET", "/v1/jobs/{job_id}/results"): Case(named("GET", "/v1/jobs/{batch}/results"), 200, foreign=True),
    ("GET", "/v1/collections"): Case(named("GET", "/v1/collections"), 200),
    ("GET", "/v1/documents"): Case(named("GET", "/v1/documents"), 200),
    ("GET", "/v1/documents/{document_id}"): Case(named("GET", "/v1/documents/{document}"), 200, foreign=True),
    ("GET", "/v1/documents/{document_id}/content"): Case(
        named("GET", "/v1/documents/{document}/content"), 200, foreign=True
    ),
    ("GET", "/v1/sources/{source_id}"): Case(named("GET", "/v1/sources/{source}"), 200, foreign=True),
    ("POST", "/v1/documents"): Case(named("POST", "/v1/documents", **UPLOAD, headers=NEW), 202),
    ("DELETE", "/v1/documents/{document_id}"): Case(named("DELETE", "/v1/documents/{gone}"), 404, foreign=True),
    ("GET", "/v1/documents/{document_id}/receipt"): Case(
        named("GET", "/v1/documents/{gone}/receipt"), 404, foreign=True
    ),
    ("GET", "/v1/jobs"): Case(named("GET", "/v1/jobs"), 200),
    ("GET", "/v1/jobs/{job_id}"): Case(named("GET", "/v1/jobs/{upload}"), 200, foreign=True),
    ("GET", "/v1/jobs/{job_id}/events"): Case(named("GET", "/v1/jobs/{upload}/events"), 200, foreign=True),
    ("POST", "/v1/jobs/{job_id}/cancel"): Case(named("POST", "/v1/jobs/{upload}/cancel"), 409, foreign=True),
    ("GET", "/v1/webhooks/dead"): Case(named("GET", "/v1/webhooks/dead"), 200),
    ("POST", "/v1/webhooks/{webhook_id}/retry"): Case(retried, 202, foreign=True),
    ("POST", "/v1/jobs"): Case(
        named("POST", "/v1/jobs", **body(type="ingest", paths=["/nowhere"])), 403, for_colleague=403, for_stranger=403
    ),
    ("GET", "/v1/generations"): Case(named("GET", "/v1/generations"), 403, for_colleague=403, for_stranger=403),
    ("GET", "/openapi.json"): Case(
        named("GET", "/openapi.json", headers={"via": "1.1 proxy"}), 403, for_colleague=403, for_stranger=200
    ),
}
ABSENT = {
    **dict.fromkeys(("answer", "resumable"), "ans_000000000000000000000000"),
    "document": "6b7f0f0e-53b0-5c0e-9d0a-6f1f2a6c2b11",
    "gone": "6b7f0f0e-53b0-5c0e-9d0a-6f1f2a6c2b12",
    "source": "6b7f0f0e-53b0-5c0e-9d0a-6f1f2a6c2b13",
    "webhook": "msg_000000000000000000000000",
    **dict.fromkeys(("upload", "batch", "deletion"), "job_000000000000000000000000"),
}


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    """Method and path of everything that answers, however deep it is mounted."""
    found = {
        (method, route.path)
        for module in (answers, ask, batch, documents, health, jobs, page, uploads)
        for route in module.router.routes
        if isinstance(route, Route)
        for method in route.methods or ()
    }
    served = {(m.upper(), path) for path, methods in app.openapi()["paths"].items() for m in methods}
    schema = {("GET", app.openapi_url)} if app.openapi_url else set()
    return {(m, p) for m, p in found | served | schema if m != "HEAD"}


def test_every_route_has_a_row_and_a_need(world: World) -> None:
    there = routes_of(world.service.app)
    assert len(there) > 25
    assert there - MATRIX.keys() == set(), "a route without a row in the matrix"
    assert there - NEEDS.keys() == set(), "a route that does not say who may call it"
    assert MATRIX.keys() - there == set()
    assert NEEDS.keys() - there <= {("GET", "/docs"), ("GET", "/metrics")}, "needs of routes that there are not"


def test_routes_read_the_catalog_through_the_library_alone() -> None:
    """A route that had the catalog itself could forget whose it is."""
    with_catalog = {
        path.name: text.count(".catalog")
        for path in (Path(__file__).parents[2] / "app" / "api").rglob("*.py")
        if ".catalog" in (text := path.read_text())
    }
    assert with_catalog == {"ask.py": 1}  # where the library is made


@pytest.mark.parametrize("route", MATRIX, ids=" ".join)
@pytest.mark.parametrize("name", EVERYONE)
def test_everybody_gets_what_is_theirs(world: World, route: tuple[str, str], name: str) -> None:
    case, who = MATRIX[route], world.callers[name]
    reply = case.call(who, world.ids)
    if case.public:
        assert reply.status_code == 200
        assert CANARY not in texts(reply)
    elif name in ("revoked", "anonymous"):
        code = "key_revoked" if name == "revoked" else "missing_api_key"
        assert_refused(reply, 401, code)
        assert reply.headers["www-authenticate"] == "Bearer"
        assert CANARY not in texts(reply)
    elif name == "owner":
        assert reply.status_code == case.for_owner, reply.text
    else:
        expected = case.for_colleague if name == "colleague" else case.for_stranger
        assert reply.status_code == (expected or (404 if case.foreign else case.for_owner)), reply.text
        assert CANARY not in texts(reply)
        if case.foreign:
            never = case.call(who, ABSENT)
            assert without_id(reply) == without_id(never)
        if name == "stranger":
            assert PUBLIC not in texts(reply)
            assert not set(world.ids.values()) & set(texts(reply).replace('"', " ").split())


def without_id(reply: httpx2.Response) -> tuple[int, Any]:
    """Status and body; a request has an id of its own."""
    content = reply.json()
    content["error"].pop("request_id")
    return reply.status_code, content


class TestRights:
    def test_a_chief_sees_what_others_of_the_tenant_asked_for(self, world: World) -> None:
        chief, ids = world.callers["chief"], world.ids
        assert chief.get(f"/v1/jobs/{ids['upload']}").status_code == 200
        assert CANARY in chief.get(f"/v1/jobs/{ids['batch']}/results").text
        assert chief.get(f"/v1/documents/{ids['gone']}/receipt").status_code == 200
        assert {ids["upload"], ids["batch"]} <= {job["id"] for job in chief.get("/v1/jobs?limit=200").json()["data"]}
        dead_letter(world.service, ids["batch"])
        assert [row["id"] for row in chief.get("/v1/webhooks/dead").json()["data"]] == [ids["webhook"]]

    def test_an_operator_sees_no_other_tenant(self, world: World) -> None:
        operator, ids = world.callers["operator"], world.ids
        assert operator.get("/v1/collections").json()["data"] == []
        assert_refused(operator.get(f"/v1/jobs/{ids['upload']}"), 404, "job_not_found")
        assert_refused(operator.ask(), 404, "collection_not_found", None)
        assert operator.get("/v1/generations").status_code == 200
        assert operator.get("/nothing/here").status_code == 404

    def test_counts_are_of_what_may_be_read(self, world: World) -> None:
        def counts(name: str) -> dict[str, int]:
            listed = world.callers[name].get("/v1/collections").json()["data"]
            return {row["name"]: row["documents"] for row in listed}

        own, other = counts("owner")["default"], counts("colleague")["default"]
        assert own == other + 1
        assert counts("stranger") == {"default": len(world.callers["stranger"].get("/v1/documents").json()["data"])}

    def test_a_scope_that_is_lacking(self, world: World) -> None:
        asks = caller(world.service, "asks", "acme", scopes=("ask",), groups=())
        brings = caller(world.service, "brings", "acme", scopes=("ingest",), groups=())
        error = assert_refused(
            asks.post("/v1/documents", {"documents": [{"filename": "a.md", "text": "x"}]}), 403, "insufficient_scope"
        )
        assert "ingest" in error["message"]
        assert_refused(brings.ask(), 403, "insufficient_scope")
        assert_refused(brings.get(f"/v1/sources/{world.ids['source']}"), 403, "insufficient_scope")
        assert asks.ask().status_code == 200
        assert CANARY not in asks.ask().text

    def test_a_key_of_one_collection_knows_no_other(self, world: World) -> None:
        chief = world.callers["chief"]
        chief.upload("side.md", "# Side\n\nThe side door is green.\n", collection="side")
        only = caller(world.service, "only", "acme", groups=None, collections=frozenset({"side"}))
        assert [row["name"] for row in only.get("/v1/collections").json()["data"]] == ["side"]
        assert only.ask("What colour is the side door?", collection="side").status_code == 200
        never = without_id(only.ask(collection="never"))
        assert str(without_id(only.ask())).replace("default", "never") == str(never)
        assert_refused(only.get(f"/v1/documents/{world.ids['document']}"), 404, "document_not_found")
        assert_refused(
            only.post("/v1/documents", {"documents": [{"filename": "a.md", "text": "x"}]}), 404, "collection_not_found"
        )

    def test_labels_are_those_that_the_key_holds(self, world: World) -> None:
        owner = world.callers["owner"]
        document = {"filename": "b.md", "text": "x", "access": ["board"]}
        assert_refused(owner.post("/v1/documents", {"documents": [document]}), 422, "validation_failed", "access")
        bad = {**document, "access": ["*"]}
        assert_refused(
            owner.post("/v1/documents", {"documents": [bad]}), 422, "validation_failed", "documents.0.access"
        )
        mixed = [{**document, "access": ["hr"]}, {"filename": "c.md", "text": "x"}]
        assert_refused(
            owner.post("/v1/documents", {"documents": mixed}), 422, "validation_failed", "documents.1.access"
        )

    def test_the_same_name_with_other_labels_is_another_document(self, world: World) -> None:
        owner, colleague = world.callers["owner"], world.callers["colleague"]
        colleague.upload(f"{CANARY}.md", "# Mine\n\nSales has a file of the same name.\n", ("sales",))
        mine = owner.get(f"/v1/documents/{world.ids['document']}/content")
        assert CANARY in mine.text
        assert colleague.get(f"/v1/documents/{world.ids['document']}").status_code == 404

    def test_a_result_of_a_batch_is_withdrawn_from_one_who_may_not_read_what_it_rests_on(self, world: World) -> None:
        """As when the labels of a document were changed behind the batch."""
        owner, path = world.callers["owner"], f"/v1/jobs/{world.ids['batch']}/results"
        assert CANARY in owner.get(path).json()["response"]["answer"]
        with patch.object(Library, "_admits", lambda *_: False):
            reply = owner.get(path).json()
        assert (reply["response"], reply["error"]["code"]) == (None, "answer_withdrawn")

    def test_an_idempotency_key_is_of_who_sent_it(self, world: World) -> None:
        replies = {
            n: MATRIX["POST", "/v1/documents"].call(world.callers[n], world.ids)
            for n in ("owner", "colleague", "stranger")
        }
        again = {n: MATRIX["POST", "/v1/documents"].call(world.callers[n], world.ids) for n in replies}
        ids = {name: reply.json()["id"] for name, reply in replies.items()}
        assert len(set(ids.values())) == 3
        assert {name: reply.json()["id"] for name, reply in again.items()} == ids

    def test_server_owned_fields_are_refused(self, world: World) -> None:
        owner = world.callers["owner"]
        for field in ("tenant", "groups", "principal", "key_id", "owner", "scopes"):
            assert_refused(owner.ask(**{field: "globex"}), 422, "validation_failed", field)
            reply = owner.post("/v1/documents", {"documents": [{"filename": "a.md", "text": "x"}], field: "globex"})
            assert_refused(reply, 422, "validation_failed", field)
            reply = owner.post("/v1/batch", {"questions": [{"id": "q", "question": "x", field: "globex"}]})
            assert reply.status_code == 422

    def test_what_is_absent_and_what_is_foreign_take_the_same_time(self, world: World) -> None:
        """The time of a reply tells the two apart no better than a guess, whatever was done for each."""
        from time import perf_counter

        stranger = world.callers["stranger"]

        def took(document: str) -> float:
            begun = perf_counter()
            assert stranger.get(f"/v1/documents/{document}").status_code == 404
            return perf_counter() - begun

        took(world.ids["document"])
        pairs = [(took(world.ids["document"]), took(ABSENT["document"])) for _ in range(40)]
        assert min(min(pair) for pair in pairs) >= 0.03  # nothing is told before that
