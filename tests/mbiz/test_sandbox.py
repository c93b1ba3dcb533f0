"""The sandbox serves the partner API as documented: `Market` holds every answer against the document."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from app.mbiz.sandbox import SAMPLE_ACCOUNTS
from jsonschema import ValidationError
from openapi_spec_validator import validate

from tests.mbiz.partner_document import load_document, validate_answer, validate_request
from tests.mbiz.sandbox_market import CLIENT, FORM, Market, make_sandbox, open_market

pytestmark = pytest.mark.anyio


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[Market]:
    async with open_market(make_sandbox(tmp_path)) as market:
        yield market


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_document() -> None:
    """The document is valid OpenAPI."""
    validate(load_document())


def examples() -> list[tuple[str, str, str | None, Any]]:
    """(method, path, status or None for a request, example) of everything in the document."""
    found = []
    for path, item in load_document()["paths"].items():
        for method, operation in item.items():
            parts = {None: operation["requestBody"]} if "requestBody" in operation else {}
            for status, part in {**parts, **operation["responses"]}.items():
                if reference := part.get("$ref"):
                    part = load_document()["components"]["responses"][reference.rpartition("/")[2]]
                (content,) = part["content"].values()
                named = content.get("examples", {"": {"value": content.get("example")}})
                found += [(method, path, status, example["value"]) for example in named.values()]
    return found


@pytest.mark.parametrize(("method", "path", "status", "example"), examples())
def test_document_examples(method: str, path: str, status: str | None, example: Any) -> None:
    """Every request and every answer has an example, and it fits its own schema to the last field."""
    if status is None:
        validate_request(method, path, example)
    else:
        validate_answer(method, path, int(status.replace("XX", "02")), example, exact=True)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (201, {}),
        (200, {"account": {}}),
        (401, {"code": "email_taken", "message": ""}),
        (423, {"error": "locked"}),
    ],
)
def test_validate_answer_foreign(status: int, body: Any) -> None:
    """The helper refuses answers that the document does not have: a check that cannot fail is none."""
    with pytest.raises((AssertionError, ValidationError)):
        validate_answer("POST", "/v1/login", status, body)


def test_validate_request_with_another_field() -> None:
    """A request may carry nothing that the document does not name."""
    validate_request("POST", "/v1/login", {"email": "a@b.example", "password": "x"})
    with pytest.raises(ValidationError):
        validate_request("POST", "/v1/login", {"email": "a@b.example", "password": "x", "otp": "1"})


# Tokens


@pytest.mark.parametrize("secret", ["secret-old", "secret-new"])
async def test_token_with_either_secret(market: Market, secret: str) -> None:
    """While secrets rotate, both are good."""
    answer = await market.http.post(
        "/oauth/token", auth=(CLIENT[0], secret), data={"grant_type": "client_credentials"}
    )
    assert 200 == answer.status_code


@pytest.mark.parametrize("credentials", ["bela:wrong", "other:secret-new", "bela:secret-old, secret-new", ""])
async def test_token_with_wrong_secret(market: Market, credentials: str) -> None:
    """A wrong client is told so, in OAuth's own shape."""
    header = f"Basic {base64.b64encode(credentials.encode()).decode()}" if credentials else "Basic ?"
    answer = await market.http.post("/oauth/token", headers={"Authorization": header})
    assert (401, {"error": "invalid_client"}) == (answer.status_code, answer.json())


async def test_token_with_another_grant(market: Market) -> None:
    """Only client credentials are traded."""
    answer = await market.http.post("/oauth/token", auth=CLIENT, data={"grant_type": "password"})
    assert (400, {"error": "unsupported_grant_type"}) == (answer.status_code, answer.json())


@pytest.mark.parametrize("call", ["search", "log_in", "register", "find", "company", "open_session"])
async def test_call_without_good_token(market: Market, call: str) -> None:
    """A missing, an unknown and an expired token are all invalid_token, whatever is called."""
    await market.control("POST", "/tokens/expire")
    arguments = {"search": ("budi@mbiz.example",), "log_in": ("budi@mbiz.example",)}.get(call, ())
    for header in (market.http.headers["Authorization"], "Bearer unknown", ""):
        market.http.headers["Authorization"] = header
        assert (401, "invalid_token") == refusal(await getattr(market, call)(*arguments))
    assert [] == (await market.truth())["registrations"]


