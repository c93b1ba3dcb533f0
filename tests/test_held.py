"""Reads past SQLAlchemy: the same rows, by few connections, of which none that failed is used again."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from app.db import HELD, AnySelect, Database, DatabaseUnavailable
from app.held import Reader
from app.models import PpSatker
from app.satker import store
from sqlalchemy import Integer, bindparam, column, func, select, text

from tests.service import Service

pytestmark = pytest.mark.anyio

SLEEP = select(func.pg_sleep(bindparam("seconds")), (bindparam("n", type_=Integer) + 1).label("next"))


def on_postgresql(service: Service) -> Reader:
    if service.database.is_sqlite:
        pytest.skip("SQLite is read by SQLAlchemy")
    return service.context.reader


async def test_the_rows_are_sqlalchemys(service: Service) -> None:
    """Every kind of column that the lists have, times with their zone too."""
    for catalog_id in service.catalog:
        await service.add(catalog_id)
    statement: AnySelect = store._page(1, True, "unmapped", "satker_name")
    values = {"pp_id": "pp-1", "term0": "%", "size": 10, "skip": 0}
    async with service.database.reading() as db:
        expected = (await db.execute(statement, values)).all()
    found = await service.context.reader.fetch(statement, values)
    assert [tuple(row) for row in expected] == [tuple(row) for row in found]
    assert [row.id for row in expected] == [row.id for row in found]
    assert {timedelta(0)} == {row.created_at.utcoffset() for row in found}


async def test_more_at_once_than_connections(service: Service) -> None:
    """They wait for one another, each gets its own row, and the pool keeps the rest for changes."""
    reader = on_postgresql(service)
    reads = (reader.fetch(SLEEP, {"seconds": 0.01, "n": n}) for n in range(5 * HELD))
    assert [n + 1 for n in range(5 * HELD)] == [rows[0].next for rows in await asyncio.gather(*reads)]
    assert HELD >= service.database.connections()["in_use"]


async def test_statements_are_planned_once(service: Service) -> None:
    """On every connection, whatever it is used for."""
    reader = on_postgresql(service)
    mode = select(func.current_setting("plan_cache_mode"))
    database = service.database
    modes = [row[0] for row in await reader.fetch(mode, {})]
    for way in (database.reading, database.begin, database.direct):
        async with way() as db:
            modes.append(await db.scalar(mode))
    assert ["force_generic_plan"] * 4 == modes


async def test_nothing_is_set_behind_pgbouncer(service: Service) -> None:
    """It would outlive the transaction, on a server's connection that is everybody's."""
    on_postgresql(service)
    url = service.database.engine.sync_engine.url.update_query_dict({"prepared_statement_cache_size": "0"})
    database = Database(url.render_as_string(hide_password=False))
    async with database.reading() as db:
        assert "auto" == await db.scalar(select(func.current_setting("plan_cache_mode")))
    await database.dispose()


async def test_leaving_while_it_reads(service: Service) -> None:
    """What was asked may still be on its way, so that connection is gone, and its place is free at once."""
    reader = on_postgresql(service)
    for _ in range(3 * HELD):
        read = asyncio.create_task(reader.fetch(SLEEP, {"seconds": 10, "n": 1}))
        await asyncio.sleep(0.02)
        read.cancel()
        await asyncio.gather(read, return_exceptions=True)
    rows = await asyncio.wait_for(reader.fetch(SLEEP, {"seconds": 0, "n": 1}), 2)
    assert (2, 1) == (rows[0].next, service.database.connections()["in_use"])


async def test_all_connections_are_lost(service: Service) -> None:
    """The server ends every one of them: the next read of each is done again, and nobody hears of it."""
    reader = on_postgresql(service)
    await asyncio.gather(*(reader.fetch(SLEEP, {"seconds": 0.05, "n": 1}) for _ in range(HELD)))
    assert HELD == service.database.connections()["in_use"]
    async with service.database.begin() as tx:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        await tx.execute(text(ended + "AND pid <> pg_backend_pid()"))
    answers = await asyncio.gather(*(reader.fetch(SLEEP, {"seconds": 0, "n": n}) for n in range(3 * HELD)))
    assert [n + 1 for n in range(3 * HELD)] == [rows[0].next for rows in answers]


async def test_a_table_that_is_away(service: Service) -> None:
    """DatabaseUnavailable for that read alone."""
    reader = on_postgresql(service)
    async with service.database.begin() as tx:
        await tx.execute(text("CREATE TABLE passing AS SELECT 1 AS n"))
    passing = select(column("n")).select_from(text("passing"))
    assert 1 == len(await reader.fetch(passing, {}))
    async with service.database.begin() as tx:
        await tx.execute(text("DROP TABLE passing"))
    with pytest.raises(DatabaseUnavailable):
        await reader.fetch(passing, {})
    assert [] == await reader.fetch(select(PpSatker.id), {})


async def test_no_server_at_all(tmp_path: Path) -> None:
    """DatabaseUnavailable, at once and again."""
    database = Database(f"postgresql+asyncpg://nobody@/none?host={tmp_path}")
    reader = Reader(database)
    for _ in range(2 * HELD):
        with pytest.raises(DatabaseUnavailable):
            await reader.fetch(select(PpSatker.id), {})
    await database.dispose()
