"""Every no: its order, its shape, its two languages, and that it repeats nothing that was sent."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from app.main import create_app, document
from app.problems import Problem, preferred_language
from app.startup import migrate_database

from tests.canary import PASSWORD
from tests.described import Described
from tests.postgres import Postgres
from tests.service import Service, bearer, registration, running, settings_for

pytestmark = pytest.mark.anyio

CANARY = "kanari-9f3c1e"
JSON = {"Content-Type": "application/json"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, path with `tidak-ada` for every parameter, operation) of all that is under /v1."""
    paths = document()["paths"]
    for path, described in paths.items():
        for method, operation in described.items():
            if path.startswith("/v1"):
                yield method.upper(), re.sub(r"\{\w+\}", "tidak-ada", path), operation


OPERATIONS = list(operations())
# Every request body there is, with what each operation takes.
BODIES: dict[str, dict[str, Any]] = {
    "SatkerIn": {"catalog_id": "x"},
    "SatkerPatch": {"is_primary": True, "catalog_id": "x"},
    "ConfirmIn": {"company_id": "x"},
    "LogInIn": {"email": "a@satker.example", "password": PASSWORD, "company_id": "x"},
    "RegisterIn": registration(),
    "EntryIn": {"category": "ATK"},
    "MoveIn": {"catalog_id": "x", "reason": "salah satker"},
    "ResolveIn": {"outcome": "orphan", "company_id": "x", "account_id": "x", "reason": "diperiksa"},
}


def operator() -> dict[str, str]:
    """Whom every path answers: a PP who is an operator too."""
    return bearer(scope="mappings:admin")


def body_name(operation: dict[str, Any]) -> str | None:
    found = re.search(r'"#/components/schemas/(\w+)"', json.dumps(operation.get("requestBody", "")))
    return found[1] if found else None


WITH_BODY = [
    (method, path, name)
    for method, path, operation in OPERATIONS
    if (name := body_name(operation)) is not None and name in BODIES
]


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def fields(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(error["field"], error["code"]) for error in answer.json()["errors"]]


def ids(cases: list[tuple[str, str, Any]]) -> list[str]:
    return [f"{method} {path}" for method, path, _ in cases]


# The order


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=ids(OPERATIONS))
async def test_refusals_come_in_one_order(
    shared_service: Service, method: str, path: str, operation: dict[str, Any]
) -> None:
    """401, then 403 for the role, then 422; each hides what would come after it."""
    http, bad = shared_service.http, {"tidak_dikenal": "1"}
    body = (
        {"content": json.dumps({"tidak_dikenal": 1}), "headers": JSON} if "requestBody" in operation else {}
    )
    headers: dict[str, str] = dict(body.pop("headers", {}))  # type: ignore[call-overload]
    anonymous = await http.request(
        method, path, params=bad, headers={**headers, "Authorization": "Bearer x"}, **body
    )
    assert (401, "unauthenticated") == told(anonymous)
    other_role = bearer(role="PENYEDIA")
    if not path.startswith("/v1/admin"):
        forbidden = await http.request(method, path, params=bad, headers={**headers, **other_role}, **body)
        assert (403, "role_not_allowed") == told(forbidden)
    invalid = await http.request(method, path, params=bad, headers={**headers, **operator()}, **body)
    assert (422, "validation_failed") == told(invalid)


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=ids(OPERATIONS))
async def test_an_unknown_query_parameter(
    shared_service: Service, method: str, path: str, operation: dict[str, Any]
) -> None:
    """It is 422 on every call, and named; the near miss of a known one, too."""
    known = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"}
    name = body_name(operation)
    body = {"json": BODIES[name]} if name in BODIES else {}
    for unknown in ("tidak_dikenal", *(name.upper() for name in known)):
        answer = await shared_service.http.request(
            method, path, params={unknown: CANARY}, headers=operator(), **body
        )
        assert (422, "validation_failed") == told(answer)
        assert (unknown, "unknown_field") in fields(answer)
        assert CANARY not in answer.text


