"""Each answer of mbizmarket's partner API: what the adapter makes of it, and how often it asked."""

import gzip
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import respx
from app.mbiz.client import Mbizmarket, same_email
from app.mbiz.contract import Account
from app.mbiz.errors import (
    AccountLocked,
    AccountNotInCompany,
    BadAnswer,
    CompanyInactive,
    FieldFault,
    InvalidCredentials,
    MbizError,
    NoSuchAccount,
    NoSuchCompany,
    NotSent,
    OutcomeUnknown,
    Refused,
    TimedOut,
    Unavailable,
)
from app.mbiz.exchange import MAX_ANSWER_BYTES

from tests.mbiz.market import (
    A_COMPANY,
    ACCOUNT,
    AN_ACCOUNT,
    ASKS,
    COMPANY,
    EMAIL,
    FORM,
    GOOD,
    OTHER_COMPANY,
    PASSWORD,
    REFERENCE,
    REGISTRATION,
    SESSION,
    Market,
    call,
    error,
    granted,
    page,
    registration,
)
from tests.mbiz.partner_document import validate_answer

pytestmark = pytest.mark.anyio

WEAK = {"field": "password", "code": "too_weak", "message": "Kata sandi terlalu mudah"}


@pytest.fixture
async def market() -> AsyncIterator[Market]:
    market = Market()
    yield market
    await market.mbiz.aclose()


def sent(route: respx.Route) -> Any:
    """The JSON of the one request that the route saw."""
    assert 1 == route.call_count
    return json.loads(route.calls.last.request.content)


# Looking an account up


@pytest.mark.parametrize("address", [EMAIL, "  Budi@MBIZ.example "])
async def test_find_account(market: Market, address: str) -> None:
    """The account is found whatever the case of its address, and asked for once, as it was typed."""
    market.search.respond(json={"accounts": [ACCOUNT]})

    assert AN_ACCOUNT == await market.mbiz.find_account(call(), address)
    assert {"email": address} == sent(market.search)


async def test_find_account_unknown(market: Market) -> None:
    """Nobody has the address."""
    market.search.respond(json={"accounts": []})

    assert await market.mbiz.find_account(call(), EMAIL) is None
    assert 1 == market.search.call_count


@pytest.mark.parametrize(
    ("fields", "verified"), [({}, True), ({"email_verified": True}, True), ({"email_verified": False}, False)]
)
async def test_find_account_unverified(market: Market, fields: dict[str, bool], verified: bool) -> None:
    """Whether mbizmarket has verified the address is passed on; saying nothing means that it has."""
    bare = {name: value for name, value in ACCOUNT.items() if name != "email_verified"}
    market.search.respond(json={"accounts": [{**bare, **fields}]})

    found = await market.mbiz.find_account(call(), EMAIL)

    assert found is not None
    assert verified is found.email_verified


@pytest.mark.parametrize(
    "accounts",
    [
        pytest.param([ACCOUNT, {**ACCOUNT, "account_id": "A-2"}], id="two"),
        pytest.param([{**ACCOUNT, "email": "ani@mbiz.example"}], id="somebody else's"),
        pytest.param([{**ACCOUNT, "account_id": ""}], id="empty id"),
        pytest.param([{**ACCOUNT, "account_id": "A\n1"}], id="id of two lines"),
        pytest.param([{**ACCOUNT, "account_id": 1}], id="id as a number"),
        pytest.param([{**ACCOUNT, "name": "Bu\x00di"}], id="name that no database takes"),
        pytest.param([{**ACCOUNT, "companies": [COMPANY, COMPANY]}], id="a company twice"),
        pytest.param([{**ACCOUNT, "companies": None}], id="no companies"),
        pytest.param(None, id="no list"),
    ],
)
async def test_find_account_nonsense(market: Market, accounts: object) -> None:
    """What cannot be the one account of this address is not believed."""
    market.search.respond(json={"accounts": accounts})

    with pytest.raises(BadAnswer):
        await market.mbiz.find_account(call(), EMAIL)
    assert 1 == market.search.call_count


async def test_find_account_new_fields(market: Market) -> None:
    """Fields added without notice are ignored, and a company status we do not know is not active."""
    company = {**COMPANY, "status": "frozen", "tier": "gold"}
    market.search.respond(json={"accounts": [{**ACCOUNT, "companies": [company], "x": 1}], "total": 1})

    found = await market.mbiz.find_account(call(), EMAIL)

    assert found is not None
    assert [False] == [company.active for company in found.companies]


