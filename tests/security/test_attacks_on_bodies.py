"""Bodies, names, ids and origins that mean harm: refused, or harmless; never a failure that nobody planned."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidApiKey, UnsupportedMediaType, ValidationFailed
from app.keys.claims import ClaimNames, principal_of_claims
from app.uploads import Upload, Uploads, safe_name
from tests.app.serving import Service, served
from tests.app.test_isolation import MATRIX

FILES: dict[str, str | bytes] = {"gate.md": "# The gate\n\nThe harbour gate is green.\n"}
BOMB = 900  # inside each other; the parser of JSON gives up at 1024
JSON_ROUTES = {
    "/ask": {"question": "What colour?"},
    "/v1/vector_stores/default/search": {"query": "What colour?"},
    "/v1/documents": {"documents": [{"filename": "a.md", "text": "x"}]},
    "/v1/batch": {"questions": [{"id": "q", "question": "What colour?"}]},
    "/v1/jobs": {"type": "ingest", "paths": ["/nowhere"]},
}
FIELDS = (
    "filters",
    "history",
    "response_format",
    "include",
    "metadata",
    "options",
    "documents",
    "questions",
    "query",
    "paths",
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    batch = {"max_questions": 50}
    with structlog.testing.capture_logs(), served(tmp_path_factory.mktemp("bodies"), FILES, batch=batch) as service:
        yield service


def nested(depth: int, opening: str, closing: str) -> str:
    return opening * depth + closing * depth


BOMBS = {
    "lists": nested(BOMB, "[", "]"),
    "objects": nested(BOMB, '{"a":', "}").replace('{"a":}', '{"a":1}'),
    "filters": nested(BOMB, '{"type":"and","filters":[', "]}"),
    "schemas": '{"type":"json_schema","json_schema":{"schema":'
    + nested(BOMB, '{"items":', "}").replace(":}", ":{}}")
    + "}}",
    "deeper than the parser goes": nested(200_000, "[", "]")[:16_000],
}


@pytest.mark.parametrize("path", JSON_ROUTES)
@pytest.mark.parametrize("bomb", BOMBS)
def test_what_is_nested_deep_is_refused(service: Service, path: str, bomb: str) -> None:
    for field in FIELDS:
        content = json.dumps({**JSON_ROUTES[path], field: "@"}).replace('"@"', BOMBS[bomb])
        reply = service.request("POST", path, content=content.encode())
        assert reply.status_code < 500, f"{field}: {reply.text[:300]}"


@pytest.mark.parametrize("path", JSON_ROUTES)
@pytest.mark.parametrize(
    "value", ["1e999", "-0", "1" * 5000, '"\\ud800"', '"\\u0000"', "NaN", "[" * 9, '{"a":1,"a":2}', "9" * 20]
)
def test_values_that_parsers_disagree_about(service: Service, path: str, value: str) -> None:
    for field in ("question", "query", "top_k", "max_num_results", "collection", "id", "filters", "type", "webhook"):
        content = json.dumps({**JSON_ROUTES[path], field: "@"}).replace('"@"', value)
        reply = service.request("POST", path, content=content.encode())
        assert reply.status_code < 500, f"{field}: {reply.text[:300]}"


def test_a_name_that_is_sent_is_not_repeated_at_length(service: Service) -> None:
    reply = service.request("POST", "/ask", json={"question": "x", "a" * 100_000: 1})
    assert reply.status_code == 422
    assert len(reply.content) < 2000


def test_lines_of_a_batch_are_not_read_behind_the_most_there_may_be(service: Service) -> None:
    line = json.dumps({"id": "q", "question": "x"}).encode()
    lines = b"\n".join([line] * 60 + [b"{"])
    reply = service.request("POST", "/v1/batch", content=lines, headers={"content-type": "application/x-ndjson"})
    assert reply.status_code == 422
    assert "more than 50" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "charset", ["idna", "undefined", "punycode", "utf-7", "utf-16", "zip", "x" * 500, "a\x00b", "../x"]
)
def test_a_form_in_another_charset(service: Service, charset: str) -> None:
    part = b'--x\r\ncontent-disposition: form-data; name="file"; filename="\xff.md"\r\n\r\ntext\r\n--x--\r\n'
    kind = {"content-type": f"multipart/form-data; boundary=x; charset={charset}".encode("latin-1")}
    reply = service.request("POST", "/v1/documents", content=part, headers=kind)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request")


FORMS = {
    "no boundary": (b"", b"--x--"),
    "an empty boundary": (b"; boundary=", b"----"),
    "no name": (b"; boundary=x", b'--x\r\ncontent-disposition: form-data; filename="a.md"\r\n\r\nt\r\n--x--\r\n'),
    "no disposition": (b"; boundary=x", b"--x\r\ncontent-type: text/plain\r\n\r\nt\r\n--x--\r\n"),
    "a header that never ends": (b"; boundary=x", b"--x\r\n" + b"a" * 100_000),
    "a value that never ends": (b"; boundary=x", b"--x\r\na: " + b"a" * 100_000 + b"\r\n--x--\r\n"),
    "ten thousand headers": (b"; boundary=x", b"--x\r\n" + b"a: b\r\n" * 10_000 + b"\r\n--x--\r\n"),
    "many parts": (
        b"; boundary=x",
        b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\nt\r\n' * 3000 + b"--x--\r\n",
    ),
    "the same field twice": (
        b"; boundary=x",
        b'--x\r\ncontent-disposition: form-data; name="collection"\r\n\r\na\r\n' * 2
        + b'--x\r\ncontent-disposition: form-data; name="file"; filename="../../a.exe"\r\n\r\nt\r\n--x--\r\n',
    ),
    "metadata nested deep": (
        b"; boundary=x",
        b'--x\r\ncontent-disposition: form-data; name="metadata"\r\n\r\n' + b"[" * 900 + b"]" * 900 + b"\r\n"
        b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.md"\r\n\r\nt\r\n--x--\r\n',
    ),
}


@pytest.mark.parametrize("what", FORMS)
def test_forms_that_are_none(service: Service, what: str) -> None:
    options, body = FORMS[what]
    headers = {"content-type": b"multipart/form-data" + options}
    reply = service.request("POST", "/v1/documents", content=body, headers=headers)
    assert reply.status_code in (400, 413, 415, 422), reply.text[:300]


IDS = (
    "%27%20OR%201=1--",
    "%22",
    "..%2f..%2fetc%2fpasswd",
    "%ff",
    "%F0%9F%98%80",
    "a" * 8000,
    "%0a",
    "*",
    "_",
    "%25",
    "{}",
    "null",
)
NAMED = (
    "/v1/documents/{}",
    "/v1/documents/{}/content",
    "/v1/documents/{}/receipt",
    "/v1/sources/{}",
    "/v1/jobs/{}",
    "/v1/jobs/{}/events",
    "/v1/jobs/{}/results",
    "/v1/answers/{}",
    "/v1/answers/{}/explain",
    "/web/{}",
)


@pytest.mark.parametrize("path", NAMED)
def test_ids_that_are_none(service: Service, path: str) -> None:
    for id_ in IDS:
        reply = service.get(path.replace("{}", id_))
        assert reply.status_code in (400, 404), f"{id_[:40]}: {reply.text[:300]}"
        assert "passwd" not in reply.text


@pytest.mark.parametrize(
    "query", ["after=%27", "after=%ff", "limit=-1", "limit=99999999999999999999", "collection=%27--", "status=%27"]
)
def test_queries_that_are_none(service: Service, query: str) -> None:
    for path in ("/v1/jobs", "/v1/documents", "/v1/webhooks/dead"):
        assert service.get(f"{path}?{query}").status_code < 500


FORGED = (
    *("null", "https://evil.example", "http://localhost.evil.example", "http://evil-localhost", "http://localhost:9"),
    *(
        "https://localhost",
        "http://localhost:",
        "http://localhost/",
        "http://user@localhost",
        "HTTP://LOCALHOST.",
        "file://",
    ),
    *("http://127.0.0.1", "http://[::1]", "chrome-extension://abc", "http://localhost, http://localhost", ""),
)


@pytest.mark.parametrize("origin", FORGED)
def test_no_page_of_another_origin_writes(service: Service, origin: str) -> None:
    for method, path in MATRIX:
        if method == "GET":
            continue
        reply = service.request(method, path, json={}, headers={"origin": origin})
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "cross_site"), path


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_no_reply_lets_another_origin_read_it(service: Service, method: str) -> None:
    for path in ("/", "/ask", "/v1/collections", "/openapi.json", "/nowhere", "/web/app.js"):
        asked = {"origin": "http://localhost", "access-control-request-method": "POST", "sec-fetch-site": "same-site"}
        reply = service.request(method, path, headers=asked)
        assert not [name for name in reply.headers if name.startswith("access-control")]
        assert reply.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "path", ["/", "/v1/collections", "/v1/documents", "/nowhere", "/web/app.js", "/ask?question=x", "/ask"]
)
def test_every_reply_says_how_long_it_may_be_kept(service: Service, path: str) -> None:
    assert service.get(path).headers["cache-control"] in ("no-store", "no-cache")


NAMES = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            ["..", ".", "/", "\\", "a", ".md", "\0", "\n", "%2e", "CON", "~", "$HOME", "．．", "\u202e", " "]
        )
    ).map("".join),
)


@given(name=NAMES)
def test_no_name_leads_out_of_the_folder_of_uploads(name: str) -> None:
    try:
        kept = safe_name(name, "text/markdown", "file")
    except (ValidationFailed, UnsupportedMediaType):
        return
    folder = Path("/uploads/here")
    assert (folder / kept).parent == folder
    assert Path(kept).name == kept
    assert kept not in (".", "..")
    assert not kept.startswith(".")
    assert kept.isprintable() or not any(ord(char) < 32 for char in kept)
    assert len(kept.encode()) <= 255


def test_a_link_in_the_place_of_an_upload_is_replaced_and_not_followed(tmp_path: Path) -> None:
    import asyncio

    outside = tmp_path / "outside.md"
    outside.write_text("theirs")
    uploads = Uploads(tmp_path / "uploads", 0, 10**6)
    uploads.folder("c").mkdir(parents=True)
    (uploads.folder("c") / "a.md").symlink_to(outside)
    asyncio.run(uploads.keep("c", [Upload("a.md", BytesIO(b"mine"))]))
    assert outside.read_text() == "theirs"
    assert (uploads.folder("c") / "a.md").read_text() == "mine"


@pytest.mark.parametrize("end", [10**30, 1e308, -(10**18), 253402300800, "9" * 30])
def test_a_token_whose_end_is_no_time_is_refused(end: Any) -> None:
    with pytest.raises(InvalidApiKey):
        principal_of_claims({"iss": "i", "sub": "s", "exp": end}, ClaimNames("", "groups", "scope"))