async def test_a_satker_comes_before_what_is_asked_for_it(shared_service: Service) -> None:
    """404 comes before the 403 of an unverified e-mail and before anything is sent to mbizmarket."""
    headers = bearer(email_verified=False)
    before = (await shared_service.truth())["requests"]
    for path in ("confirm", "login", "register"):
        name = {"confirm": "ConfirmIn", "login": "LogInIn", "register": "RegisterIn"}[path]
        url = f"/v1/satkers/tidak-ada/mapping/{path}"
        answer = await shared_service.http.post(url, json=BODIES[name], headers=headers)
        assert (404, "satker_not_found") == told(answer)
    assert before == (await shared_service.truth())["requests"]


async def test_a_verified_address_comes_before_a_conflict(sqlite_service: Service) -> None:
    """403 comes before the 409 of another registration."""
    satker = await sqlite_service.add(sqlite_service.catalog[0])
    url = f"/v1/satkers/{satker}/mapping"
    await sqlite_service.http.post(f"{url}/register", json=registration("lost@satker.example"))
    body = {"company_id": "x"}
    answer = await sqlite_service.http.post(f"{url}/confirm", json=body, headers=bearer(email_verified=False))
    assert (403, "email_unverified") == told(answer)
    answer = await sqlite_service.http.post(f"{url}/confirm", json=body)
    assert (409, "link_in_progress") == told(answer)


# Bodies

