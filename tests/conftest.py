"""Real parts for the tests: SQLite and PostgreSQL alike, and a sandbox mbizmarket over the wire's own interface."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from app.catalog.text import search_text
from app.db import Database
from app.models import CatalogSatker, Klpd
from app.startup import migrate_database
from sqlalchemy import insert

from tests import workers
from tests.canary import (  # noqa: F401 - its hooks and its fixture
    _folders_of_the_run,
    pytest_runtest_logreport,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)
from tests.pgbouncer import PgBouncer
from tests.postgres import Postgres
from tests.service import Service, running


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(workers, "tests.workers")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of our own for the whole run, with a migrated database `template_satker` to clone."""
    with Postgres() as server:
        server.create_database("template_satker")
        migrate_database(server.url("template_satker"))
        if not os.environ.get("THROUGH_PGBOUNCER"):
            yield server
            return
        with PgBouncer(server) as bouncer:
            server.url = bouncer.url  # type: ignore[method-assign]
            yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "satker.db"
    migrate_database(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database without rows, on each of the two systems."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
    else:
        server: Postgres = request.getfixturevalue("postgres")
        name = f"t_{secrets.token_hex(6)}"
        server.create_database(name, template="template_satker")
        yield server.url(name)
        server.drop_database(name)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """As `database_url`, on SQLite alone: for what is the same on both."""
    return copied(sqlite_template, tmp_path)


def copied(template: Path, folder: Path) -> str:
    """The URL of a copy of this SQLite database."""
    path = folder / "satker.db"
    path.write_bytes(template.read_bytes())
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.dispose()


@pytest.fixture
async def service(database_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """The service with a small catalog; `service.catalog` has the ids of its satkers."""
    async with running(database_url, tmp_path) as service:
        service.catalog = await fill_catalog(service.database)
        yield service


@pytest.fixture
async def sqlite_service(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """As `service`, on SQLite alone."""
    async with running(sqlite_url, tmp_path) as service:
        service.catalog = await fill_catalog(service.database)
        yield service


@pytest.fixture(scope="module")
async def shared_service(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """One service for a module's tests that change nothing."""
    folder = tmp_path_factory.mktemp("shared")
    async with running(copied(sqlite_template, folder), folder) as service:
        service.catalog = await fill_catalog(service.database)
        yield service


async def fill_catalog(database: Database) -> list[str]:
    """Three K/L/P/D with four satkers each, written as the importer writes them."""
    klpds, satkers = [], []
    for code, name in (("K1", "KEMENTERIAN SATU"), ("L2", "LEMBAGA DUA"), ("D3", "KABUPATEN TIGA")):
        klpds.append({"code": code, "name": name, "kind": None, "search": search_text([name], [code])})
        for number in range(4):
            place = len(satkers)
            codes = {"code": f"0{place + 1:05}", "kd_satker": str(1001 + place)}
            satker = f"Satker {name.title()} {number}"
            search = search_text([satker], codes.values())
            more = {
                "id": f"{place:032x}",
                "klpd_code": code,
                "name": satker,
                "active": True,
                "search": search,
            }
            satkers.append({**more, **codes})
    async with database.begin() as tx:
        await tx.execute(insert(Klpd), klpds)
        await tx.execute(insert(CatalogSatker), satkers)
    return [str(satker["id"]) for satker in satkers]
