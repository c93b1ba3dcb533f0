"""mbizmarket's answers for the adapter's tests: routes beneath a real adapter, samples of every shape."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx
import respx
from app.mbiz.breaker import Breaker, Kind
from app.mbiz.client import Call, Mbizmarket
from app.mbiz.contract import Account, Address, Company, NewCompany, NewRegistration, Registration

from tests.mbiz.partner_document import validate_request

BASE = "https://mbiz.example/partner"
EMAIL = "budi@mbiz.example"
PASSWORD = 'a "kata" \\ \x00 🔑 sandi \u00e9e\u0301 '
REFERENCE = "0197-ref"

ADDRESS: dict[str, Any] = {"street": "Jl. Contoh 1", "city": "Bandung", "postal_code": "40115"}
COMPANY: dict[str, Any] = {
    "company_id": "C-1",
    "name": "Balai Contoh",
    "status": "active",
    "address": ADDRESS,
}
OTHER_COMPANY: dict[str, Any] = {**COMPANY, "company_id": "C-2"}
ACCOUNT: dict[str, Any] = {
    "account_id": "A-1",
    "email": EMAIL,
    "email_verified": True,
    "name": "Budi",
    "companies": [COMPANY],
}
REGISTRATION: dict[str, Any] = {
    "registration_id": "R-1",
    "reference": REFERENCE,
    "account": ACCOUNT,
    "company": COMPANY,
    "created_at": "2026-01-02T03:04:05Z",
}
SESSION: dict[str, Any] = {
    "redirect_url": "https://mbiz.example/s/1",
    "expires_at": "2026-01-02T03:05:05Z",
}
FORM = NewRegistration(
    email=EMAIL,
    password=PASSWORD,
    contact_name="Budi",
    phone="+62 21 555",
    company=NewCompany(name="Balai Contoh", address=Address(**ADDRESS)),
)

A_COMPANY = Company.model_validate(COMPANY)
AN_ACCOUNT = Account.model_validate(ACCOUNT)


def registration(**changes: Any) -> Registration:
    return Registration.model_validate_json(httpx.Response(200, json={**REGISTRATION, **changes}).content)


def call(seconds: float = 5) -> Call:
    return Call.within(seconds, "req-1", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def error(status: int, code: str, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    return httpx.Response(status, json={"code": code, "message": f"rahasia {EMAIL}", **more}, headers=headers)


def page(status: int = 200) -> httpx.Response:
    return httpx.Response(status, html=f"<h1>Gateway</h1> {EMAIL}")


class Market:
    """An adapter, `mbiz`, whose transport answers from respx routes; `token` is mbizmarket's token call.

    A respx route counts a request once it is answered. `arrived` has those too whose caller left before.
    """

    def __init__(
        self, secrets: tuple[str, ...] = ("secret",), breakers: Mapping[Kind, Breaker] | None = None
    ) -> None:
        self.routes = respx.Router(base_url=BASE, assert_all_called=False)
        self.token = self.routes.post("/oauth/token").mock(side_effect=self._grant)
        self.search = self.routes.post("/v1/accounts/search")
        self.login = self.routes.post("/v1/login")
        self.register = self.routes.post("/v1/registrations")
        self.registration = self.routes.get(f"/v1/registrations/{REFERENCE}")
        self.session = self.routes.post("/v1/sessions")
        self.company = self.routes.get("/v1/companies/C-1")
        self.arrived: list[httpx.Request] = []
        transport = httpx.MockTransport(self._answer)
        self.mbiz = Mbizmarket(BASE, "bela", secrets, transport=transport, breakers=breakers)

    def arrivals(self, path: str) -> list[httpx.Request]:
        return [request for request in self.arrived if request.url.path == f"/partner{path}"]

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        # A copy, because a repeat is the same object with another token.
        self.arrived.append(
            httpx.Request(
                request.method, request.url, headers=request.headers.copy(), content=request.content
            )
        )
        _as_published(request)
        return await self.routes.async_handler(request)

    def _grant(self, _request: httpx.Request) -> httpx.Response:
        return granted(f"token-{self.token.call_count + 1}")


def granted(token: str, **more: Any) -> httpx.Response:
    return httpx.Response(
        200, json={"access_token": token, "token_type": "Bearer", "expires_in": 3600, **more}
    )


def _as_published(request: httpx.Request) -> None:
    """What we send is what the published document says that we send."""
    if request.method == "GET":
        return
    form = request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    body = dict(parse_qsl(request.content.decode())) if form else json.loads(request.content)
    validate_request(request.method, request.url.path.removeprefix("/partner"), body)


Ask = Callable[[Mbizmarket, Call], Awaitable[object]]

# Every call but register, with the route that it takes.
ASKS: dict[str, Ask] = {
    "search": lambda mbiz, within: mbiz.find_account(within, EMAIL),
    "login": lambda mbiz, within: mbiz.log_in(within, EMAIL, PASSWORD),
    "registration": lambda mbiz, within: mbiz.find_registration(within, REFERENCE),
    "session": lambda mbiz, within: mbiz.open_session(within, "A-1", "C-1", {"idSatker": "012345"}),
    "company": lambda mbiz, within: mbiz.get_company(within, "C-1"),
}
GOOD: dict[str, httpx.Response] = {
    "search": httpx.Response(200, json={"accounts": [ACCOUNT]}),
    "login": httpx.Response(200, json={"account": ACCOUNT}),
    "registration": httpx.Response(200, json=REGISTRATION),
    "session": httpx.Response(201, json=SESSION),
    "company": httpx.Response(200, json=COMPANY),
}
