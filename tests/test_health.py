"""Alive, and able to serve: what whoever runs the service asks."""

import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from app.db import SCHEMA
from app.main import create_app
from sqlalchemy import text

from tests.described import Described
from tests.postgres import Postgres
from tests.service import Service, running, settings_for

pytestmark = pytest.mark.anyio


async def ready(service: Service) -> tuple[int, str]:
    answer = await service.http.get("/readyz", headers={"Authorization": ""})
    return answer.status_code, answer.json()["status"]


async def set_version(service: Service, version: str | None) -> None:
    async with service.database.begin() as tx:
        await tx.execute(text("DELETE FROM alembic_version"))
        if version is not None:
            await tx.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": version})


async def test_asking_a_service_that_is_well(service: Service) -> None:
    """Both paths are open, and say ok."""
    alive = await service.http.get("/healthz", headers={"Authorization": ""})
    assert (200, {"status": "ok"}) == (alive.status_code, alive.json())
    assert (200, "ok") == await ready(service)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (SCHEMA, (200, "ok")),
        ("9999", (200, "ok")),
        ("0000", (503, "schema_behind")),
        (None, (503, "schema_behind")),
    ],
)
async def test_asking_beside_another_schema(
    service: Service, version: str | None, expected: tuple[int, str]
) -> None:
    """A newer one is one that this version can live with; an older one is not."""
    await set_version(service, version)
    assert expected == await ready(service)


async def test_asking_before_any_migration_on_sqlite(tmp_path: Path) -> None:
    """Not ready, but alive."""
    async with running(f"sqlite+aiosqlite:///{tmp_path}/empty.db", tmp_path) as service:
        assert 503 == (await ready(service))[0]
        assert 200 == (await service.http.get("/healthz")).status_code


async def test_asking_before_any_migration_on_postgresql(postgres: Postgres, tmp_path: Path) -> None:
    """Not ready, but alive."""
    postgres.create_database("unmigrated")
    try:
        async with running(postgres.url("unmigrated"), tmp_path) as service:
            assert 503 == (await ready(service))[0]
            assert 200 == (await service.http.get("/healthz")).status_code
    finally:
        postgres.drop_database("unmigrated")


def a_folder(path: Path) -> None:
    path.mkdir()


def no_database(path: Path) -> None:
    path.write_bytes(b"this is no SQLite file " * 100)


@pytest.mark.parametrize("spoil", [a_folder, no_database])
async def test_asking_while_the_file_is_of_no_use(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """The database counts as away."""
    spoil(tmp_path / "satker.db")
    async with running(f"sqlite+aiosqlite:///{tmp_path}/satker.db", tmp_path) as service:
        assert (503, "database_unavailable") == await ready(service)


async def test_asking_while_another_process_writes(sqlite_service: Service, tmp_path: Path) -> None:
    """Reading goes on beside a writer, so the service stays ready."""
    other = sqlite3.connect(tmp_path / "satker.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert (200, "ok") == await ready(sqlite_service)
    finally:
        other.close()


@pytest.mark.parametrize("path", ["/readyz", "/metrics"])
async def test_asking_while_the_database_says_nothing(tmp_path: Path, path: str) -> None:
    """A server that accepts and stays silent counts as away, before whoever asks gives up."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # the kernel accepts
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        async with running(f"postgresql+asyncpg://u@{address}/d?ssl=disable", tmp_path) as service:
            began = time.monotonic()
            answer = await service.http.get(path)
            assert time.monotonic() - began < 6
    if path == "/readyz":
        assert (503, "database_unavailable") == (answer.status_code, answer.json()["status"])
    else:
        assert (200, True) == (answer.status_code, "satu_pp_database_up 0.0" in answer.text)


async def test_asking_while_mbizmarket_is_away(sqlite_url: str) -> None:
    """It is not asked: reads, and so the service, go on without it."""
    app = create_app(settings_for(sqlite_url))  # nobody listens at its MBIZ_URL
    async with (
        httpx.AsyncClient(transport=Described(httpx.ASGITransport(app)), base_url="http://api") as http,
        app.router.lifespan_context(app),
    ):
        assert (200, 200) == (
            (await http.get("/healthz")).status_code,
            (await http.get("/readyz")).status_code,
        )


async def test_asking_does_not_reach_mbizmarket(sqlite_service: Service) -> None:
    """Not even for a token."""
    before = (await sqlite_service.truth())["requests"]
    await ready(sqlite_service)
    assert before == (await sqlite_service.truth())["requests"]