async def test_call_after_expires_in(tmp_path: Path) -> None:
    """A token is good for expires_in seconds and no longer."""
    async with open_market(make_sandbox(tmp_path, token_seconds=1)) as market:
        assert 200 == (await market.company()).status_code
        await asyncio.sleep(1.05)
        assert (401, "invalid_token") == refusal(await market.company())


# Accounts


@pytest.mark.parametrize("sample", SAMPLE_ACCOUNTS, ids=lambda sample: sample.email)
async def test_samples(tmp_path: Path, sample: Any) -> None:
    """Every sample account is there as documented; its password is proven unless the weather forbids it."""
    async with open_market(make_sandbox(tmp_path, slow_seconds=0)) as market:
        accounts = {account["account_id"]: account for account in (await market.truth())["accounts"]}
        found = accounts[sample.account_id]
        assert sample.email == found["email"]
        assert sample.email_verified == found["email_verified"]
        expected = [(company.company_id, company.status, company.city) for company in sample.companies]
        actual = [
            (company["company_id"], company["status"], company["address"]["city"])
            for company in found["companies"]
        ]
        assert expected == actual
        if not sample.email.startswith(("down", "garbled")):
            assert found == (await market.log_in(sample.email, sample.password)).json()["account"]


@pytest.mark.parametrize("email", ["sari@mbiz.example", "  SARI@Mbiz.Example "])
async def test_search(market: Market, email: str) -> None:
    """An account is found by its e-mail, whatever the case and the blanks around it."""
    (account,) = (await market.search(email)).json()["accounts"]
    assert ("A-1003", 3) == (account["account_id"], len(account["companies"]))


async def test_search_unknown(market: Market) -> None:
    """No account is an empty list."""
    assert [] == (await market.search("nobody@mbiz.example")).json()["accounts"]


async def test_log_in_wrong(market: Market) -> None:
    """A wrong password and an unknown e-mail answer alike."""
    wrong, unknown = (
        await market.log_in("budi@mbiz.example", "wrong"),
        await market.log_in("x@y.example", "wrong"),
    )
    assert (401, "invalid_credentials") == refusal(wrong)
    assert (wrong.status_code, wrong.content) == (unknown.status_code, unknown.content)


async def test_log_in_after_ten_failures(market: Market) -> None:
    """Ten failures in a row lock the e-mail, however it is written, for the right password as well."""
    for _ in range(10):
        assert (401, "invalid_credentials") == refusal(await market.log_in("budi@mbiz.example", "wrong"))
    locked = await market.log_in("Budi@mbiz.example")
    assert (423, "account_locked", "900") == (*refusal(locked), locked.headers["Retry-After"])
    assert 200 == (await market.log_in("sari@mbiz.example")).status_code


async def test_log_in_between_failures(market: Market) -> None:
    """Only failures in a row count."""
    for _ in range(2):
        for _ in range(9):
            await market.log_in("budi@mbiz.example", "wrong")
        assert 200 == (await market.log_in("budi@mbiz.example")).status_code


async def test_log_in_when_the_lock_is_over(tmp_path: Path) -> None:
    """A lock ends by itself, and the count begins anew."""
    async with open_market(make_sandbox(tmp_path, lock_seconds=0.3)) as market:
        for _ in range(10):
            await market.log_in("budi@mbiz.example", "wrong")
        assert 423 == (await market.log_in("budi@mbiz.example")).status_code
        await asyncio.sleep(0.31)
        assert 401 == (await market.log_in("budi@mbiz.example", "wrong")).status_code
        assert 200 == (await market.log_in("budi@mbiz.example")).status_code