NOT_JSON = {
    "a word": b"rahasia",
    "cut short": b'{"catalog_id": "x"',
    "two values": b'{"catalog_id": "x"} {}',
    "single quotes": b"{'catalog_id': 'x'}",
    "a comma too many": b'{"catalog_id": "x",}',
    "a form": b"catalog_id=x",
    "blanks": b"   ",
    "Latin-1": '{"catalog_id": "é"}'.encode("latin-1"),
    "UTF-16": '{"catalog_id": "x"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"catalog_id": "x"}'.encode("utf-16-le"),
    "UTF-32": '{"catalog_id": "x"}'.encode("utf-32-be"),
    "a surrogate in UTF-8": b'{"catalog_id": "\xed\xa0\x80"}',
    "overlong UTF-8": b'{"catalog_id": "\xc0\xaf"}',
    "NUL": b'{"catalog_id": "\x00"}',
    "a line break in a text": b'{"catalog_id": "a\nb"}',
    "nested as deep as fits": b"[" * 16384,
    "nested and closed": b"[" * 8000 + b"]" * 8000,
    "a number of 5,000 digits": b'{"catalog_id": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("content", NOT_JSON.values(), ids=NOT_JSON.keys())
async def test_sending_what_is_not_json(shared_service: Service, content: bytes) -> None:
    """It is 400, whatever it is instead, and says no more."""
    answer = await shared_service.http.post("/v1/satkers", content=content, headers=JSON)
    assert (400, "malformed_body") == told(answer)


OTHER_SHAPES = {
    "null": b"null",
    "true": b"true",
    "a number": b"1e400",
    "a text": b'"catalog_id"',
    "a list": b'[{"catalog_id": "x"}]',
    "an empty list": b"[]",
    "not a number": b'{"catalog_id": NaN}',
    "a lone surrogate": b'{"catalog_id": "\\ud800"}',
    "a lone surrogate for a name": b'{"\\ud800": 1, "catalog_id": "x"}',
    "NUL": b'{"catalog_id": "a\\u0000"}',
    "a line break": b'{"catalog_id": "a\\r\\nb"}',
    "a turn of the writing direction": b'{"catalog_id": "a\\u202eb"}',
    "nested 400 deep": b'{"catalog_id": ' + b"[" * 400 + b"]" * 400 + b"}",
    "a huge number": b'{"catalog_id": ' + b"9" * 4000 + b"}",
    "many unknown fields": json.dumps({f"x{number}": 1 for number in range(900)}).encode(),
}


@pytest.mark.parametrize("content", OTHER_SHAPES.values(), ids=OTHER_SHAPES.keys())
async def test_sending_json_of_another_shape(shared_service: Service, content: bytes) -> None:
    """It is 422 with the fields named, at most 20 of them."""
    answer = await shared_service.http.post("/v1/satkers", content=content, headers=JSON)
    assert (422, "validation_failed") == told(answer)
    assert 1 <= len(fields(answer)) <= 20


def test_knowing_every_body() -> None:
    """What follows tries each body that is published."""
    assert {name for _, _, operation in OPERATIONS if (name := body_name(operation))} == set(BODIES)


@pytest.mark.parametrize(("method", "path", "name"), WITH_BODY, ids=ids(WITH_BODY))
async def test_sending_no_body(shared_service: Service, method: str, path: str, name: str) -> None:
    """Where a body is needed it is 422, with or without a Content-Type; entry needs none."""
    for headers in ({}, JSON):
        answer = await shared_service.http.request(method, path, headers={**operator(), **headers})
        if name == "EntryIn":
            assert (404, "satker_not_found") == told(answer)
        else:
            assert (422, [("body", "required")]) == (answer.status_code, fields(answer))


@pytest.mark.parametrize(("method", "path", "name"), WITH_BODY, ids=ids(WITH_BODY))
async def test_sending_a_field_too_many(shared_service: Service, method: str, path: str, name: str) -> None:
    """Unknown fields are 422 at every depth; what a client may not set is unknown."""
    for place in objects(BODIES[name]):
        for unknown in ("tidak_dikenal", "state", "pp_id", "account_id", "reference"):
            if unknown in BODIES[name]:  # an operator says which account a registration came to
                continue
            answer = await shared_service.http.request(
                method, path, json=with_value(BODIES[name], [*place, unknown], CANARY), headers=operator()
            )
            assert [(".".join([*place, unknown]), "unknown_field")] == fields(answer)
            assert CANARY not in answer.text


def objects(body: dict[str, Any], *place: str) -> Iterator[tuple[str, ...]]:
    yield place
    for name, value in body.items():
        if isinstance(value, dict):
            yield from objects(value, *place, name)


def with_value(body: dict[str, Any], place: list[str], value: object) -> dict[str, Any]:
    """The body with one value exchanged, wherever in it."""
    first, *rest = place
    return {**body, first: with_value(body.get(first, {}), rest, value) if rest else value}


def leaves(body: dict[str, Any], *place: str) -> Iterator[list[str]]:
    for name, value in body.items():
        if isinstance(value, dict):
            yield from leaves(value, *place, name)
        else:
            yield [*place, name]


@pytest.mark.parametrize(("method", "path", "name"), WITH_BODY, ids=ids(WITH_BODY))
async def test_sending_values_of_the_wrong_kind(
    shared_service: Service, method: str, path: str, name: str
) -> None:
    """Each is 422 with that field named; no answer repeats what was typed."""
    wrong = ([CANARY], {"isi": CANARY}, 12345, False, CANARY + "\0", CANARY + "\ud800", CANARY * 100)
    for place in leaves(BODIES[name]):
        for value in wrong:
            if place == ["password"] and value == CANARY + "\0":
                continue  # forwarded unchanged, whatever is in it
            body = json.dumps(with_value(BODIES[name], place, value)).encode()
            answer = await shared_service.http.request(
                method, path, content=body, headers={**JSON, **operator()}
            )
            assert 422 == answer.status_code, (place, value)
            assert {".".join(place)} == {field for field, _ in fields(answer)}
            assert CANARY not in answer.text


async def test_sending_texts_at_their_limits(shared_service: Service) -> None:
    """Names have 1 to 200 characters, passwords 1 to 256, postal codes 5 digits, phones 8 to 20 signs."""
    limits: dict[str, tuple[list[str], list[str]]] = {
        "contact_name": (["B", "b" * 200, "💩" * 200, "Ⅷ"], ["", " ", "b" * 201, "a\tb"]),
        "password": (["p", "p" * 256, " ", "💩" * 256, "\0"], ["", "p" * 257]),
        "phone": (
            ["12345678", "+62 (21) 345-6789", "1" * 20],
            ["1234567", "1" * 21, "+-() +-()", "١٢٣٤٥٦٧٨"],
        ),
        "company.address.postal_code": (["00000"], ["1234", "123456", "1234a", "١٢٣٤٥", "12345\n"]),
        "company.address.street": (["J" * 200], ["", "J" * 201]),
        "email": (
            ["a@b.cd", "é@contoh.id", "a+b@x.co.id"],
            ["a", "a@b", "a@b@c.de", "a b@c.de", "x" * 250 + "@b.cd"],
        ),
    }
    for place, (good, bad) in limits.items():
        for value in good + bad:
            body = with_value(registration(), place.split("."), value)
            answer = await shared_service.http.post("/v1/satkers/tidak-ada/mapping/register", json=body)
            expected = (404, "satker_not_found") if value in good else (422, "validation_failed")
            assert expected == told(answer), (place, value)


async def chunks(size: int) -> AsyncIterator[bytes]:
    yield b'{"catalog_id": "'
    for _ in range(size // 1024):
        yield b"x" * 1024


@pytest.mark.parametrize("path", ["/v1/satkers", "/v1/satkers/x/mapping/register", "/v1/tidak-ada"])
async def test_sending_too_much(shared_service: Service, path: str) -> None:
    """Over 16 KiB is 413, announced or in chunks, and is not read to its end."""
    http = shared_service.http
    announced = await http.post(path, content=b" " * (16 * 1024 + 1), headers=JSON)
    assert (413, "body_too_large") == told(announced)
    chunked = await http.post(path, content=chunks(10**6), headers=JSON)
    assert (413, "body_too_large") == told(chunked)
    lying = await http.post(path, content=chunks(10**6), headers={**JSON, "Content-Length": "9" * 30})
    assert (413, "body_too_large") == told(lying)


async def test_sending_a_body_where_none_is_read(shared_service: Service) -> None:
    """GET and DELETE have none: what comes with them is neither read nor refused."""
    for method in ("GET", "DELETE"):
        answer = await shared_service.http.request(method, "/v1/satkers/x", content=b"x" * 20000)
        assert (404, "satker_not_found") == told(answer)


async def test_sending_as_much_as_fits(shared_service: Service) -> None:
    """16 KiB exactly are read, in chunks too."""
    body = b'{"catalog_id": "x"' + b" " * (16 * 1024 - 19) + b"}"
    assert 16 * 1024 == len(body)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    for content in (body, pieces()):
        answer = await shared_service.http.post("/v1/satkers", content=content, headers=JSON)
        assert (404, "catalog_satker_not_found") == told(answer)


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("Application/JSON", True),
        ("application/merge-patch+json", True),
        ("text/json", False),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=x", False),
        ("application/jsonp", False),
        ("application/xml", False),
        ("", False),
        (None, False),
    ],
)
async def test_sending_another_media_type(shared_service: Service, kind: str | None, taken: bool) -> None:
    """A body that is not called JSON is 415."""
    headers = {} if kind is None else {"Content-Type": kind}
    answer = await shared_service.http.post("/v1/satkers", content=b'{"catalog_id": "x"}', headers=headers)
    expected = (404, "catalog_satker_not_found") if taken else (415, "unsupported_media_type")
    assert expected == told(answer)


