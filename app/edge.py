"""What every request passes before a route sees it: pure ASGI middleware, since BaseHTTPMiddleware costs 60 %.

Edge gives the request its id, language, headers and log line and turns an unforeseen error into a 500; Gate checks the
token and the body, so that refusals come in one order whatever the route: 401, 403, 413, 415, then the route's own.
"""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from traceback import extract_tb
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.address import Network, client_address
from app.auth import Pejabat, TokenReader
from app.budgets import CallBudget
from app.logs import request_id
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

MAX_BODY = 16 * 1024
WITH_BODY = ("POST", "PUT", "PATCH")  # what comes with other methods is not looked at
OPEN = re.compile(r"/(healthz|readyz|docs|openapi\.json|static-offline-docs/.*)")
ASKS_MBIZMARKET = re.compile(r"/(entry|mbiz-account|mapping/(confirm|login|register))$")
ADMIN, ADMIN_SCOPE = "/v1/admin/", "mappings:admin"
PLAIN = re.compile(r"[A-Za-z0-9._:-]{1,64}")

# The docs page starts itself by a script within it; everything it loads is our own.
DOCS_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

log = structlog.get_logger()


class Edge:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        state = scope.setdefault("state", {})
        state["request_id"] = given if PLAIN.fullmatch(given) else uuid4().hex
        state["language"] = preferred_language(headers.get("accept-language", ""))
        state["started"] = time.monotonic()
        token = request_id.set(state["request_id"])
        try:
            await self._serve(scope, receive, send)
        finally:
            request_id.reset(token)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(MutableHeaders(scope=message), scope)
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
            route = scope.get("route")
            log.info(
                "request",
                request_id=state["request_id"],
                method=scope["method"],
                route=getattr(route, "path", None),
                status=status,
                ms=round((time.monotonic() - state["started"]) * 1000, 1),
                pp_id=state["pejabat"].pp_id if "pejabat" in state else None,
            )


def _trace(error: BaseException) -> list[str]:
    """Where it happened, innermost last. Not the message: it may quote what the caller sent."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)[-8:]]


def _add_headers(headers: MutableHeaders, scope: Scope) -> None:
    headers["X-Request-Id"] = scope["state"]["request_id"]
    headers["Content-Language"] = scope["state"]["language"]
    headers["X-Content-Type-Options"] = "nosniff"
    headers.add_vary_header("Accept-Language")
    if scope["path"].startswith("/v1"):
        headers["Cache-Control"] = "no-store"
    if "allowance" in scope["state"]:
        headers.update(scope["state"]["allowance"].headers())
    if scope["path"] == "/docs":
        headers["Content-Security-Policy"] = DOCS_POLICY


class Gate:
    def __init__(
        self,
        app: ASGIApp,
        tokens: TokenReader,
        roles: frozenset[str],
        calls: CallBudget,
        proxies: Sequence[Network],
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
        headers = Headers(scope=scope)
        try:
            await self._admit(scope, headers)
            if scope["method"] in WITH_BODY:
                receive = _replayed(await _body(headers, receive), receive)
        except Problem as problem:
            await respond(problem, HTTPConnection(scope))(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _admit(self, scope: Scope, headers: Headers) -> None:
        """Raises Unauthenticated, RateLimited, RoleNotAllowed, NotFound (admin paths, for others)."""
        state = scope["state"]
        pejabat = state["pejabat"] = await self._pejabat(headers)
        asks = ASKS_MBIZMARKET.search(scope["path"]) is not None
        state["allowance"] = await self.calls.spend(pejabat.pp_id, asks_mbizmarket=asks)
        if scope["path"].startswith(ADMIN):
            if ADMIN_SCOPE not in pejabat.scopes:
                raise NotFound
        elif pejabat.role not in self.roles:
            raise RoleNotAllowed
        peer = scope["client"][0] if scope.get("client") else "unknown"
        state["address"] = client_address(peer, ",".join(headers.getlist("x-forwarded-for")), self.proxies)

    async def _pejabat(self, headers: Headers) -> Pejabat:
        scheme, _, token = headers.get("authorization", "").partition(" ")
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
