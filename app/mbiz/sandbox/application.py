"""The ASGI app that holds it all together."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.mbiz.sandbox import accounts
from app.mbiz.sandbox.answers import PartnerError
from app.mbiz.sandbox.control import Control
from app.mbiz.sandbox.database import Database
from app.mbiz.sandbox.partner import Partner, Tokens
from app.mbiz.sandbox.wire import WIRE

SANDBOX_WARNING = (
    "THIS IS A SANDBOX: it imitates mbizmarket with made-up accounts, its /sandbox/ paths need no password, "
    "and it is meant for this machine alone. Never enter a real password."
)


class Sandbox:
    """An ASGI app. Dropping it closes its file; `close` does so at once."""

    def __init__(self, app: Starlette, database: Database) -> None:
        self._app = app
        self._database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_labelled(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Sandbox"] = "mbizmarket-sandbox"
            await send(message)

        await self._app({**scope, WIRE: send}, receive, send_labelled)

    def close(self) -> None:
        self._database.close()


def create_sandbox(
    database: Path | str,
    *,
    client_id: str,
    client_secret: str,
    public_url: str = "http://127.0.0.1:9000",
    token_seconds: int = 3600,
    slow_seconds: float = 30,
    lock_seconds: float = 900,
    session_seconds: float = 60,
) -> Sandbox:
    """`database` is the file of its truth; a new one is filled with SAMPLE_ACCOUNTS.

    `client_secret` may hold several secrets, comma separated. `public_url` is where browsers reach the
    sandbox, for redirect_url. The rest are seconds: how long a token lives, how long slow@ waits, how long
    ten failed log-ins lock an e-mail, how long a redirect_url can be used.
    """
    client_secrets = tuple(secret.strip() for secret in client_secret.split(",") if secret.strip())
    truth = Database(database, accounts.seed)
    tokens = Tokens(client_id, client_secrets, token_seconds)
    partner = Partner(
        truth, tokens, public_url, slow=slow_seconds, lock=lock_seconds, session=session_seconds
    )
    app = Starlette(
        routes=[*partner.routes(), *Control(partner).routes()],
        exception_handlers={HTTPException: _http_refusal, PartnerError: _partner_refusal},
    )
    app.router.redirect_slashes = False
    return Sandbox(app, truth)


async def _http_refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette hands over what it was registered for
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    return PartnerError(error.status_code, code, error.detail, headers=error.headers).as_response()


async def _partner_refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, PartnerError)  # noqa: S101 - likewise
    return error.as_response()