# Paths and methods


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/v1", "/v1/", "/v2/satkers", "/v1/satkers/", "/v1/satkers/x/", "/v1//satkers", "/V1/satkers"),
        *("/v1/satkers/x/y", "/docs/", "/healthz/", "/static-offline-docs/../app/main.py", "/.env"),
    ],
)
async def test_asking_for_a_path_that_is_not_there(shared_service: Service, path: str) -> None:
    """It is 404 and a problem; a trailing slash is another path, and nothing is redirected."""
    assert (404, "not_found") == told(await shared_service.http.get(path))


ALLOWED = {
    "/v1/satkers": "GET, POST",
    "/v1/satkers/x": "DELETE, GET, PATCH",
    "/v1/satkers/x/mapping": "DELETE, GET",
    "/v1/satkers/x/mapping/login": "POST",
    "/v1/satkers/x/entry": "POST",
    "/v1/mbiz-account": "GET",
    "/v1/klpd": "GET",
    "/healthz": "GET",
    "/docs": "GET",
    "/openapi.json": "GET, HEAD",
    "/static-offline-docs/swagger-ui.css": "GET, HEAD",
}


@pytest.mark.parametrize("path", ALLOWED)
async def test_asking_by_another_method(shared_service: Service, path: str) -> None:
    """It is 405, and `Allow` names every method of the path."""
    for method in ("PUT", "OPTIONS", "TRACE", "ULANG"):
        answer = await shared_service.http.request(method, path)
        assert (405, "method_not_allowed") == told(answer)
        assert ALLOWED[path] == answer.headers["Allow"]