# Logging in


@pytest.mark.parametrize("password", [PASSWORD, "\ud800", "x" * 256])
async def test_log_in(market: Market, password: str) -> None:
    """The password arrives unchanged: quotes, backslash, NUL, emoji, decomposed letters, blanks."""
    market.login.respond(json={"account": ACCOUNT})

    assert AN_ACCOUNT == await market.mbiz.log_in(call(), EMAIL, password)
    assert {"email": EMAIL, "password": password} == sent(market.login)


async def test_log_in_wrong_password(market: Market) -> None:
    """Said at once; the password is never tried a second time."""
    market.login.mock(return_value=error(401, "invalid_credentials"))

    with pytest.raises(InvalidCredentials):
        await market.mbiz.log_in(call(), EMAIL, PASSWORD)
    assert (1, 1) == (market.login.call_count, market.token.call_count)


@pytest.mark.parametrize(
    "answer", [page(401), error(401, "nonsense"), httpx.Response(401), httpx.Response(401, json=[])]
)
async def test_log_in_odd_refusal(market: Market, answer: httpx.Response) -> None:
    """A 401 without mbizmarket's own code, a gateway's say, does not accuse the person."""
    market.login.mock(return_value=answer)

    with pytest.raises(BadAnswer):
        await market.mbiz.log_in(call(), EMAIL, PASSWORD)
    assert 1 == market.login.call_count


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120), ("0", 1), ("9" * 5000, 86400), (None, 900), ("soon", 900), ("-5", 900), ("²", 900)],
)
async def test_log_in_locked(market: Market, header: str | None, seconds: int) -> None:
    """A locked account says for how long, and a quarter of an hour when mbizmarket does not make sense."""
    headers = {} if header is None else {"Retry-After": header.encode()}
    market.login.mock(return_value=error(423, "account_locked", headers=headers))

    with pytest.raises(AccountLocked) as locked:
        await market.mbiz.log_in(call(), EMAIL, PASSWORD)
    assert (seconds, 1) == (locked.value.retry_after, market.login.call_count)


async def test_log_in_somebody_else(market: Market) -> None:
    """An account of another address proves nothing about this person."""
    market.login.respond(json={"account": {**ACCOUNT, "email": "ani@mbiz.example"}})

    with pytest.raises(BadAnswer):
        await market.mbiz.log_in(call(), EMAIL, PASSWORD)
    assert 1 == market.login.call_count


# Registering


@pytest.mark.parametrize("status", [200, 201])
async def test_register(market: Market, status: int) -> None:
    """What was typed is sent once under our reference, and a registration of it comes back."""
    market.register.respond(status, json=REGISTRATION)

    assert registration() == await market.mbiz.register(call(), REFERENCE, FORM)
    assert {"reference": REFERENCE, **FORM.model_dump()} == sent(market.register)
    assert PASSWORD == sent(market.register)["password"]
    assert REFERENCE == market.register.calls.last.request.headers["Idempotency-Key"]


