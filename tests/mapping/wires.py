"""Wires to mbizmarket for moments that a scripted fault cannot hold still."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from app.main import create_app

from tests.conftest import fill_catalog
from tests.described import Described
from tests.service import Service, bearer, settings_for


class Held(httpx.AsyncBaseTransport):
    """A wire on which one kind of call waits for `send` before it goes out and for `answer` before it is answered.

    `waiting` and `arrived` are set once a call has come so far.
    """

    def __init__(self, wire: httpx.AsyncBaseTransport, path: str = "/v1/registrations") -> None:
        self._wire = wire
        self._path = path
        self.waiting = asyncio.Event()
        self.arrived = asyncio.Event()
        self.send = asyncio.Event()
        self.answer = asyncio.Event()
        self.answer.set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != self._path:
            return await self._wire.handle_async_request(request)
        self.waiting.set()
        await self.send.wait()
        answer = await self._wire.handle_async_request(request)
        self.arrived.set()
        await self.answer.wait()
        return answer


@asynccontextmanager
async def serving(
    database_url: str, wire: httpx.AsyncBaseTransport | None, url: str = "http://127.0.0.1:9", **changes: Any
) -> AsyncIterator[Service]:
    """The service over this wire to mbizmarket; without one, over real sockets to `url`."""
    app = create_app(settings_for(database_url, mbiz_url=url, **changes), mbiz_transport=wire)
    service_wire = Described(httpx.ASGITransport(app))
    async with (
        httpx.AsyncClient(transport=service_wire, base_url="http://api", headers=bearer()) as http,
        httpx.AsyncClient(transport=wire, base_url=url, trust_env=False) as mbiz,
        app.router.lifespan_context(app),
    ):
        service = Service(app.state.context, http, mbiz)
        service.catalog = await fill_catalog(service.database)
        yield service
