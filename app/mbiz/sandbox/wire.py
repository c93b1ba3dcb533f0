"""Answers that are no answers: connections that are cut, or that drip a byte at a time.

Over a uvicorn socket the connection is really closed. In process (`httpx.ASGITransport`) there is none, so
the app raises what httpx would have raised over a socket: ConnectionCut is an `httpx.RemoteProtocolError`.
"""

import asyncio
from collections.abc import AsyncIterator

import httpx
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

WIRE = "sandbox.wire"  # the scope's key of the server's own `send`, before anything wraps it


class ConnectionCut(httpx.RemoteProtocolError):
    """The connection ended without an answer. Raised in process alone."""


class ConnectionRefused(httpx.ConnectError):
    """Nobody listens. Raised in process alone: a real listener cannot refuse one request; it cuts."""


class Cut(Response):
    """Closes the connection in place of an answer."""

    def __init__(self, in_process: httpx.TransportError) -> None:
        super().__init__()
        self.in_process = in_process

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn's `send` is a method of the request's cycle, which knows the socket. ASGI has no word for
        # "hang up", and leaving without an answer would make uvicorn log an error and send a 500.
        cycle = getattr(scope[WIRE], "__self__", None)
        transport = getattr(cycle, "transport", None)
        if transport is None:
            raise self.in_process
        transport.abort()
        await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def dripped(answer: Response, pause: float) -> Response:
    """The same answer, one byte every `pause` seconds."""
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return StreamingResponse(_drip(bytes(answer.body), pause), answer.status_code, headers)


async def _drip(body: bytes, pause: float) -> AsyncIterator[bytes]:
    for position in range(len(body)):
        yield body[position : position + 1]
        await asyncio.sleep(pause)