async def test_register_address_in_other_case(market: Market) -> None:
    """mbizmarket may write the address in its own way; it is still the one we sent."""
    account = {**ACCOUNT, "email": EMAIL.upper()}
    market.register.respond(201, json={**REGISTRATION, "account": account})

    made = await market.mbiz.register(call(), REFERENCE, FORM)

    assert (EMAIL.upper(), 1) == (made.account.email, market.register.call_count)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"reference": "another"}, id="another reference"),
        pytest.param({"reference": None}, id="no reference"),
        pytest.param({"account": {**ACCOUNT, "email": "ani@mbiz.example"}}, id="another address"),
        pytest.param({"company": OTHER_COMPANY}, id="company not in the account"),
        pytest.param({"account": {**ACCOUNT, "companies": [COMPANY, OTHER_COMPANY]}}, id="two companies"),
        pytest.param({"account": {**ACCOUNT, "companies": []}}, id="no company"),
        pytest.param({"account": {**ACCOUNT, "account_id": None}}, id="no account id"),
        pytest.param({"company": {**COMPANY, "company_id": ""}}, id="no company id"),
        pytest.param({"created_at": "yesterday"}, id="no time"),
    ],
)
async def test_register_answered_with_another(market: Market, fields: dict[str, Any]) -> None:
    """A registration that is not plainly the one asked for settles nothing."""
    market.register.respond(201, json={**REGISTRATION, **fields})

    with pytest.raises(OutcomeUnknown):
        await market.mbiz.register(call(), REFERENCE, FORM)
    assert 1 == market.register.call_count


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (error(409, "email_taken"), "email_taken"),
        (error(409, "something_else"), "unexpected"),
        (error(422, "email_taken"), "unexpected"),
        (error(422, "strange"), "unexpected"),
        (error(400, "invalid"), "unexpected"),
        (error(404, "not_found"), "unexpected"),
        (error(451, "law"), "unexpected"),
        (page(403), "unexpected"),
        (page(409), "unexpected"),
        (httpx.Response(413), "unexpected"),
        (httpx.Response(422, json={"code": ["invalid"]}), "unexpected"),
        (error(422, "invalid"), "invalid"),
        (error(422, "invalid", errors=None), "invalid"),
        (error(422, "invalid", errors=[]), "invalid"),
    ],
)
async def test_register_refused(market: Market, answer: httpx.Response, reason: str) -> None:
    """Any other 4xx made nothing, whoever wrote it."""
    market.register.mock(return_value=answer)

    with pytest.raises(Refused) as refused:
        await market.mbiz.register(call(), REFERENCE, FORM)
    assert (reason, (), 1) == (refused.value.reason, refused.value.faults, market.register.call_count)


async def test_register_refused_fields(market: Market) -> None:
    """Only fields that we sent are named, with codes that we know and none of mbizmarket's text."""
    faults = [
        {"field": "company.address.postal_code", "code": "not_served", "message": "rahasia"},
        WEAK,
        {"field": "phone", "code": "brand_new"},
        {"field": "email", "code": {"a": 1}},
        {"field": "email"},
        {"field": "internal.risk_score", "code": "invalid"},
        {"field": ["email"], "code": "invalid"},
        {"code": "invalid"},
        "email",
    ]
    market.register.mock(return_value=error(422, "invalid", errors=faults))

    with pytest.raises(Refused) as refused:
        await market.mbiz.register(call(), REFERENCE, FORM)
    expected = (
        FieldFault("company.address.postal_code", "not_served"),
        FieldFault("password", "too_weak"),
        FieldFault("phone", "invalid"),
        FieldFault("email", "invalid"),
        FieldFault("email", "invalid"),
    )
    assert (expected, 1) == (refused.value.faults, market.register.call_count)


async def test_register_refused_endlessly(market: Market) -> None:
    """A flood of faults is cut at twenty."""
    flood = [{"field": "email", "code": "invalid"}] * 500
    market.register.mock(return_value=error(422, "invalid", errors=flood))

    with pytest.raises(Refused) as refused:
        await market.mbiz.register(call(), REFERENCE, FORM)
    assert 20 == len(refused.value.faults)


@pytest.mark.parametrize(
    "status", [202, 204, 301, 302, 303, 307, 308, 401, 408, 429, 500, 502, 503, 504, 599]
)
async def test_register_status_that_decides_nothing(market: Market, status: int) -> None:
    """The account may exist by now: never called failed, never sent again."""
    market.register.respond(status, json=REGISTRATION, headers={"Location": "https://evil.example/"})

    with pytest.raises(OutcomeUnknown):
        await market.mbiz.register(call(), REFERENCE, FORM)
    assert (1, 1) == (market.register.call_count, market.token.call_count)


ODD_BODIES = [
    pytest.param(page(), id="a page"),
    pytest.param(httpx.Response(200), id="nothing"),
    pytest.param(httpx.Response(200, json=[]), id="a list"),
    pytest.param(httpx.Response(200, json={"ok": True}), id="another shape"),
    pytest.param(httpx.Response(200, content=b"{}"), id="no content type"),
    pytest.param(
        httpx.Response(200, content=b'{"a', headers={"Content-Type": "application/json"}), id="half"
    ),
    pytest.param(
        httpx.Response(200, content=b'{"a":"\xff"}', headers={"Content-Type": "application/json"}),
        id="not UTF-8",
    ),
    pytest.param(
        httpx.Response(200, content=b"[" * 100_000, headers={"Content-Type": "application/json"}), id="deep"
    ),
    pytest.param(httpx.Response(200, json={"a": "b" * MAX_ANSWER_BYTES}), id="too large"),
]


