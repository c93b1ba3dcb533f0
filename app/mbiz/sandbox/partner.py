"""The partner API itself: each call's work, between its scripted faults."""

import base64
import hmac
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import get_args
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from app.mbiz.sandbox import accounts, faults, fields, registrations, sessions, weather
from app.mbiz.sandbox.answers import PartnerError, invalid, read_json
from app.mbiz.sandbox.database import Database
from app.mbiz.sandbox.landing import forgotten, gone_page, welcome_page

Work = Callable[[Request], Awaitable[Response]]


class Tokens:
    """Access tokens, in memory: a restart ends them all, as a partner has to expect."""

    def __init__(self, client_id: str, client_secrets: tuple[str, ...], seconds: int) -> None:
        self._credentials = [f"{client_id}:{secret}".encode() for secret in client_secrets]
        self._expiry: dict[str, float] = {}
        self.seconds = seconds

    def knows_client(self, authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True)
        except ValueError:
            return False
        return scheme.lower() == "basic" and any(hmac.compare_digest(given, one) for one in self._credentials)

    def issue(self) -> str:
        now = time.monotonic()
        self._expiry = {token: expiry for token, expiry in self._expiry.items() if expiry > now}
        token = secrets.token_urlsafe(32)
        self._expiry[token] = now + self.seconds
        return token

    def accepts(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and self._expiry.get(token, 0) > time.monotonic()

    def expire(self) -> None:
        self._expiry.clear()


class Partner:
    def __init__(
        self, database: Database, tokens: Tokens, public_url: str, slow: float, lock: float, session: float
    ) -> None:
        self.database = database
        self.tokens = tokens
        self.faults = faults.FaultQueue()
        self.requests: Counter[str] = Counter(dict.fromkeys(get_args(faults.Call), 0))
        self._public_url = public_url.rstrip("/")
        self._slow_seconds = slow
        self._lock_seconds = lock
        self._session_seconds = session
        self._hidden_until: dict[str, float] = {}

    def routes(self) -> list[Route]:
        arrive = Route("/masuk/{ticket}", self.arrive, methods=["GET"])
        arrive.methods = {"GET"}  # a HEAD, which Starlette would add, must not use the ticket up
        return [
            Route("/oauth/token", self._call("token", self.token), methods=["POST"]),
            Route("/v1/accounts/search", self._call("search", self.search), methods=["POST"]),
            Route("/v1/login", self._call("login", self.login), methods=["POST"]),
            Route("/v1/registrations", self._call("register", self.register), methods=["POST"]),
            Route("/v1/registrations/{reference}", self._call("find_registration", self.find_registration)),
            Route("/v1/sessions", self._call("session", self.session), methods=["POST"]),
            Route("/v1/companies/{company_id}", self._call("company", self.company)),
            Route("/lupa-kata-sandi", forgotten),
            arrive,
        ]

    def _call(self, call: faults.Call, work: Work) -> Work:
        async def endpoint(request: Request) -> Response:
            self.requests[call] += 1
            if call != "token" and not self.tokens.accepts(request.headers.get("authorization", "")):
                return faults.invalid_token().as_response()
            try:
                await request.body()  # kept by the request, so that delayed work outlives its caller
            except ClientDisconnect:
                return Response(status_code=400)  # nobody will read it
            fault = self.faults.take(call)
            if fault and (instead := await faults.before(fault, request.url.path)):
                return instead
            try:
                answer = await work(request)
            except PartnerError as refusal:
                answer = refusal.as_response()
            return await faults.after(fault, answer) if fault else answer

        return endpoint

    async def token(self, request: Request) -> Response:
        if not self.tokens.knows_client(request.headers.get("authorization", "")):
            return JSONResponse({"error": "invalid_client"}, 401, {"WWW-Authenticate": "Basic"})
        form = parse_qs((await request.body()).decode(errors="replace"))
        if form.get("grant_type") != ["client_credentials"]:
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        answer = {
            "access_token": self.tokens.issue(),
            "token_type": "Bearer",
            "expires_in": self.tokens.seconds,
        }
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    async def search(self, request: Request) -> Response:
        body = await read_json(request)
        fields.require(body, fields.SEARCH)
        await weather.brave(body["email"], self._slow_seconds)
        with self.database.transaction() as db:
            found = accounts.search(db, body["email"])
        return weather.spoiled_read(body["email"]) or JSONResponse({"accounts": found})

    async def login(self, request: Request) -> Response:
        body = await read_json(request)
        fields.require(body, fields.LOGIN)
        await weather.brave(body["email"], self._slow_seconds)
        with self.database.transaction() as db:
            account = accounts.log_in(db, body["email"], body["password"], self._lock_seconds)
        if spoiled := weather.spoiled_read(body["email"]):
            return spoiled
        if account is None:
            raise PartnerError(401, "invalid_credentials", "The e-mail or the password is wrong.")
        return JSONResponse({"account": account})

    async def register(self, request: Request) -> Response:
        body = await read_json(request)
        reference = request.headers.get("idempotency-key")
        if not reference:
            raise invalid({"Idempotency-Key": "required"})
        if body.get("reference") != reference:
            raise invalid({"reference": "invalid" if "reference" in body else "required"})
        await weather.brave(str(body.get("email")), self._slow_seconds)
        with self.database.transaction() as db:
            # Found or made in one transaction: of many at once, one makes the account, the others find it.
            if known := registrations.find_delivered(db, reference):
                return JSONResponse(known, 201)
            fields.require(body, fields.REGISTRATION)
            made = registrations.register(db, body)
        if lag := self.faults.take_lag("register"):
            self._hidden_until[reference] = time.monotonic() + lag
        return weather.spoiled_registration(body["email"]) or JSONResponse(made, 201)

    async def find_registration(self, request: Request) -> Response:
        reference = request.path_params["reference"]
        hidden = self._hidden_until.get(reference, 0) > time.monotonic()
        youngest = self.faults.take_lag("find_registration") or 0
        with self.database.transaction() as db:
            found = registrations.get_registration(db, reference, float("inf") if hidden else youngest)
        return JSONResponse(found)

    async def session(self, request: Request) -> Response:
        body = await read_json(request)
        fields.require(body, fields.SESSION)
        if not isinstance(body.get("payload"), dict):
            raise invalid({"payload": "invalid" if "payload" in body else "required"})
        with self.database.transaction() as db:
            ticket, expires_at = sessions.open_session(db, body, self._session_seconds)
        answer = {
            "redirect_url": f"{self._public_url}/masuk/{ticket}",
            "expires_at": registrations.timestamp(expires_at),
        }
        return JSONResponse(answer, 201)

    async def company(self, request: Request) -> Response:
        with self.database.transaction() as db:
            return JSONResponse(accounts.get_company(db, request.path_params["company_id"]))

    async def arrive(self, request: Request) -> HTMLResponse:
        with self.database.transaction() as db:
            arrival = sessions.use_ticket(db, request.path_params["ticket"])
        return welcome_page(arrival) if arrival else gone_page()