async def test_get_company(market: Market) -> None:
    """A company is shown by its id, an inactive one too; an unknown id is company_not_found."""
    assert "active" == (await market.company("C-2001")).json()["status"]
    assert "inactive" == (await market.company("C-2005")).json()["status"]
    assert (404, "company_not_found") == refusal(await market.company("C-0"))


# Registrations


async def test_register(market: Market) -> None:
    """The account and its company exist, can be looked up by reference, and the very password logs in."""
    made = await market.register()
    registration = made.json()

    assert (201, "ref-1") == (made.status_code, registration["reference"])
    assert registration["account"]["companies"] == [registration["company"]]
    assert {**FORM["company"], "status": "active"} == {
        key: value for key, value in registration["company"].items() if key != "company_id"
    }
    assert registration == (await market.find()).json()
    logged_in = await market.log_in(FORM["email"], FORM["password"])
    assert registration["account"] == logged_in.json()["account"]


async def test_register_again(market: Market) -> None:
    """The same reference answers the same Registration; another e-mail under it changes nothing."""
    first = await market.register()
    again = await market.register()
    other = await market.register(email="other@satker.example", password="short", phone=None)

    assert (201, 201, 201) == (first.status_code, again.status_code, other.status_code)
    assert first.json() == again.json() == other.json()
    assert [] == (await market.search("other@satker.example")).json()["accounts"]
    (registration,) = (await market.truth())["registrations"]
    assert 3 == registration["deliveries"]


@pytest.mark.parametrize("email", ["budi@mbiz.example", " BUDI@mbiz.example"])
async def test_register_taken_email(market: Market, email: str) -> None:
    """An e-mail names at most one account; the refused registration made nothing."""
    before = (await market.truth())["accounts"]
    assert (409, "email_taken") == refusal(await market.register(email=email))
    assert (404, "registration_not_found") == refusal(await market.find())
    assert before == (await market.truth())["accounts"]


def company(**address: str) -> dict[str, Any]:
    return {"company": FORM["company"] | {"address": FORM["company"]["address"] | address}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"password": "7 chars"}, {"password": "too_weak"}),
        ({"password": "x" * 257}, {"password": "too_long"}),
        ({"password": "\ud800 half a character"}, {"password": "invalid"}),
        ({"email": "no-at-sign"}, {"email": "invalid"}),
        ({"email": 7}, {"email": "invalid"}),
        ({"phone": "1234567"}, {"phone": "too_short"}),
        ({"phone": "0812 3456 78x"}, {"phone": "invalid"}),
        ({"phone": "1" * 21}, {"phone": "too_long"}),
        ({"contact_name": "  "}, {"contact_name": "required"}),
        (company(postal_code="99911"), {"company.address.postal_code": "not_served"}),
        (company(postal_code="1011"), {"company.address.postal_code": "invalid"}),
        (company(city="x" * 201), {"company.address.city": "too_long"}),
        ({"company": {"name": "X"}}, dict.fromkeys(
            (f"company.address.{field}" for field in ("street", "city", "postal_code")), "required"
        )),
        ({"email": None, "password": "kurang"}, {"email": "required", "password": "too_weak"}),
    ],
)  # fmt: skip
async def test_register_invalid(market: Market, changes: dict[str, Any], expected: dict[str, str]) -> None:
    """Every field at fault is named with its code, and nothing is made."""
    refused = await market.register(**changes)
    assert (422, "invalid") == refusal(refused)
    assert expected == {error["field"]: error["code"] for error in refused.json()["errors"]}
    assert [] == (await market.truth())["registrations"]


@pytest.mark.parametrize(
    ("headers", "field"), [({}, "Idempotency-Key"), ({"Idempotency-Key": "ref-2"}, "reference")]
)
async def test_register_without_its_key(market: Market, headers: dict[str, str], field: str) -> None:
    """The key and the reference are the same, or nothing is done."""
    body = FORM | {"reference": "ref-1"}
    refused = await market.http.post("/v1/registrations", json=body, headers=headers)
    assert (422, field) == (refused.status_code, refused.json()["errors"][0]["field"])


