"""Moments that a scripted fault cannot hold still: on the wire to mbizmarket, and at a lock of the database."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from app.db import Database
from app.main import create_app
from app.mbiz.sandbox import create_sandbox
from sqlalchemy import event, text

from tests.conftest import fill_catalog
from tests.described import Described
from tests.service import Service, bearer, settings_for


def held(folder: Path, path: str = "/v1/registrations") -> "Held":
    """A wire to a new sandbox in this folder; `send` is still to be set."""
    market = create_sandbox(folder / "mbiz.db", client_id="satu-pp", client_secret="client-secret")
    return Held(httpx.ASGITransport(market), path)


class Held(httpx.AsyncBaseTransport):
    """A wire on which the calls to one path (or below it, if it ends in a slash) can be held still.

    They wait for `send` before they go out, and their answers for `answer`. `waiting` and `arrived` are set once a
    call has come so far; `bodies` are what was to be sent.
    """

    def __init__(self, wire: httpx.AsyncBaseTransport, path: str) -> None:
        self._wire = wire
        self._path = path
        self.bodies: list[Any] = []
        self.waiting = asyncio.Event()
        self.arrived = asyncio.Event()
        self.send = asyncio.Event()
        self.answer = asyncio.Event()
        self.answer.set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if not (path.startswith(self._path) if self._path.endswith("/") else path == self._path):
            return await self._wire.handle_async_request(request)
        self.bodies.append(json.loads(request.content or "null"))
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
        service = Service(app, app.state.context, http, mbiz)
        service.catalog = await fill_catalog(service.database)
        yield service


@asynccontextmanager
async def replica(service: Service) -> AsyncIterator[Database]:
    """The database as another process has it."""
    database = Database(service.context.settings.database_url)
    yield database
    await database.dispose()


Calling = Coroutine[Any, Any, httpx.Response]


async def at_the_lock(service: Service, call: Calling) -> asyncio.Task[httpx.Response]:
    """The call, when it waits for what the transaction of a replica holds."""
    there = asyncio.Event()

    def look(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement == "BEGIN IMMEDIATE":
            there.set()

    event.listen(service.database.engine.sync_engine, "before_cursor_execute", look)
    task = asyncio.create_task(call)
    async with asyncio.timeout(30):
        if service.database.is_sqlite:
            await there.wait()
        else:
            while not await _somebody_waits(service):  # noqa: ASYNC110 - PostgreSQL tells nobody
                await asyncio.sleep(0.01)
    return task


async def _somebody_waits(service: Service) -> bool:
    waiting = (
        "SELECT true FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with service.database.reading() as db:
        return bool((await db.execute(text(waiting))).first())
