"""Our own token at mbizmarket (OAuth 2 client credentials), fetched once for everybody who needs it."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import httpx
from pydantic import Field

from app.mbiz.contract import Wire
from app.mbiz.errors import BadAnswer, ClientRefused, NotSent
from app.mbiz.exchange import Exchange
from app.mbiz.watch import Watch, unwatched
from app.mbiz.wire import Answer, Call, error_code, parse, retry_after

logger = logging.getLogger(__name__)

DEFAULT_LIFETIME = 60.0  # seconds, when mbizmarket does not say
LONGEST_LIFETIME = 24 * 3600.0
SHORTEST_USE = 1.0  # so that a lifetime of 0 does not turn every call into two
MARGIN = 30.0
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class _Grant(Wire):
    # Visible ASCII alone: the token becomes a header, and must not be able to end it.
    access_token: Annotated[str, Field(repr=False, min_length=1, max_length=8192, pattern=r"^[\x21-\x7e]+$")]
    token_type: str
    expires_in: object = None


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """One grant. Compared by identity: mbizmarket may grant the same text anew."""

    text: str = field(repr=False)
    usable_until: float  # time.monotonic()


class Tokens:
    """The current token, renewed by one caller at a time while the others wait for the outcome.

    A lock rather than a shared task: a caller that is cancelled or out of time lets the next one try with its
    own deadline, and nothing runs on with nobody waiting. A renewal that fails fails for all who wait for it.
    """

    def __init__(
        self,
        exchange: Exchange,
        client_id: str,
        client_secrets: Sequence[str],
        watch: Watch = unwatched,
    ) -> None:
        self._exchange = exchange
        self._watch = watch
        self._credentials = deque(httpx.BasicAuth(client_id, secret) for secret in client_secrets)
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self._failures = 0
        self._last_retry_after: int | None = None

    async def get(self, call: Call, refused: Token | None = None) -> Token:
        """A token other than the `refused` one. Raises NotSent; the caller's own deadline cuts it short."""
        if self._token is refused:  # otherwise somebody has renewed it already
            self._token = None
        failures = self._failures
        if token := self._current():
            return token
        async with self._lock:
            if token := self._current():
                return token
            if self._failures != failures:
                raise NotSent(self._last_retry_after)
            return await self._renew(call)

    def _current(self) -> Token | None:
        return self._token if self._token and time.monotonic() < self._token.usable_until else None

    async def _renew(self, call: Call) -> Token:
        try:
            with self._watch("token", call):  # part of the call that needs it, and not counted as another
                grant = await self._grant(call)
        except NotSent as failure:
            self._failures += 1
            self._last_retry_after = failure.retry_after
            raise
        self._token = Token(grant.access_token, time.monotonic() + usable_for(grant.expires_in))
        return self._token

    async def _grant(self, call: Call) -> _Grant:
        for _ in self._credentials.copy():
            answer = await self._ask(call)
            if not (answer.status_code == 401 and error_code(answer, "error") == "invalid_client"):
                return _read_grant(answer)
            self._credentials.rotate(-1)  # the one that works stays in front
        logger.error("mbizmarket refuses our client id with every secret we have")
        raise ClientRefused

    async def _ask(self, call: Call) -> Answer:
        request = self._exchange.request("POST", "/oauth/token", FORM, b"grant_type=client_credentials")
        signed = next(self._credentials[0].auth_flow(request))
        try:
            return await self._exchange.send(call, signed)
        except httpx.TimeoutException:
            raise  # this caller's impatience, not a failure that the others should share
        except (httpx.RequestError, OSError):
            raise NotSent from None


def refuses_token(answer: Answer) -> bool:
    """401 says two things at mbizmarket; only this code is about us and not about a person's password."""
    return answer.status_code == 401 and error_code(answer) == "invalid_token"


def _read_grant(answer: Answer) -> _Grant:
    if answer.status_code != 200:
        raise NotSent(retry_after(answer))
    try:
        grant = parse(answer, _Grant)
    except BadAnswer:
        raise NotSent from None
    if grant.token_type.lower() != "bearer":
        raise NotSent
    return grant


def usable_for(expires_in: object) -> float:
    """Seconds a token may be used, whatever mbizmarket says: less a margin to travel in, never nothing."""
    # 0.0 stands first because max() keeps its first argument against a NaN.
    lifetime = min(max(0.0, _seconds(expires_in)), LONGEST_LIFETIME)
    return max(lifetime - min(MARGIN, lifetime / 10), SHORTEST_USE)


def _seconds(value: object) -> float:
    try:
        return float(value) if isinstance(value, int | float | str) else DEFAULT_LIFETIME
    except (ValueError, OverflowError):
        return DEFAULT_LIFETIME
