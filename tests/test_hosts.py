"""Several database hosts: how they are written, and which one is connected to."""

import socket
import time
from collections.abc import Iterator

import pytest
from app.db import Database
from app.hosts import CONNECT_SECONDS, SILENT_SECONDS, address
from sqlalchemy import Connection, text

from tests.postgres import Postgres

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres(tcp=True) as server:
        yield server


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of one that lets everybody in and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("url", "hosts", "database"),
    [
        ("postgresql+asyncpg://u:p@one/satker", (), "satker"),
        ("postgresql+asyncpg://u:p@one,two:6432/satker", ("one:5432", "two:6432"), "satker"),
        ("postgresql+asyncpg://u:p,q@one/satker", (), "satker"),
        ("postgresql+asyncpg://one:1,two:2/satker?ssl=disable", ("one:1", "two:2"), "satker"),
        ("postgresql+asyncpg://u@/satker?host=one:1&host=two:2", ("one:1", "two:2"), "satker"),
    ],
)
async def test_writing_them(url: str, hosts: tuple[str, ...], database: str) -> None:
    """As PostgreSQL's own programs take them, or as SQLAlchemy does."""
    made = address(url)
    assert (hosts, database) == (made.query.get("host", ()), made.database)


async def test_one_that_says_nothing(server: Postgres, silent: int) -> None:
    """It is passed over once its time is up, and then asked last."""
    places = f"127.0.0.1:{silent},127.0.0.1:{server.port}"
    database = Database(f"postgresql+asyncpg://postgres@{places}/postgres?ssl=disable")
    waits = []
    for _ in range(2):
        began = time.monotonic()
        async with database.reading() as db:
            assert server.port == await db.scalar(text("SELECT inet_server_port()"))
            await db.run_sync(Connection.invalidate)  # the next one connects anew
        waits.append(time.monotonic() - began)
    await database.dispose()
    assert waits[1] < CONNECT_SECONDS <= waits[0]


async def test_a_machine_that_dies_is_noticed(server: Postgres) -> None:
    """The system is told to give up what is not acknowledged; without that it tries for a quarter of an hour."""
    database = Database(server.tcp_url("postgres"))
    async with database.reading() as db:
        driver = (await db.run_sync(lambda connection: connection.connection)).driver_connection
        assert driver is not None
        wire = driver._transport.get_extra_info("socket")
        assert 1 == wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert SILENT_SECONDS * 1000 == wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    await database.dispose()
