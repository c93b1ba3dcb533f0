"""The schema goes up, down and up again with rows in it, and history stays as it was written."""

import asyncio
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from app.db import SCHEMA, Conflict, Database
from app.models import Access, Attempt, Base, History, ImportedLine, PpSatker
from sqlalchemy import func, insert, select, text

from tests.conftest import fill_catalog
from tests.postgres import Postgres

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path}/satker.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = f"m_{secrets.token_hex(6)}"
    server.create_database(name)
    yield server.url(name)
    server.drop_database(name)


def config(url: str) -> Config:
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations"))
    made.attributes["url"] = url
    return made


async def fill(url: str) -> None:
    """A row in every table but `forgetting`, whose rows never outlive their transaction."""
    database = Database(url)
    catalog = await fill_catalog(database)
    common = {"id": "s1", "pp_id": "pp-1", "catalog_id": catalog[0]}
    async with database.begin() as tx:
        await tx.execute(
            insert(Attempt).values(
                {
                    **common,
                    "id": "a1",
                    "satker_id": "s1",
                    "state": "mapped",
                    "via": "login",
                    "company_id": "c1",
                }
                | {"sends": 0, "not_found": 0, "asks": 0, "created_at": NOW}
            )
        )
        await tx.execute(
            insert(PpSatker).values({**common, "is_primary": True, "created_at": NOW, "updated_at": NOW})
        )
        access = {"satker_id": "s1", "attempt_id": "a1", "pp_id": "pp-1", "via": "login", "granted_at": NOW}
        await tx.execute(insert(Access).values(access))
        await tx.execute(insert(History).values(event()))
        await tx.execute(insert(ImportedLine).values(digest="d", outcome="mapped", at=NOW))
    await database.dispose()


def event() -> dict[str, object]:
    return {"at": NOW, "event": "mapped", "actor": "pp", "pp_id": "pp-1", "outcome": "ok"}


async def counts(url: str) -> dict[str, int]:
    database = Database(url)
    async with database.reading() as db:
        tables = Base.metadata.sorted_tables
        found = {one.name: await db.scalar(select(func.count()).select_from(one)) or 0 for one in tables}
    await database.dispose()
    return found


async def tables(url: str) -> set[str]:
    database = Database(url)
    async with database.reading() as db:
        source = (
            "sqlite_master WHERE type = 'table'"
            if database.is_sqlite
            else ("information_schema.tables WHERE table_schema = 'public'")
        )
        column = "name" if database.is_sqlite else "table_name"
        found = set((await db.scalars(text(f"SELECT {column} FROM {source}"))).all())  # noqa: S608 - our own words
    await database.dispose()
    return found


def test_the_schema_that_serving_expects() -> None:
    """It is the newest revision there is."""
    assert ScriptDirectory.from_config(config("")).get_current_head() == SCHEMA


def test_migrating_up_down_and_up(empty_url: str) -> None:
    """Down leaves nothing of ours, rows or not; up again makes it all anew."""
    command.upgrade(config(empty_url), "head")
    asyncio.run(fill(empty_url))
    assert {"forgetting"} == {name for name, count in asyncio.run(counts(empty_url)).items() if not count}
    command.downgrade(config(empty_url), "base")
    assert asyncio.run(tables(empty_url)) <= {"alembic_version", "sqlite_sequence"}
    command.upgrade(config(empty_url), "head")
    assert {0} == set(asyncio.run(counts(empty_url)).values())


def test_migrating_what_is_up_to_date(empty_url: str) -> None:
    """It changes nothing, however often."""
    command.upgrade(config(empty_url), "head")
    asyncio.run(fill(empty_url))
    before = asyncio.run(counts(empty_url))
    command.upgrade(config(empty_url), "head")
    assert before == asyncio.run(counts(empty_url))


@pytest.mark.anyio
async def test_changing_history(database: Database) -> None:
    """The database itself refuses, by one name on both systems, and the row is as it was."""
    statements = [
        "UPDATE history SET outcome = 'invalid_credentials'",
        "UPDATE history SET pp_id = 'pp-2' WHERE id = 1",
        "DELETE FROM history",
        "DELETE FROM history WHERE id = 1",
        *([] if database.is_sqlite else ["TRUNCATE history"]),
    ]
    async with database.begin() as tx:
        await tx.execute(insert(History).values(event()))
    for statement in statements:
        with pytest.raises(Conflict, match="history_is_final"):
            async with database.begin() as tx:
                await tx.execute(text(statement))
    async with database.reading() as db:
        row = (await db.execute(select(History))).one()
    assert ("ok", "pp-1", NOW) == (row.outcome, row.pp_id, row.at)
