"""One request to mbizmarket and its whole answer, straight through an httpx transport.

An httpx client between them would keep cookies, read Locations, ask the environment for proxies and passwords: all of
it to be switched off, and a seventh of a log-in's CPU.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import cast

import httpx

from app.mbiz.wire import Answer, Call

MAX_ANSWER_BYTES = 256 * 1024

HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "satu-pp-multi-satker"}

_url = lru_cache(maxsize=64)(
    httpx.URL
)  # reading one takes as long as the rest of a request; most paths are few


class Exchange:
    """Redirects are answers like others, and nothing is sent twice."""

    def __init__(self, base_url: str, transport: httpx.AsyncBaseTransport) -> None:
        self._base_url = base_url.rstrip("/")
        self._transport = transport

    @property
    def scheme(self) -> str:
        return _url(self._base_url).scheme

    def request(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> httpx.Request:
        return httpx.Request(
            method, _url(f"{self._base_url}{path}"), headers={**HEADERS, **headers}, content=content
        )

    async def send(self, call: Call, request: httpx.Request) -> Answer:
        """Raises what the transport does: httpx.TransportError."""
        request.extensions["timeout"] = call.patience()
        answer = await self._transport.handle_async_request(request)
        return Answer(answer.status_code, answer.headers, await _read(answer))

    async def aclose(self) -> None:
        await self._transport.aclose()


async def _read(answer: httpx.Response) -> bytes:
    """We ask for no compression, for a small body can unfold to gigabytes."""
    stream = cast(httpx.AsyncByteStream, answer.stream)  # an async transport answers with no other
    body = bytearray()
    try:
        if answer.headers.get("content-encoding", "identity").lower() == "identity":
            async for chunk in stream:
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    return b""
    finally:
        await stream.aclose()
    return bytes(body)