# What a problem says


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
async def test_sending_a_canary_everywhere(shared_service: Service, method: str) -> None:
    """In the path, the query, every header and the body: no answer has it, in its head or its body."""
    headers = {
        "Accept-Language": CANARY,
        "Cookie": CANARY,
        "If-Match": f'"{CANARY}"',
        "Referer": f"https://{CANARY}.example",
        "Origin": f"https://{CANARY}.example",
        "X-Request-Id": f"{CANARY} {CANARY}",
        "X-Forwarded-For": CANARY,
    }
    for path in (f"/v1/satkers/{CANARY}", f"/v1/{CANARY}", f"/v1/klpd/{CANARY}/satkers", "/v1/satkers"):
        for params in ({}, {"page": CANARY}, {"q": CANARY + "\0"}, {"cursor": CANARY}):
            for more in ({}, {"Authorization": f"Bearer {CANARY}"}, {"Content-Type": f"text/{CANARY}"}):
                answer = await shared_service.http.request(
                    method,
                    path,
                    params=params,
                    headers={**JSON, **headers, **more},
                    content=f'{{"catalog_id": "{CANARY}"',
                )
                assert CANARY not in answer.text
                assert CANARY not in str(answer.headers)


def kinds(kind: type[Problem] = Problem) -> Iterator[type[Problem]]:
    for one in kind.__subclasses__():
        yield one
        yield from kinds(one)


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.code)
def test_reading_a_problem_in_both_languages(kind: type[Problem]) -> None:
    """Each has a sentence of its own in both; all else is the same."""
    indonesian, english = kind().body("id", "r"), kind().body("en", "r")
    assert indonesian.pop("title") != english.pop("title")
    expected = {
        "type": f"urn:satu-pp:problem:{kind.code}",
        "status": kind.status,
        "code": kind.code,
        "request_id": "r",
    }
    assert (expected, expected) == (indonesian, english)


def test_the_codes_of_problems() -> None:
    """No two problems share one."""
    codes = [kind.code for kind in kinds()]
    assert sorted(set(codes)) == sorted(codes)


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "id"),
        ("en", "en"),
        ("EN", "en"),
        ("en-GB", "en"),
        ("id", "id"),
        ("id-ID,id;q=0.9,en-US;q=0.8,en;q=0.7", "id"),
        ("en-US,en;q=0.9,id;q=0.8", "en"),
        ("id;q=0.5, en;q=0.8", "en"),
        ("en;q=0.5,id;q=0.5", "id"),
        ("fr, en;q=0.1", "en"),
        ("fr, de", "id"),
        ("*", "id"),
        ("en, *;q=0.5", "en"),
        ("id;q=0, *", "en"),
        ("*;q=0.1, id;q=0", "en"),
        ("en;q=0, *", "id"),
        ("en;q=0", "id"),
        ("en;q=0.001", "en"),
        ("en;q=2", "id"),
        ("en;q=x", "id"),
        ("en; q = 1", "en"),
        ("english", "id"),
        (",;,;q=1,", "id"),
        ("en" + ",x" * 5000, "en"),
    ],
)
def test_the_language_that_is_preferred(accepted: str, language: str) -> None:
    """English where Accept-Language puts it before Indonesian, else Indonesian."""
    assert language == preferred_language(accepted)


