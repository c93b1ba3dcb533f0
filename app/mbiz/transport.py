"""The connections to mbizmarket: a free list, so that taking one costs the same however many there are."""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

import httpx

# Seconds. Shorter than the five after which many servers hang up, so that it is nearly always we who do.
KEEP_ALIVE = 4.0


class Connections(httpx.AsyncBaseTransport):
    """At most `most` HTTP/1.1 connections, each an httpx transport of its own, the one used last taken first.

    One httpx transport with many connections walks through all of them and all its callers, twice for each call:
    with 64 at a time it manages a sixth of what the sockets could.

    A connection is kept only when its answer was read to the end; after an error or a cancelled call it is closed.
    Idle ones are closed after `keep_alive` seconds, and one that the server has closed is replaced, not used.
    No connection is tried a second time: what refused one refuses the next, and a deaf host would cost two waits.
    Raises httpx.PoolTimeout when none gets free within the request's pool timeout.
    """

    def __init__(self, most: int, keep_alive: float = KEEP_ALIVE, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls or httpx.create_ssl_context(trust_env=False)
        self._limits = httpx.Limits(max_connections=1, keepalive_expiry=keep_alive)
        self._keep_alive = keep_alive
        self._room = asyncio.Semaphore(most)
        self._idle: deque[tuple[float, httpx.AsyncHTTPTransport]] = deque()  # the longest idle first
        self._timer: asyncio.TimerHandle | None = None
        self._closings: set[asyncio.Task[None]] = set()
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._take_room(request)
        line = self._idle.pop()[1] if self._idle else self._new()
        try:
            async with _Dialling(request):
                answer = await line.handle_async_request(request)
        except BaseException:
            await self._give_back(line, reusable=False)
            raise
        answer.stream = _Lent(answer, lambda read: self._give_back(line, reusable=read))
        return answer

    async def aclose(self) -> None:
        """Closes what is idle; a connection in use is closed when its call ends."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        while self._idle:
            await self._idle.popleft()[1].aclose()
        await asyncio.gather(*self._closings)

    async def _take_room(self, request: httpx.Request) -> None:
        try:
            async with asyncio.timeout(request.extensions.get("timeout", {}).get("pool")):
                await self._room.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout("every connection is in use", request=request) from None

    def _new(self) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False, limits=self._limits)

    async def _give_back(self, line: httpx.AsyncHTTPTransport, *, reusable: bool) -> None:
        try:
            if reusable and not self._closed:
                self._idle.append((asyncio.get_running_loop().time(), line))
                self._set_timer()
            else:
                await line.aclose()
        finally:
            self._room.release()

    def _set_timer(self) -> None:
        if self._idle and not self._timer:
            due = self._idle[0][0] + self._keep_alive
            self._timer = asyncio.get_running_loop().call_at(due, self._hang_up)

    def _hang_up(self) -> None:
        """Closes what has been idle for too long. A timer, not a task: nothing is left over when a loop ends."""
        self._timer = None
        since = asyncio.get_running_loop().time() - self._keep_alive
        while self._idle and self._idle[0][0] <= since:
            closing = asyncio.create_task(self._idle.popleft()[1].aclose())
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)
        self._set_timer()


class _Dialling:
    """Closes a socket that a failed or cancelled request has opened: httpcore forgets one in its TLS handshake."""

    def __init__(self, request: httpx.Request) -> None:
        self._extensions = request.extensions
        self._socket: Any = None

    async def __aenter__(self) -> None:
        self._extensions["trace"] = self._note

    async def _note(self, event: str, details: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._socket = details["return_value"]
        elif event.startswith("http11."):  # connected: tracing the rest would only cost
            self._extensions.pop("trace", None)

    async def __aexit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if failed and self._socket:
            await self._socket.aclose()


class _Lent(httpx.AsyncByteStream):
    """An answer's body, whose end gives the connection back."""

    def __init__(self, answer: httpx.Response, give_back: Callable[[bool], Awaitable[None]]) -> None:
        self._inner = cast(httpx.AsyncByteStream, answer.stream)
        self._give_back = give_back
        self._read = False  # to the end
        self._over = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield chunk
        self._read = True

    async def aclose(self) -> None:
        if self._over:
            return
        self._over = True
        try:
            await self._inner.aclose()
        finally:
            await self._give_back(self._read)