@pytest.mark.parametrize("content", [b"", b"[]", b'{"email": "\xff"}', b"{", b"[" * 100_000])
async def test_call_with_malformed_body(market: Market, content: bytes) -> None:
    """What is not a JSON object is malformed."""
    assert (400, "malformed_body") == refusal(await market.http.post("/v1/login", content=content))


async def test_register_sixteen_at_once(market: Market) -> None:
    """Of sixteen with one reference one makes the account, and all answer the same."""
    answers = await asyncio.gather(*(market.register() for _ in range(16)))
    assert {201} == {answer.status_code for answer in answers}
    assert 1 == len({answer.content for answer in answers})
    (registration,) = (await market.truth())["registrations"]
    assert 16 == registration["deliveries"]


async def test_register_one_email_sixteen_times_at_once(market: Market) -> None:
    """Of sixteen with one e-mail one makes the account, and fifteen are email_taken."""
    answers = await asyncio.gather(*(market.register(f"ref-{number}") for number in range(16)))
    assert [201] + [409] * 15 == sorted(answer.status_code for answer in answers)


# Sessions


async def test_open_session(market: Market) -> None:
    """The link shows who arrives, once; nothing of what was sent becomes markup."""
    payload = {"realName": "<b>Budi</b>", "namaSatker": "Satker Contoh", "category": "makanan-ringan"}
    opened = await market.open_session(**payload)
    link = opened.json()["redirect_url"]

    assert 201 == opened.status_code
    assert 405 == (await market.http.head(link)).status_code
    page = await market.http.get(link)
    assert (200, "text/html; charset=utf-8") == (page.status_code, page.headers["Content-Type"])
    for shown in ("&lt;b&gt;Budi", "Satker Contoh", "makanan-ringan", "Sekretariat Jenderal Contoh"):
        assert shown in page.text
    again = await market.http.get(link)
    assert (410, True) == (again.status_code, "hanya dapat dipakai satu kali" in again.text)


async def test_open_session_with_half_a_character(market: Market) -> None:
    """JSON can escape what no page can show; the page comes all the same."""
    body = {"account_id": "A-1001", "company_id": "C-2001", "payload": {"realName": "Budi \ud800"}}
    opened = await market.http.post("/v1/sessions", content=json.dumps(body))
    page = await market.http.get(opened.json()["redirect_url"])
    assert (200, True) == (page.status_code, "Budi ?" in page.text)


async def test_open_session_too_late(tmp_path: Path) -> None:
    """A link that nobody used in time is gone."""
    async with open_market(make_sandbox(tmp_path, session_seconds=0)) as market:
        link = (await market.open_session()).json()["redirect_url"]
        assert 410 == (await market.http.get(link)).status_code


@pytest.mark.parametrize(
    ("account_id", "company_id", "expected"),
    [
        ("A-0", "C-2001", (404, "account_not_found")),
        ("A-1001", "C-0", (404, "company_not_found")),
        ("A-1001", "C-2002", (403, "account_not_in_company")),
        ("A-1004", "C-2005", (409, "company_inactive")),
        ("", "C-2001", (422, "invalid")),
    ],
)
async def test_open_session_refused(
    market: Market, account_id: str, company_id: str, expected: tuple[int, str]
) -> None:
    """Each reason has its own answer."""
    assert expected == refusal(await market.open_session(account_id, company_id))


async def test_open_session_without_payload(market: Market) -> None:
    """The hand-off fields may be few, but are not left out."""
    refused = await market.http.post("/v1/sessions", json={"account_id": "A-1001", "company_id": "C-2001"})
    assert (422, "invalid") == refusal(refused)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nowhere", (404, "not_found")),
        ("POST", "/oauth/token/", (404, "not_found")),
        ("DELETE", "/sandbox/truth", (405, "method_not_allowed")),
    ],
)
async def test_call_something_else(market: Market, method: str, path: str, expected: tuple[int, str]) -> None:
    """Unknown paths and methods are refused in the partner's shape."""
    market.expects_faults = True
    assert expected == refusal(await market.http.request(method, path))
