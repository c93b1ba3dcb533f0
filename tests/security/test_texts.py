"""Whatever stands in a text: every field, query and header, on both databases. Nothing breaks, nothing is echoed."""

import json
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.mapping.people import person, said
from tests.service import Service, registration
from tests.test_auth import claims, seal
from tests.test_errors import BODIES, OPERATIONS, WITH_BODY, leaves, operator, with_value

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}
ANY = st.text(st.characters(exclude_categories=()), max_size=400)  # lone surrogates are among them
NASTY = [
    "\ud800",
    "a\udfffb",
    "\0",
    "a\0b",
    "\u202e\u2067kiri",
    "لـكـة\u200f",
    "💩" * 60,
    "👨‍👩‍👧‍👦🇮🇩",
    "e\u0301\u0328",
    "\ufeffx",
    "\uffff\ufdd0",
    "x\r\nSet-Cookie: a=b",
    "x\r\n\r\nHTTP/1.1 200 OK",
    "' OR '1'='1",
    "'; DROP TABLE pp_satker; --",
    '" UNION SELECT * FROM attempt --',
    "%",
    "_" * 5,
    "\\",
    "$1 :name %(x)s {x} ${x} ?",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "=cmd|'/c calc'!A1",
    "nan",
    " ",
    "\u3000",
    "x" * 201,
    "x" * 1_000_000,
]
QUICK = settings(
    max_examples=100,
    database=None,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PLACES = [(method, path, name, place) for method, path, name in WITH_BODY for place in leaves(BODIES[name])]
QUERIES = [
    (method, path, parameter["name"])
    for method, path, operation in OPERATIONS
    for parameter in operation.get("parameters", ())
    if parameter["in"] == "query"
]


def whole(answer: httpx.Response) -> str:
    return answer.text + json.dumps(dict(answer.headers))


def echoes(answer: httpx.Response, value: str) -> bool:
    """Only what could stand in an answer by chance is let pass."""
    return len(value) > 6 and (value in whole(answer) or json.dumps(value)[1:-1] in whole(answer))


@pytest.mark.parametrize(
    ("method", "path", "name", "place"),
    [
        pytest.param(*each, id=f"{each[1]} {'.'.join(each[3])}")
        for each in PLACES
        if each[3] != ["is_primary"]
    ],
)
async def test_typing_what_is_known_to_hurt_into_a_field(
    shared_service: Service, method: str, path: str, name: str, place: list[str]
) -> None:
    """It is taken or refused as the document says, never a 500, and no refusal repeats it."""
    for value in NASTY:
        await type_into(shared_service, method, path, with_value(BODIES[name], place, value), value)


async def type_into(service: Service, method: str, path: str, body: object, value: str) -> None:
    headers = {**JSON, **operator()}
    answer = await service.http.request(method, path, content=json.dumps(body), headers=headers)
    assert answer.status_code in (404, 413, 422), value
    assert not echoes(answer, value), value


@QUICK
@given(value=ANY, which=st.sampled_from([each for each in PLACES if each[3] != ["is_primary"]]))
async def test_typing_anything_into_a_field(
    shared_service: Service, value: str, which: tuple[str, str, str, list[str]]
) -> None:
    """The same of any text there is."""
    method, path, name, place = which
    await type_into(shared_service, method, path, with_value(BODIES[name], place, value), value)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # the one that takes no NUL
async def test_asking_with_what_is_known_to_hurt(service: Service) -> None:
    """In every query parameter and every part of a path: found or not, refused or not, no 500."""
    await person(service)
    for value in NASTY:
        plain = value[:2000].encode("utf-8", "replace").decode()
        for method, path, parameter in QUERIES:
            answer = await service.http.request(method, path, params={parameter: plain}, headers=operator())
            assert answer.status_code < 500, (path, parameter, value)
            assert answer.is_success or not echoes(answer, plain), (path, parameter, value)
        for method, path in {(method, path) for method, path, _ in OPERATIONS if "tidak-ada" in path}:
            url = path.replace("tidak-ada", quote(plain, safe=""))
            answer = await service.http.request(method, url, headers=operator())
            assert answer.status_code in (200, 404, 405, 422), (path, value)
            assert not echoes(answer, plain), (path, value)


@QUICK
@given(value=ANY, which=st.sampled_from(QUERIES))
async def test_asking_with_anything(service: Service, value: str, which: tuple[str, str, str]) -> None:
    """The same of any text there is."""
    method, path, parameter = which
    plain = value.encode("utf-8", "replace").decode()
    answer = await service.http.request(method, path, params={parameter: plain}, headers=operator())
    assert answer.status_code < 500


@pytest.mark.parametrize(
    "q", ["' OR '1'='1", "%", "_", "\\", "%' --", "a' UNION SELECT 1 --", "*", "^", "[a-z]"]
)
async def test_searching_with_signs_that_mean_something_to_a_database(service: Service, q: str) -> None:
    """They mean themselves: nothing has them in its name, so nothing is found, in the catalog and in one's list."""
    await person(service)
    for path in ("/v1/klpd", "/v1/klpd/K1/satkers", "/v1/satkers"):
        assert [] == (await service.http.get(path, params={"q": q})).json()["items"], path


NAMES = [
    "💩 Dinas",
    "Dinas 'Contoh'; --",
    'Dinas "A"\\',
    "لـكـة",
    "<b>Dinas</b>",
    "e\u0301\u0328",
    "ﬁ Ⅷ ｆ",
    "%s {x} $1",
]


async def test_registering_under_an_unusual_name(service: Service) -> None:
    """What is taken reaches mbizmarket and comes back to the letter."""
    for number, name in enumerate(NAMES):
        who = await person(service, number, number)
        form = registration()
        company = {"name": name, "address": {"street": name, "city": name, "postal_code": "40111"}}
        answer = await who.register(f"{number}@lain.example", contact_name=name, company=company)
        assert (201, "mapped") == said(answer), form
        assert name == answer.json()["company"]["name"]
    made = [each for each in (await service.truth())["accounts"] if each["email"].endswith("@lain.example")]
    assert NAMES == [account["name"] for account in made]
    assert NAMES == [account["companies"][0]["name"] for account in made]
    assert NAMES == [account["companies"][0]["address"]["city"] for account in made]


HEADERS = ["X-Request-Id", "Accept-Language", "If-Match", "If-None-Match", "Idempotency-Key", "traceparent"]


@pytest.mark.parametrize(
    "header", [*HEADERS, "X-Forwarded-For", "Origin", "Content-Type", "Cookie", "Accept"]
)
async def test_sending_anything_in_a_header(shared_service: Service, header: str) -> None:
    """No 500, and nothing of it in an answer; a line break in it ends no line of ours."""
    for value in NASTY:
        raw = value[:4000].encode("utf-8", "surrogatepass")
        for method, path in (
            ("GET", "/v1/satkers/x/mapping"),
            ("PATCH", "/v1/satkers/x"),
            ("GET", "/v1/mbiz-account"),
        ):
            content = b'{"is_primary": true}' if method == "PATCH" else b""
            headers = {b"Content-Type": b"application/json", header.encode(): raw}
            answer = await shared_service.http.request(method, path, content=content, headers=headers)
            assert answer.status_code < 500, (header, value)
            assert len(raw) < 7 or raw.decode("latin-1") not in whole(answer)
            assert "set-cookie" not in answer.headers


CLAIMS = ["email", "name", "preferred_username", "phone", "role", "lpse_id", "scope"]


@pytest.mark.parametrize("claim", CLAIMS)
async def test_a_token_with_anything_in_it(shared_service: Service, claim: str) -> None:
    """A claim is used or left out; only a role has to be one that is known."""
    for value in NASTY[:-1]:
        headers = {"Authorization": f"Bearer {seal(claims(**{claim: value}))}"}
        answer = await shared_service.http.get("/v1/satkers", headers=headers)
        assert (403 if claim == "role" else 200) == answer.status_code, value


async def test_a_pp_whose_id_is_anything(service: Service) -> None:
    """It makes the token bad, or is one like any other: such a PP has a list and a history of their own."""
    for value in NASTY[:-1]:
        headers = {"Authorization": f"Bearer {seal(claims(sub=value))}"}
        answer = await service.http.get("/v1/satkers", headers=headers)
        if answer.status_code == 200:
            await service.add(service.catalog[0], headers=headers)
            assert 1 == (await service.http.get("/v1/satkers", headers=headers)).json()["total"]
            assert 1 == len((await service.http.get("/v1/history", headers=headers)).json()["items"])
        else:
            assert 401 == answer.status_code, value