@pytest.mark.parametrize("answer", ODD_BODIES)
async def test_register_answered_with_nonsense(market: Market, answer: httpx.Response) -> None:
    """A gateway's page with status 200 is not a registration, and no refusal either."""
    market.register.mock(return_value=answer)

    with pytest.raises(OutcomeUnknown):
        await market.mbiz.register(call(), REFERENCE, FORM)
    assert 1 == market.register.call_count


async def test_register_answered_as_text(market: Market) -> None:
    """Even the right words are not taken from an answer that does not call itself JSON."""
    market.register.respond(201, text=json.dumps(REGISTRATION))

    with pytest.raises(OutcomeUnknown):
        await market.mbiz.register(call(), REFERENCE, FORM)
    assert 1 == market.register.call_count


NEVER_CONNECTED = [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout]
CUT = [
    httpx.ReadError,
    httpx.WriteError,
    httpx.CloseError,
    httpx.RemoteProtocolError,
    httpx.LocalProtocolError,
    ConnectionResetError,
]
TOO_SLOW = [httpx.ReadTimeout, httpx.WriteTimeout, TimeoutError]


@pytest.mark.parametrize("failure", NEVER_CONNECTED)
async def test_register_without_a_connection(market: Market, failure: type[Exception]) -> None:
    """Without a connection nothing was sent."""
    market.register.mock(side_effect=failure("no"))

    with pytest.raises(NotSent):
        await market.mbiz.register(call(), REFERENCE, FORM)
    assert 1 == market.register.call_count


@pytest.mark.parametrize("failure", CUT + TOO_SLOW)
async def test_register_cut(market: Market, failure: type[Exception]) -> None:
    """Once connected, whatever goes wrong may have gone wrong after mbizmarket made the account."""
    market.register.mock(side_effect=failure("no"))

    with pytest.raises(OutcomeUnknown):
        await market.mbiz.register(call(), REFERENCE, FORM)
    assert 1 == market.register.call_count


async def test_register_too_late(market: Market) -> None:
    """With the deadline behind us nothing is sent, even with a token at hand and a transport that never waits."""
    market.register.respond(201, json=REGISTRATION)
    market.company.respond(json=COMPANY)
    await market.mbiz.get_company(call(), "C-1")

    with pytest.raises(NotSent):
        await market.mbiz.register(call(0), REFERENCE, FORM)
    with pytest.raises(TimedOut):
        await market.mbiz.get_company(call(0), "C-1")
    assert (0, 1) == (market.register.call_count, market.company.call_count)


# Asking what became of a registration


async def test_find_registration(market: Market) -> None:
    """Found by our reference; the account may have more companies by now."""
    account = {**ACCOUNT, "companies": [OTHER_COMPANY, COMPANY]}
    market.registration.respond(json={**REGISTRATION, "account": account})

    found = await market.mbiz.find_registration(call(), REFERENCE)

    assert registration(account=account) == found
    assert 1 == market.registration.call_count


async def test_find_registration_unknown(market: Market) -> None:
    """mbizmarket does not know it, or not yet."""
    market.registration.mock(return_value=error(404, "registration_not_found"))

    assert await market.mbiz.find_registration(call(), REFERENCE) is None
    assert 1 == market.registration.call_count


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(page(404), id="a page not found"),
        pytest.param(error(404, "not_found"), id="a path not found"),
        pytest.param(error(410, "registration_not_found"), id="another status"),
        pytest.param(httpx.Response(200, json={**REGISTRATION, "reference": "x"}), id="another's"),
        pytest.param(
            httpx.Response(200, json={**REGISTRATION, "company": OTHER_COMPANY}), id="company outside"
        ),
    ],
)
async def test_find_registration_nonsense(market: Market, answer: httpx.Response) -> None:
    """Only mbizmarket's own word counts as "never arrived"."""
    market.registration.mock(return_value=answer)

    with pytest.raises(BadAnswer):
        await market.mbiz.find_registration(call(), REFERENCE)
    assert 1 == market.registration.call_count


# Opening a session


