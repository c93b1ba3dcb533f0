"""One HTTP/1.1 connection for what the partner API needs: whole requests, and whole answers that fit in memory."""

import asyncio
import select
from typing import cast

import httptools
import httpx

MOST_HEAD_BYTES = 64 * 1024
MOST_BYTES = 1024 * 1024  # of one answer, with all that frames it


class Connection(asyncio.Protocol):
    """A call is one write and one wake-up; httpx's own connection takes three times the CPU for its many steps.

    Only for methods whose answers have a body (not HEAD), and for bodies of known length. A call raises
    httpx.RemoteProtocolError for what is no HTTP or breaks off, ReadError when the connection is lost, and
    LocalProtocolError for a request that cannot be said. An answer over MOST_BYTES comes without its body.
    """

    _transport: asyncio.Transport
    _parser: httptools.HttpResponseParser

    def __init__(self) -> None:
        self._answer: asyncio.Future[httpx.Response] | None = None
        self._has_head = False  # of the answer that was asked for last
        self._reusable = True

    async def ask(self, request: httpx.Request) -> httpx.Response:
        message = _head(request) + await request.aread()
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()
        self._received = 0
        self._has_head = False
        self._transport.write(message)
        return await self._answer

    @property
    def open(self) -> bool:
        return self._reusable and not self._transport.is_closing()

    @property
    def usable(self) -> bool:
        """Open and silent. What arrives unasked, a farewell or an answer to nobody, may not be read from it yet."""
        return self.open and not _readable(self._transport)

    def close(self) -> None:
        """At once, without TLS's farewell, which could be waited for."""
        self._reusable = False
        self._transport.abort()

    # What asyncio reports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # as create_connection makes them

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(httpx.RemoteProtocolError("this is not HTTP/1.1"))
        if self._received > (MOST_BYTES if self._has_head else MOST_HEAD_BYTES):
            self._give_up_on_body()

    def connection_lost(self, error: Exception | None) -> None:
        self._reusable = False
        if error:
            self._fail(httpx.ReadError("the connection was lost"))
        elif self._has_head and self._ends_with_the_connection():
            self._succeed()
        else:
            self._fail(httpx.RemoteProtocolError("the answer broke off"))

    # What the parser reports

    def on_message_begin(self) -> None:
        if self._answer and self._answer.done():
            self._reusable = False  # an answer more than was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # what follows a chunked body is nothing we asked for
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._has_head = self._parser.get_status_code() >= 200
        if not self._has_head:  # such as 100 Continue: the answer is yet to come
            self._headers.clear()

    def on_body(self, chunk: bytes) -> None:
        self._body += chunk

    def on_message_complete(self) -> None:
        if self._has_head:
            self._reusable = self._reusable and self._parser.should_keep_alive()
            self._succeed()

    # Ends of a call

    def _succeed(self) -> None:
        if self._answer and not self._answer.done():
            status, body = self._parser.get_status_code(), httpx.ByteStream(bytes(self._body))
            self._answer.set_result(httpx.Response(status, headers=self._headers, stream=body))

    def _fail(self, error: httpx.TransportError) -> None:
        self.close()
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)
            self._answer.exception()  # seen, even if its caller is just leaving

    def _give_up_on_body(self) -> None:
        if self._has_head:
            self.close()
            self._body.clear()
            self._succeed()
        else:
            self._fail(httpx.RemoteProtocolError("the answer's head is too large"))

    def _ends_with_the_connection(self) -> bool:
        return not {name.lower() for name, _ in self._headers} & {b"content-length", b"transfer-encoding"}


def _head(request: httpx.Request) -> bytes:
    lines = [b"%s %s HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%s: %s" % field for field in request.headers.raw]
    head = b"\r\n".join(lines)
    breaks = len(lines) - 1
    if (
        "transfer-encoding" in request.headers
        or not breaks == head.count(b"\r") == head.count(b"\n")
        or b"\0" in head
    ):
        raise httpx.LocalProtocolError("a request has whole lines, and a body of known length")
    return head + b"\r\n\r\n"


def _readable(transport: asyncio.Transport) -> bool:
    waiting = select.poll()
    waiting.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(waiting.poll(0))
