"""The connections to mbizmarket: a free list, so that taking one costs the same however many there are."""

import asyncio
import ssl
from collections import deque

import httpx

from app.mbiz.connection import Connection
from app.mbiz.wire import acquire

# Seconds. Shorter than the five after which many servers hang up, so that it is nearly always we who do.
KEEP_ALIVE = 4.0


class Connections(httpx.AsyncBaseTransport):
    """At most `most` HTTP/1.1 connections to the one host of `base_url`, the one used last taken first.

    httpx's own transport walks through all its connections and all its callers, twice for each call: with 64 at a time
    it manages a tenth of what the sockets could. And each call of its takes so many steps that, even with
    one connection for each of its transports, it manages six tenths.

    A connection is kept only when its answer was read to the end; after an error or a cancelled call it is closed.
    Idle ones are closed after `keep_alive` seconds, and one that the server has closed is replaced, not used.
    Nothing is tried a second time: what refused one connection refuses the next, and a deaf host would cost two waits.
    Raises httpx.PoolTimeout when none gets free within the request's pool timeout, ConnectError, ConnectTimeout (the
    request's connect timeout, TLS included), and what a Connection raises.
    """

    def __init__(
        self,
        base_url: str,
        most: int,
        *,
        keep_alive: float = KEEP_ALIVE,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._origin = _origin(httpx.URL(base_url))
        self._tls = (tls or httpx.create_ssl_context(trust_env=False)) if self._origin[0] == "https" else None
        self._keep_alive = keep_alive
        self._room = asyncio.Semaphore(most)
        self._idle: deque[tuple[float, Connection]] = deque()  # the longest idle first
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if _origin(request.url) != self._origin:
            raise httpx.UnsupportedProtocol("these connections lead to one host", request=request)
        timeouts = request.extensions.get("timeout", {})
        await self._take_room(timeouts.get("pool"))
        try:
            connection = self._idle_one() or await self._connect(timeouts.get("connect"))
            try:
                answer = await connection.ask(request)
            except BaseException:
                connection.close()
                raise
            self._give_back(connection)
            return answer
        finally:
            self._room.release()

    async def aclose(self) -> None:
        """Closes what is idle; a connection in use is closed when its call ends."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        while self._idle:
            self._idle.pop()[1].close()
        await asyncio.sleep(0)  # the loop closes the sockets

    async def _take_room(self, seconds: float | None) -> None:
        try:
            await acquire(self._room, seconds)
        except TimeoutError:
            raise httpx.PoolTimeout("every connection is in use") from None

    def _idle_one(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()[1]
            if connection.usable:
                return connection
            connection.close()
        return None

    async def _connect(self, seconds: float | None) -> Connection:
        _, host, port = self._origin
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                return (await loop.create_connection(Connection, host, port, ssl=self._tls))[1]
        except TimeoutError:
            raise httpx.ConnectTimeout("no connection in time") from None
        except OSError as error:  # TLS that does not convince us, too
            raise httpx.ConnectError(str(error)) from None

    def _give_back(self, connection: Connection) -> None:
        if self._closed or not connection.open:
            connection.close()
        else:
            self._idle.append((asyncio.get_running_loop().time(), connection))
            self._set_timer()

    def _set_timer(self) -> None:
        if self._idle and not self._timer:
            due = self._idle[0][0] + self._keep_alive
            self._timer = asyncio.get_running_loop().call_at(due, self._hang_up)

    def _hang_up(self) -> None:
        """Closes what has been idle for too long. A timer, not a task: nothing is left over when a loop ends."""
        self._timer = None
        since = asyncio.get_running_loop().time() - self._keep_alive
        while self._idle and self._idle[0][0] <= since:
            self._idle.popleft()[1].close()
        self._set_timer()


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)
