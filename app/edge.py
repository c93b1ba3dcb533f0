"""What every request passes before a route sees it: pure ASGI middleware, since BaseHTTPMiddleware costs 60 %.

Edge gives the request its id, language, headers and log line and turns an unforeseen error into a 500; Gate checks the
token and the body, so that refusals come in one order whatever the route: 401, 403, 413, 415, then the route's own.
"""

import re
import time
from collections.abc import Awaitable, Callable
from secrets import token_hex
from traceback import extract_tb

import structlog
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.address import Network, client_address
from app.auth import Pejabat, TokenReader
from app.budgets import CallBudget
from app.logs import Request, request_id
from app.mbiz.wire import Spent
from app.metrics import Metrics
from app.problems import (
    BodyTooLarge,
    InternalError,
    MalformedBody,
    NotFound,
    Problem,
    RoleNotAllowed,
    Unauthenticated,
    UnsupportedMediaType,
    preferred_language,
    respond,
)
from app.tracing import Tracing
from app.waiting import wait_until

MAX_BODY = 16 * 1024
WITH_BODY = ("POST", "PUT", "PATCH")  # what comes with other methods is not looked at
OPEN = re.compile(r"/(healthz|readyz|metrics|docs|openapi\.json|static-offline-docs/.*)")
ASKS_MBIZMARKET = re.compile(r"/(entry|mbiz-account|mapping/(confirm|login|register))$")
ADMIN, ADMIN_SCOPE = "/v1/admin/", "mappings:admin"
OUR_ID = re.compile(r"[0-9a-f]{32}")
NOTHING = Spent()
# Seconds past the deadline that what mbizmarket has answered may wait to be written: the answer still is in time.
LAST_WRITE = 0.2
# W3C Trace Context: what a caller sends is passed on to mbizmarket, and nothing else that may stand in its place.
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
PLAIN = re.compile(r"[A-Za-z0-9._:-]{1,64}")
MAX_LANGUAGES = 256  # bytes of Accept-Language that are looked at, before anybody had to show a token

# The docs page: everything it loads is our own. Swagger UI styles its elements one by one.
DOCS_POLICY = (
    b"default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    b"script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

log = structlog.get_logger()


class Edge:
    def __init__(self, app: ASGIApp, budget: float, metrics: Metrics, tracing: Tracing | None = None) -> None:
        self.app = app
        self.budget = budget  # seconds until a request's deadline
        self.metrics = metrics
        self.tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = _by_name(scope)
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        state = scope.setdefault("state", {})
        state["request_id"] = given if PLAIN.fullmatch(given) else token_hex(16)
        languages = headers.get(b"accept-language", b"")[:MAX_LANGUAGES]
        state["language"] = preferred_language(languages.decode("latin-1"))
        traceparent = headers.get(b"traceparent", b"").decode("latin-1")
        state["traceparent"] = traceparent if TRACEPARENT.fullmatch(traceparent) else None
        state["started"] = time.monotonic()
        token = request_id.set(state["request_id"])
        waits = wait_until.set(state["started"] + self.budget + LAST_WRITE)
        try:
            if self.tracing is None:
                await self._serve(scope, receive, send)
            else:
                with self.tracing.request(scope, traceparent):
                    await self._serve(scope, receive, send)
        finally:
            wait_until.reset(waits)
            request_id.reset(token)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_headers(scope)]
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - the last handler there is: nothing may leak to the caller
            log.error(
                "unforeseen", request_id=state["request_id"], error=type(error).__name__, trace=_trace(error)
            )
            if not status:
                await respond(InternalError(), HTTPConnection(scope))(scope, receive, send_with_headers)
        finally:
            self._tell(scope, status)

    def _tell(self, scope: Scope, status: int) -> None:
        """The request's log line, and what is counted of it. Status 0: it was cut before there was an answer."""
        state, method = scope["state"], scope["method"]
        seconds = time.monotonic() - state["started"]
        route: str | None = getattr(scope.get("route"), "path", None)
        outcome = state.setdefault("outcome", "ok" if status else "cut")
        state["status"] = status
        spent: Spent = state.get("spent", NOTHING)
        Request(
            request_id=state["request_id"],
            method=method,
            route=route,
            status=status,
            outcome=outcome,
            ms=seconds * 1000,
            pp_id=_plain_id(state["pejabat"].pp_id) if "pejabat" in state else None,
            satker_id=_satker_id(scope),
            mbiz_calls=spent.calls,
            mbiz_ms=spent.seconds * 1000,
            trace_id=state.get("trace_id"),
        ).tell()
        self.metrics.request(method, route, status, seconds)
        if outcome != "ok":
            self.metrics.problem(outcome)