async def test_open_session(market: Market) -> None:
    """The portal's hand-off fields travel as they are."""
    market.session.respond(201, json=SESSION)
    payload = {"realName": "Budi 🙂", "idSatker": "012345"}

    session = await market.mbiz.open_session(call(), "A-1", "C-1", payload)

    assert SESSION["redirect_url"] == session.redirect_url
    assert {"account_id": "A-1", "company_id": "C-1", "payload": payload} == sent(market.session)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (error(403, "account_not_in_company"), AccountNotInCompany),
        (error(404, "account_not_found"), NoSuchAccount),
        (error(404, "company_not_found"), NoSuchCompany),
        (error(409, "company_inactive"), CompanyInactive),
        (error(404, "not_found"), BadAnswer),
        (error(403, "forbidden"), BadAnswer),
        (error(409, "conflict"), BadAnswer),
        (page(404), BadAnswer),
    ],
)
async def test_open_session_refused(market: Market, answer: httpx.Response, problem: type[MbizError]) -> None:
    """Each refusal has its own name; a stranger's 404 does not say that a company is gone."""
    market.session.mock(return_value=answer)

    with pytest.raises(MbizError) as refused:
        await market.mbiz.open_session(call(), "A-1", "C-1", {})
    assert (problem, 1) == (type(refused.value), market.session.call_count)


@pytest.mark.parametrize(
    "url",
    [
        "http://mbiz.example/s/1",
        "javascript:alert(1)",
        "//mbiz.example/s/1",
        "/s/1",
        "https:///s/1",
        "https://",
        "https://mbiz.example/s/1\r\nSet-Cookie: a=b",
        "https://mbiz.example/s 1",
        "https://mbiz.example/\u2028",
        "https://mbiz.example/\x1b[2J",
        "https://mbiz.example/\u202egpj.exe",
        "https://[mbiz.example/",
        "",
    ],
)
async def test_open_session_to_nowhere(market: Market, url: str) -> None:
    """The person is sent to an absolute https URL without tricks, or not at all."""
    market.session.respond(201, json={**SESSION, "redirect_url": url})

    with pytest.raises(BadAnswer):
        await market.mbiz.open_session(call(), "A-1", "C-1", {})
    assert 1 == market.session.call_count


# Looking a company up


async def test_get_company(market: Market) -> None:
    """The company as mbizmarket has it now."""
    market.company.respond(json=COMPANY)

    assert A_COMPANY == await market.mbiz.get_company(call(), "C-1")
    assert 1 == market.company.call_count


async def test_get_company_gone(market: Market) -> None:
    """mbizmarket says itself that the company is gone."""
    market.company.mock(return_value=error(404, "company_not_found"))

    assert await market.mbiz.get_company(call(), "C-1") is None
    assert 1 == market.company.call_count


@pytest.mark.parametrize(
    "answer", [page(404), error(404, "not_found"), httpx.Response(200, json=OTHER_COMPANY)]
)
async def test_get_company_nonsense(market: Market, answer: httpx.Response) -> None:
    """A path that is not there, or another company, does not end a mapping."""
    market.company.mock(return_value=answer)

    with pytest.raises(BadAnswer):
        await market.mbiz.get_company(call(), "C-1")
    assert 1 == market.company.call_count


@pytest.mark.parametrize(
    ("company_id", "segment"),
    [
        ("a/b?c#d%2e", b"a%2Fb%3Fc%23d%252e"),
        ("..", b"%2E%2E"),
        (".", b"%2E"),
        ("é b", b"%C3%A9%20b"),
    ],
)
async def test_get_company_with_a_tricky_id(market: Market, company_id: str, segment: bytes) -> None:
    """An id stays one segment of its path, whatever it holds."""
    route = market.routes.get(url__startswith="https://mbiz.example/").respond(
        json={**COMPANY, "company_id": company_id}
    )

    assert await market.mbiz.get_company(call(), company_id) is not None
    assert [b"/partner/v1/companies/" + segment] == [made.request.url.raw_path for made in route.calls]


# All calls


