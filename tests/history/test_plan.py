"""A page of the history costs the same however long the history is: every part of its statement is an index's."""

import pytest
from app.aio import AsyncConnection
from app.db import Database
from app.history import store
from app.models import Access, Attempt, CatalogSatker, Klpd, PpSatker
from sqlalchemy import Connection, Dialect, event, insert, text
from sqlalchemy.dialects import postgresql, sqlite

from tests.history.rows import AT, row, write

pytestmark = pytest.mark.anyio

PPS, EACH = 400, 30


@pytest.fixture
async def long(database: Database) -> Database:
    """PPs with a mapping each, and rows enough that reading them all would show in the plan."""
    numbers = range(PPS)
    async with database.begin() as tx:
        await tx.execute(insert(Klpd).values(code="K", name="K", search=" k "))
        for number in numbers:
            ids = {"id": f"s{number}", "catalog_id": f"c{number}", "pp_id": f"pp-{number}"}
            await tx.execute(
                insert(CatalogSatker).values(id=f"c{number}", klpd_code="K", name="N", active=True, search="")
            )
            await tx.execute(
                insert(PpSatker).values(**ids, is_primary=True, created_at=AT, updated_at=AT),
            )
            await tx.execute(
                insert(Attempt).values(
                    **ids | {"id": f"a{number}"},
                    satker_id=f"s{number}",
                    state="mapped",
                    via="login",
                    company_id=f"co{number}",
                    sends=0,
                    not_found=0,
                    asks=0,
                    created_at=AT,
                    mapped_at=AT,
                )
            )
            await tx.execute(
                insert(Access).values(
                    satker_id=f"s{number}",
                    attempt_id=f"a{number}",
                    pp_id=f"pp-{number}",
                    via="login",
                    granted_at=AT,
                )
            )
    rows = [
        row(f"pp-{n}", satker_id=f"s{n}", attempt_id=f"a{(n + k) % PPS}")
        for k in range(EACH)
        for n in numbers
    ]
    await write(database, rows)
    async with database.begin() as tx:
        await tx.execute(text("ANALYZE"))
    return database


async def plan(db: AsyncConnection, *, one_satker: bool) -> list[str]:
    is_postgresql = db.dialect.name == "postgresql"
    dialect: Dialect = postgresql.dialect() if is_postgresql else sqlite.dialect()  # type: ignore[no-untyped-call]
    statement = store._page(one_satker, is_postgresql).params(
        me="pp-1", satker="s1", before=store.NEWEST, limit=21
    )
    sql = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    explain = "EXPLAIN" if is_postgresql else "EXPLAIN QUERY PLAN"
    return [str(line[-1]) for line in await db.run_sync(Connection.exec_driver_sql, f"{explain} {sql}")]


@pytest.mark.parametrize("one_satker", [False, True])
async def test_reading_a_page(long: Database, one_satker: bool) -> None:
    """No part of the statement reads the history from end to end."""
    async with long.reading() as db:
        lines = await plan(db, one_satker=one_satker)

    about_history = [line for line in lines if "history" in line and ("SCAN" in line or "Scan" in line)]
    about_history += [line for line in lines if "SEARCH history" in line]
    assert 3 <= len(about_history), lines
    assert [] == [line for line in about_history if "SCAN history" in line or "Seq Scan on history" in line]
    assert any("ix_history_attempt_id_id" in line for line in lines), lines
    own = "ix_history_pp_id_satker_id_id" if one_satker else "ix_history_pp_id_"
    assert any(own in line for line in lines), lines


async def test_a_page_is_one_statement(long: Database) -> None:
    """Own rows and those of others on the PP's mappings come with one question to the database."""
    statements: list[str] = []
    event.listen(long.engine.sync_engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    async with long.reading() as db:
        rows = await store.page(db, "pp-1", satker_id=None, before=store.NEWEST, limit=100)

    assert 1 == len(statements)
    assert 2 * EACH - 1 == len(rows)
    assert {"s1"} == {found.satker_id for found in rows}
    assert {"self", "pp"} == {found.actor for found in rows}