async def test_asking_in_english(shared_service: Service) -> None:
    """Title, field messages and Content-Language are English; the codes are not touched."""
    answers = [
        await shared_service.http.post("/v1/satkers", json={}, headers={"Accept-Language": language})
        for language in ("id", "en")
    ]
    told_in = [(answer.headers["Content-Language"], answer.json()["title"]) for answer in answers]
    assert [("id", "Periksa kembali isian Anda."), ("en", "Some fields need another look.")] == told_in
    messages = [answer.json()["errors"][0]["message"] for answer in answers]
    assert ["Wajib diisi.", "This is required."] == messages
    assert fields(answers[0]) == fields(answers[1])


# When the service itself is in trouble


async def test_asking_while_the_database_has_no_tables(tmp_path: Path) -> None:
    """It is 503 with Retry-After, not 500; reading and writing alike."""
    async with running(f"sqlite+aiosqlite:///{tmp_path}/empty.db", tmp_path) as service:
        for answer in (
            await service.http.get("/v1/satkers"),
            await service.http.post("/v1/satkers", json={"catalog_id": "x"}),
            await service.http.post("/v1/satkers/x/entry"),
        ):
            assert (503, "database_unavailable") == told(answer)
            assert answer.headers["Retry-After"]


@pytest.fixture(scope="module")
def mortal_postgres() -> Iterator[Postgres]:
    """One that a test may stop."""
    with Postgres() as server:
        server.create_database("satker")
        migrate_database(server.url("satker"))
        yield server


async def test_asking_while_the_database_is_away(mortal_postgres: Postgres, tmp_path: Path) -> None:
    """It is 503 until the server is back; then everything works again without a restart of ours."""
    async with running(mortal_postgres.url("satker"), tmp_path) as service:
        assert 200 == (await service.http.get("/v1/satkers")).status_code
        mortal_postgres.stop("immediate")
        try:
            for _ in range(3):
                assert (503, "database_unavailable") == told(await service.http.get("/v1/satkers"))
            posted = await service.http.post("/v1/satkers", json={"catalog_id": "x"})
            assert (503, "database_unavailable") == told(posted)
            assert (503, {"status": "database_unavailable"}) == (
                (ready := await service.http.get("/readyz")).status_code,
                ready.json(),
            )
            assert 200 == (await service.http.get("/healthz")).status_code
        finally:
            mortal_postgres.start()
        assert 200 == (await service.http.get("/v1/satkers")).status_code


async def test_asking_when_something_unforeseen_happens(
    sqlite_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is a 500 that a browser may read, with the request's id and nothing of the reason."""
    origin = "https://bela.example"
    app = create_app(settings_for(sqlite_url, cors_origins=[origin]))

    async def kaboom() -> None:
        raise RuntimeError(f"{CANARY} at /usr/lib/secret")

    app.add_api_route("/v1/kaboom", kaboom)
    headers = {**bearer(), "Origin": origin, "X-Request-Id": "req-1", "Accept-Language": "en"}
    wire = Described(httpx.ASGITransport(app))
    async with httpx.AsyncClient(transport=wire, base_url="http://api", headers=headers) as http:
        answer = await http.get("/v1/kaboom")
    assert {
        "type": "urn:satu-pp:problem:internal_error",
        "title": "Something went wrong on our side.",
        "status": 500,
        "code": "internal_error",
        "request_id": "req-1",
    } == answer.json()
    assert origin == answer.headers["Access-Control-Allow-Origin"]
    assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"]
    logged = "".join(capfd.readouterr())
    assert ("RuntimeError" in logged, CANARY in logged) == (True, False)
    await app.state.context.database.dispose()
    await app.state.context.mbiz.aclose()
