"""Connecting to PostgreSQL: to the one of the configured hosts that takes writes now."""

import re
import socket
from collections.abc import Sequence
from typing import Any

import asyncpg
from sqlalchemy.engine import URL, make_url

CONNECT_SECONDS = 3.0  # a host that has not let us in by then is passed over
SILENT_SECONDS = 5  # a machine that has not acknowledged what it was sent by then is dead

# PostgreSQL would plan some statements anew each time, which takes it longer than running them: it expects many rows
# while it does not know a page's size, or how many ids there are. Nearly all of ours go by the same indexes whatever
# the values; one that does not says so for itself.
ONE_PLAN = "SET plan_cache_mode = force_generic_plan"

_PASSED_OVER = (OSError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched)


# As PostgreSQL's own programs write several: scheme://user:password@one:5432,two:5432/database.
_SEVERAL = re.compile(r"([^:]+://(?:[^?]*@)?)([^/?@]*,[^/?@]*)([/?].*)?")


def address(url: str) -> URL:
    """Raises ArgumentError or ValueError when it is none."""
    several = _SEVERAL.fullmatch(url)
    if several is None:
        return make_url(url)
    before, hosts, after = several.groups("")
    places = [("host", host if ":" in host else f"{host}:5432") for host in hosts.split(",")]
    if any(not re.fullmatch(r"[^:]+:\d{1,5}", place) for _, place in places):
        raise ValueError("not a host")
    return make_url(before + after).update_query_pairs(places, append=True)


class Hosts:
    """Tries each in its turn, and each with a time of its own, beginning with the one that was right last.

    The driver, given them all, would let one that says nothing use up the time of the others.
    """

    def __init__(self, one_plan: bool) -> None:
        self._one_plan = one_plan
        self._right = 0

    async def connect(self, *, host: Any = None, port: Any = None, **how: Any) -> "asyncpg.Connection[Any]":
        """Raises what the last host that was tried had to say."""
        places: Sequence[tuple[Any, Any]] = (
            list(zip(host, port, strict=True)) if isinstance(host, list) else [(host, port)]
        )
        failure: Exception | None = None
        for turn in range(len(places)):
            place = (self._right + turn) % len(places)
            try:
                connection = await self._connect(host=places[place][0], port=places[place][1], **how)
            except _PASSED_OVER as error:
                failure = error
            else:
                self._right = place
                _notice_silence(connection)
                return connection
        raise failure or OSError("no host")

    async def _connect(self, **how: Any) -> "asyncpg.Connection[Any]":
        connection: asyncpg.Connection[Any] = await asyncpg.connect(timeout=CONNECT_SECONDS, **how)
        if self._one_plan:  # as a parameter of connecting PgBouncer would refuse it
            try:
                await connection.execute(ONE_PLAN, timeout=CONNECT_SECONDS)
            except BaseException:
                connection.terminate()
                raise
        return connection


def _notice_silence(connection: "asyncpg.Connection[Any]") -> None:
    """The connections to a machine that lost its power would otherwise wait for a quarter of an hour."""
    wire = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
    if wire.family == socket.AF_UNIX:
        return
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_SECONDS // 2)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_SECONDS * 1000)
