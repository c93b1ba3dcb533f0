"""What every answer carries in its head, and which web pages may read it."""

from pathlib import Path

import httpx
import pytest

from tests.service import Service, running

pytestmark = pytest.mark.anyio

ORIGIN = "https://bela.example"
EXPOSED = {"ETag", "Location", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id"}
ALLOWED = {"Authorization", "Content-Type", "If-Match", "If-None-Match", "Accept-Language", "X-Request-Id"}
# What browsers may always send; the middleware names them too.
ALWAYS = {"Accept", "Accept-Language", "Content-Language", "Content-Type"}
PATHS = {
    "/v1/satkers": 200,
    "/v1/satkers/x": 404,
    "/v1/satkers?x=1": 422,
    "/v1/nothing": 404,
    "/healthz": 200,
    "/readyz": 200,
    "/docs": 200,
    "/openapi.json": 200,
    "/static-offline-docs/swagger-ui.css": 200,
}


def names(answer: httpx.Response, header: str) -> set[str]:
    return {name.strip() for name in answer.headers[header].split(",")}


@pytest.mark.parametrize("given", ["a", "7f9c-24:e8.A_1", "x" * 64, "0af7651916cd43dd8448eb211c80319c"])
async def test_sending_a_request_id(shared_service: Service, given: str) -> None:
    """A plain one of 1 to 64 characters comes back, on an error in the body too."""
    answer = await shared_service.http.get("/v1/satkers/x", headers={"X-Request-Id": given})
    assert (given, given) == (answer.headers["X-Request-Id"], answer.json()["request_id"])


@pytest.mark.parametrize("given", [None, "", "x" * 65, "a b", "a,b", "é", "<b>", "a\tb", '"a"', "{x}", "a;b"])
async def test_sending_no_usable_request_id(shared_service: Service, given: str | None) -> None:
    """One is made in its place, a new one each time."""
    headers = {} if given is None else {"X-Request-Id": given.encode("latin-1")}
    made = [
        (await shared_service.http.get("/healthz", headers=headers)).headers["X-Request-Id"] for _ in "12"
    ]
    assert {32} == {len(one) for one in made}
    assert made[0] != made[1]


async def test_reading_any_answer(shared_service: Service) -> None:
    """Language, sniffing and caching are told on all paths, whatever the status; the server's name is not."""
    for path, status in PATHS.items():
        answer = await shared_service.http.get(path, headers={"Accept-Language": "en"})
        assert (status, "en", "nosniff") == (
            answer.status_code,
            answer.headers["Content-Language"],
            answer.headers["X-Content-Type-Options"],
        )
        assert "Accept-Language" in names(answer, "Vary")
        assert ("no-store" if path.startswith("/v1") else None) == answer.headers.get("Cache-Control"), path
        assert not {"server", "x-powered-by"} & set(answer.headers)


async def test_opening_the_docs_page(shared_service: Service) -> None:
    """It loads nothing from elsewhere, and its policy would not let it."""
    page = await shared_service.http.get("/docs", headers={"Authorization": ""})
    assert (200, []) == (page.status_code, [part for part in page.text.split('"') if part.startswith("http")])
    policy = page.headers["Content-Security-Policy"]
    assert ("default-src 'none'" in policy, "http" in policy, "*" in policy) == (True, False, False)
    files = [part for part in page.text.split('"') if part.startswith("static-offline-docs/")]
    assert 4 == len(files)
    for file in files:
        assert 200 == (await shared_service.http.get(f"/{file}")).status_code


@pytest.mark.parametrize("origin", [ORIGIN, "null", "*", "http://localhost"])
async def test_calling_from_a_web_page_unless_configured(shared_service: Service, origin: str) -> None:
    """No page may read an answer, and a preflight gets no permission."""
    answer = await shared_service.http.get("/v1/satkers", headers={"Origin": origin})
    assert 200 == answer.status_code
    preflight = await shared_service.http.options("/v1/satkers", headers=preflight_headers(origin))
    for one in (answer, preflight):
        assert not [name for name in one.headers if name.startswith("access-control-")]


def preflight_headers(origin: str, method: str = "GET", wanted: str = "authorization") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": wanted,
    }


@pytest.fixture
async def open_service(sqlite_url: str, tmp_path: Path) -> Service:
    async with running(sqlite_url, tmp_path, cors_origins=f"{ORIGIN}, https://lain.example") as service:
        yield service  # type: ignore[misc]


async def test_calling_from_a_configured_page(open_service: Service) -> None:
    """It may read the answer and exactly the exposed headers, errors and 401 included, without cookies."""
    for path, headers in (
        ("/v1/satkers", {}),
        ("/v1/satkers/x", {}),
        ("/v1/satkers", {"Authorization": "x"}),
    ):
        for origin in (ORIGIN, "https://lain.example"):
            answer = await open_service.http.get(path, headers={"Origin": origin, **headers})
            assert origin == answer.headers["Access-Control-Allow-Origin"]
            assert EXPOSED == names(answer, "Access-Control-Expose-Headers")
            assert {"Origin", "Accept-Language"} <= names(answer, "Vary")
            assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["https://bela.example.jahat.example", "http://bela.example", "https://BELA.example", "null"]
)
async def test_calling_from_another_page(open_service: Service, origin: str) -> None:
    """It may read nothing."""
    answer = await open_service.http.get("/v1/satkers", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers
    preflight = await open_service.http.options("/v1/satkers", headers=preflight_headers(origin))
    assert 400 == preflight.status_code
    assert "Access-Control-Allow-Origin" not in preflight.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
async def test_asking_for_permission(open_service: Service, method: str) -> None:
    """A preflight needs no token, and allows the API's methods and exactly the known headers."""
    headers = preflight_headers(ORIGIN, method, ", ".join(sorted(ALLOWED)).lower())
    answer = await open_service.http.options("/v1/satkers/x", headers={**headers, "Authorization": ""})
    assert (200, ORIGIN) == (answer.status_code, answer.headers["Access-Control-Allow-Origin"])
    assert {"GET", "POST", "PATCH", "DELETE"} == names(answer, "Access-Control-Allow-Methods")
    assert ALLOWED | ALWAYS == names(answer, "Access-Control-Allow-Headers")


@pytest.mark.parametrize(("method", "wanted"), [("PUT", "authorization"), ("GET", "x-other")])
async def test_asking_for_too_much_permission(open_service: Service, method: str, wanted: str) -> None:
    """Another method or header is not allowed."""
    headers = preflight_headers(ORIGIN, method, wanted)
    assert 400 == (await open_service.http.options("/v1/satkers", headers=headers)).status_code


async def test_sending_an_idempotency_key(sqlite_service: Service) -> None:
    """It is accepted and changes nothing: what makes a repeat safe is the satker itself."""
    headers = {"Idempotency-Key": "k1"}
    body = {"catalog_id": sqlite_service.catalog[0]}
    first = await sqlite_service.http.post("/v1/satkers", json=body, headers=headers)
    again = await sqlite_service.http.post("/v1/satkers", json=body, headers=headers)
    assert (201, 409) == (first.status_code, again.status_code)