@pytest.mark.parametrize("ask", ASKS)
async def test_ask_with_our_trail(market: Market, ask: str) -> None:
    """Every call carries our token, the id of the request being served, and its trace."""
    route = getattr(market, ask).mock(return_value=GOOD[ask])

    await ASKS[ask](market.mbiz, call())

    headers = route.calls.last.request.headers
    assert ("Bearer token-1", "req-1") == (headers["Authorization"], headers["X-Request-Id"])
    assert call().traceparent == headers["traceparent"]
    assert (1, 1) == (route.call_count, market.token.call_count)


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        pytest.param(httpx.Response(408), TimedOut, id="408"),
        pytest.param(httpx.Response(429), Unavailable, id="429"),
        pytest.param(httpx.Response(500), Unavailable, id="500"),
        pytest.param(page(502), Unavailable, id="502"),
        pytest.param(error(503, "busy"), Unavailable, id="503"),
        pytest.param(httpx.Response(202), BadAnswer, id="202"),
        pytest.param(httpx.Response(204), BadAnswer, id="204"),
        pytest.param(httpx.Response(302, headers={"Location": "https://x:y/"}), BadAnswer, id="302"),
        pytest.param(error(400, "bad"), BadAnswer, id="400"),
        pytest.param(error(401, "else"), BadAnswer, id="401"),
        pytest.param(httpx.Response(418), BadAnswer, id="418"),
    ],
)
async def test_ask_refused(
    market: Market, ask: str, answer: httpx.Response, problem: type[MbizError]
) -> None:
    """What lies outside a call's own answers means the same for all reads and log-ins, and is sent once."""
    route = getattr(market, ask).mock(return_value=answer)

    with pytest.raises(MbizError) as refused:
        await ASKS[ask](market.mbiz, call())
    assert (problem, 1) == (type(refused.value), route.call_count)


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("answer", ODD_BODIES)
async def test_ask_answered_with_nonsense(market: Market, ask: str, answer: httpx.Response) -> None:
    """Pages, halves and floods are never taken for an answer."""
    route = getattr(market, ask).mock(return_value=answer)

    with pytest.raises(BadAnswer):
        await ASKS[ask](market.mbiz, call())
    assert 1 == route.call_count


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize(
    ("failure", "problem"),
    [(kind, NotSent) for kind in NEVER_CONNECTED]
    + [(kind, Unavailable) for kind in CUT]
    + [(kind, TimedOut) for kind in TOO_SLOW],
)
async def test_ask_cut(market: Market, ask: str, failure: type[Exception], problem: type[MbizError]) -> None:
    """No connection, a cut and a timeout are told apart, and nothing is tried again."""
    route = getattr(market, ask).mock(side_effect=failure("no"))

    with pytest.raises(MbizError) as failed:
        await ASKS[ask](market.mbiz, call())
    assert (problem, 1) == (type(failed.value), route.call_count)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("30", 30), ("0", 1), ("31536000", 86400), ("Fri, 02 Jan 2026 03:04:05 GMT", None)],
)
async def test_ask_while_busy(market: Market, header: str, seconds: int | None) -> None:
    """mbizmarket's Retry-After is passed on within reason; a date is not seconds."""
    market.company.respond(503, headers={"Retry-After": header})

    with pytest.raises(Unavailable) as busy:
        await market.mbiz.get_company(call(), "C-1")
    assert (seconds, 1) == (busy.value.retry_after, market.company.call_count)


