"""HTTP/1.1 as uvicorn speaks it, closed where uvicorn is open to whoever can connect, with a token or without."""

import asyncio
from asyncio.events import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024  # bytes, and what one more read brings


class _Joined:
    """A transport whose writes of one turn of the loop leave together.

    uvicorn writes head and body apart, and uvloop sends each at once: a fifth of a mapping status, and a packet.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn alone waits for a head for ever, and keeps all of it however long it grows.

    What follows a chunked body it takes for more of the head: so a caller could write an X-Forwarded-For behind that
    of a proxy of ours, or a token where the proxy looked for none. And the body of a request that asks for another
    protocol it reads as the next request. Here, what comes after a head is never part of one, and such a request is
    the last of its connection.
    """

    head_seconds = 10.0
    last_moment = 1.0  # seconds

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = False
        self._head_bytes = 0
        self._patience: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(_Joined(transport, self.loop))  # type: ignore[arg-type] # it has what is used
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._in_head = False
                self.send_400_response("The head of the request is too large.")
        if self._idle and self._patience is None:
            self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False
        self._stop_waiting()
        self.headers = []  # the application has the other list: trailers go nowhere

    def _unsupported_upgrade_warning(self) -> None:
        """Instead of a warning for each: nothing more is read, and the answer says that it is the last."""
        self.cycle.keep_alive = False
        self.transport.pause_reading()

    def shutdown(self) -> None:
        """A connection that has asked nothing yet was opened to ask: it gets a moment, or what is on its way is cut."""
        if self.cycle is None:
            self.loop.call_later(self.last_moment, super().shutdown)
        else:
            super().shutdown()

    @property
    def _idle(self) -> bool:
        return self._in_head or self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        self._patience = self.loop.call_later(self.head_seconds, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _hang_up(self) -> None:
        self._patience = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_head()  # the next one is slow, but this one's answer is still to come
        elif not self.transport.is_closing():
            self.transport.close()