def _satker_id(scope: Scope) -> str | None:
    """The satker of the path, when it can be one of ours: anything may be typed there."""
    satker_id: str | None = scope.get("path_params", {}).get("satker_id")
    return satker_id if satker_id is not None and OUR_ID.fullmatch(satker_id) else None


def _plain_id(pp_id: str) -> str:
    """A portal may give its people their e-mail as an id; that is told to nobody who reads logs."""
    return pp_id if "@" not in pp_id else "(an e-mail)"


def _trace(error: BaseException) -> list[str]:
    """Where it happened, innermost last. Not the message: it may quote what the caller sent."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)[-8:]]


def _by_name(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers; of several with one name the first counts. Looking through a list for each costs more."""
    return dict(reversed(scope["headers"]))


def _headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """What every answer gets. Nothing within sets any of these, so they need not be looked for."""
    state, path = scope["state"], scope["path"]
    headers = [
        (b"x-request-id", state["request_id"].encode()),
        (b"content-language", state["language"].encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"vary", b"Accept-Language"),
    ]
    if path.startswith("/v1"):
        headers.append((b"cache-control", b"no-store"))
    if "allowance" in state:
        headers += [(name.encode(), value.encode()) for name, value in state["allowance"].headers().items()]
    if path == "/docs":
        headers.append((b"content-security-policy", DOCS_POLICY))
    return headers


class Gate:
    def __init__(
        self,
        app: ASGIApp,
        tokens: TokenReader,
        roles: frozenset[str],
        calls: CallBudget,
        proxies: tuple[Network, ...],
    ) -> None:
        self.app = app
        self.tokens = tokens
        self.roles = roles
        self.calls = calls
        self.proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or OPEN.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
            return
        try:
            await self._admit(scope)
            if scope["method"] in WITH_BODY:
                body = scope["state"]["body"] = await _body(Headers(scope=scope), receive)
                receive = _replayed(body, receive)
        except Problem as problem:
            await respond(problem, HTTPConnection(scope))(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        """Raises Unauthenticated, RateLimited, RoleNotAllowed, NotFound (admin paths, for others)."""
        state = scope["state"]
        pejabat = state["pejabat"] = await self._pejabat(scope)
        asks = ASKS_MBIZMARKET.search(scope["path"]) is not None
        state["allowance"] = await self.calls.spend(pejabat.pp_id, asks_mbizmarket=asks)
        if scope["path"].startswith(ADMIN):
            if ADMIN_SCOPE not in pejabat.scopes:
                raise NotFound
        elif pejabat.role not in self.roles:
            raise RoleNotAllowed
        if asks:  # its budgets are counted by address, too
            state["address"] = self._address(scope)

    def _address(self, scope: Scope) -> str:
        peer = scope["client"][0] if scope.get("client") else "unknown"
        if not self.proxies:  # then the header is not looked at
            return client_address(peer, "", self.proxies)
        return client_address(peer, ",".join(Headers(scope=scope).getlist("x-forwarded-for")), self.proxies)

    async def _pejabat(self, scope: Scope) -> Pejabat:
        """Of two tokens neither counts: whatever stands in front may have looked at the other one."""
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = given[0].decode("latin-1").partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            raise Unauthenticated
        return await self.tokens.read(token.strip())


async def _body(headers: Headers, receive: Receive) -> bytes:
    """The whole body, which must be small, JSON and UTF-8. Raises BodyTooLarge, UnsupportedMediaType, MalformedBody."""
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_BODY:
        raise BodyTooLarge
    body = bytearray()
    more = "content-length" in headers or "transfer-encoding" in headers
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise BodyTooLarge
    if body and not re.match(
        r"application/([\w.+-]+\+)?json\s*(;|$)", headers.get("content-type", ""), re.IGNORECASE
    ):
        raise UnsupportedMediaType
    if not _is_utf8(body):
        raise MalformedBody
    return bytes(body)


def _is_utf8(body: bytearray) -> bool:
    """Python's JSON reader would take UTF-16 and UTF-32 too, which always have NULs where ASCII stands."""
    try:
        return "\0" not in body.decode()
    except UnicodeDecodeError:
        return False


def _replayed(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """A `receive` that tells the body that was read, then what comes after it (the caller's going away)."""
    told = False

    async def receive_again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