async def test_ask_and_be_given_a_compressed_answer(market: Market) -> None:
    """We ask for no compression, and unpack none: a small answer could unfold to gigabytes."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "GZIP"}
    market.company.respond(content=gzip.compress(json.dumps(COMPANY).encode()), headers=headers)

    with pytest.raises(BadAnswer):
        await market.mbiz.get_company(call(), "C-1")
    assert "identity" == market.company.calls.last.request.headers["Accept-Encoding"]


async def test_ask_and_be_sent_elsewhere(market: Market) -> None:
    """A redirect is not followed: it would carry the password to another host."""
    elsewhere = market.routes.route(host="evil.example").respond(json={"account": ACCOUNT})
    market.login.respond(307, headers={"Location": "https://evil.example/v1/login"})

    with pytest.raises(BadAnswer):
        await market.mbiz.log_in(call(), EMAIL, PASSWORD)
    assert (1, 0) == (market.login.call_count, elsewhere.call_count)


async def test_ask_and_be_given_a_cookie(market: Market) -> None:
    """Cookies are not kept: they would carry one person's session into the next one's call."""
    market.login.respond(json={"account": ACCOUNT}, headers={"Set-Cookie": "session=budi; Path=/"})

    await market.mbiz.log_in(call(), EMAIL, PASSWORD)
    await market.mbiz.log_in(call(), EMAIL, PASSWORD)

    assert [None, None] == [made.request.headers.get("Cookie") for made in market.login.calls]


async def test_ask_and_read_the_log(market: Market, caplog: pytest.LogCaptureFixture) -> None:
    """httpx would print whole URLs at INFO."""
    caplog.set_level(logging.INFO)
    market.company.respond(json=COMPANY)

    await market.mbiz.get_company(call(), "C-1")

    assert [] == [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    "answer", [page(), error(400, EMAIL), httpx.Response(200, json={"account": {**ACCOUNT, "name": 1}})]
)
async def test_ask_and_print_the_error(market: Market, answer: httpx.Response) -> None:
    """No error tells what was sent or answered, nor shows the one beneath it that might."""
    market.login.mock(return_value=answer)
    market.register.mock(return_value=answer)

    for failing in (
        market.mbiz.log_in(call(), EMAIL, "kata-sandi"),
        market.mbiz.register(call(), REFERENCE, FORM),
    ):
        with pytest.raises(MbizError) as failed:
            await failing
        assert not any(secret in repr(failed.value) for secret in (EMAIL, "kata-sandi", "Gateway"))
        assert failed.value.__cause__ is None
        assert failed.value.__context__ is None or failed.value.__suppress_context__


async def test_ask_over_plain_http() -> None:
    """A sandbox on plain http may send people to plain http, and to nothing stranger."""
    routes = respx.Router(base_url="http://127.0.0.1:9", assert_all_called=False)
    routes.post("/oauth/token").respond(json={"access_token": "t", "token_type": "bearer"})
    session = routes.post("/v1/sessions").respond(
        201, json={**SESSION, "redirect_url": "http://127.0.0.1:9/s/1"}
    )
    mbiz = Mbizmarket(
        "http://127.0.0.1:9/", "bela", ["secret"], transport=httpx.MockTransport(routes.async_handler)
    )

    opened = await mbiz.open_session(call(), "A-1", "C-1", {})

    assert ("http://127.0.0.1:9/s/1", 1) == (opened.redirect_url, session.call_count)
    await mbiz.aclose()


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("POST", "/oauth/token", granted("a")),
        ("POST", "/oauth/token", httpx.Response(401, json={"error": "invalid_client"})),
        ("POST", "/v1/accounts/search", GOOD["search"]),
        ("POST", "/v1/accounts/search", httpx.Response(200, json={"accounts": []})),
        ("POST", "/v1/login", GOOD["login"]),
        ("POST", "/v1/login", error(401, "invalid_credentials")),
        ("POST", "/v1/login", error(401, "invalid_token")),
        ("POST", "/v1/login", error(423, "account_locked")),
        ("POST", "/v1/registrations", httpx.Response(201, json=REGISTRATION)),
        ("POST", "/v1/registrations", error(401, "invalid_token")),
        ("POST", "/v1/registrations", error(409, "email_taken")),
        ("POST", "/v1/registrations", error(422, "invalid", errors=[WEAK])),
        ("GET", f"/v1/registrations/{REFERENCE}", GOOD["registration"]),
        ("GET", f"/v1/registrations/{REFERENCE}", error(404, "registration_not_found")),
        ("POST", "/v1/sessions", GOOD["session"]),
        ("POST", "/v1/sessions", error(403, "account_not_in_company")),
        ("POST", "/v1/sessions", error(404, "account_not_found")),
        ("POST", "/v1/sessions", error(404, "company_not_found")),
        ("POST", "/v1/sessions", error(409, "company_inactive")),
        ("GET", "/v1/companies/C-1", GOOD["company"]),
        ("GET", "/v1/companies/C-1", error(404, "company_not_found")),
    ],
)
def test_samples(method: str, path: str, answer: httpx.Response) -> None:
    """The answers that these tests call mbizmarket's own are those of the published document."""
    validate_answer(method, path, answer.status_code, answer.json(), exact=True)


def test_form_is_printed() -> None:
    """A form in a log or a traceback does not show the password."""
    assert PASSWORD not in repr(FORM)
    assert "kata" not in repr(FORM)


@pytest.mark.parametrize(
    ("other", "same"),
    [(EMAIL.upper(), True), (f" {EMAIL}\n", True), ("budi@mbiz.example.id", False), ("", False)],
)
def test_same_email(other: str, same: bool) -> None:
    """Addresses compare without regard to case and to blanks around them."""
    assert same is same_email(EMAIL, other)


def test_account_company() -> None:
    """A company is looked up in its account by id."""
    account = Account.model_validate({**ACCOUNT, "companies": [COMPANY, OTHER_COMPANY]})

    assert (A_COMPANY, None) == (account.company("C-1"), account.company("C-3"))
