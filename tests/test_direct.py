"""The transaction past SQLAlchemy: the same answers, the same refusals, and nothing left behind."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from app.db import Conflict, Database, DatabaseUnavailable
from app.held import Reader
from app.mapping import standing as standings
from app.models import CatalogSatker, ImportedLine, Klpd
from sqlalchemy import bindparam, event, insert, literal, select, text, update

from tests.conftest import fill_catalog
from tests.service import Service, statements_of

pytestmark = pytest.mark.anyio

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid <> pg_backend_pid() AND datname = current_database()"
)
LINE = {"digest": "d", "outcome": "new", "at": datetime(2026, 1, 2, tzinfo=UTC)}


async def test_the_same_rows_either_way(service: Service) -> None:
    """A satker's standing reads the same, column by column, times with their zone."""
    satker = await service.add(service.catalog[0])
    async with service.database.begin() as tx:
        usual = await standings.lock(tx, "pp-1", satker)
    async with service.database.direct() as tx:
        direct = await standings.lock(tx, "pp-1", satker)
    columns = usual.row._fields
    assert [getattr(usual.row, name) for name in columns] == [getattr(direct.row, name) for name in columns]
    assert direct.row.created_at.tzinfo is not None
    assert (usual.live, usual.has_access) == (direct.live, direct.has_access)


async def test_it_goes_past_sqlalchemy_on_postgresql_alone(service: Service) -> None:
    """Else this page would prove nothing."""
    seen: list[str] = []
    engine = service.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
    async with service.database.direct() as tx:
        assert 1 == await tx.scalar(select(literal(1)))
    assert service.database.is_sqlite == bool(seen)


async def test_counting_what_changed(database: Database) -> None:
    """Values given with the statement and values within it, in any order."""
    await fill_catalog(database)
    rename = update(Klpd).where(Klpd.code.in_(("K1", "L2")), Klpd.name != "x").values(kind="kementerian")
    async with database.direct() as tx:
        assert 2 == (await tx.execute(rename)).rowcount
        assert 0 == (await tx.execute(rename.where(Klpd.code == "?"))).rowcount
        assert (await tx.execute(select(Klpd.code).where(Klpd.code == "?"))).one_or_none() is None
        kinds = (await tx.execute(select(Klpd.kind).order_by(Klpd.code))).all()
    assert [None, "kementerian", "kementerian"] == [row.kind for row in kinds]


async def test_a_constraint_says_no(database: Database) -> None:
    """Its name is told, and nothing of the transaction happened."""
    catalog = await fill_catalog(database)
    codes = select(CatalogSatker.kd_satker).where(CatalogSatker.id == catalog[0])
    take = update(CatalogSatker).where(CatalogSatker.id == catalog[1])
    with pytest.raises(Conflict) as refused:
        await _write(database, take.values(kd_satker=codes.scalar_subquery()))
    assert "uq_catalog_satker_kd_satker" == refused.value.name
    assert 0 == await _lines(database)


async def test_writing_several_at_once(service: Service) -> None:
    """In one round trip on PostgreSQL, each with its own values of two that clash neither is done."""
    database, seen = service.database, statements_of(service)
    line = insert(ImportedLine)
    many = [(line, {"digest": f"d{n}", "outcome": f"o{n}", "at": LINE["at"]}) for n in range(12)]
    rename = update(Klpd).where(Klpd.code == bindparam("which")).values(kind=bindparam("what"))
    async with database.direct() as tx:
        seen.clear()
        await tx.write()
        await tx.write(many[0])
        await tx.write((rename, {"what": "kementerian", "which": "K1"}), *many[1:])
        assert (13 if database.is_sqlite else 2) == len(seen)
        assert [(f"d{n}", f"o{n}") for n in sorted(range(12), key=str)] == [
            tuple(row)
            for row in await tx.execute(
                select(ImportedLine.digest, ImportedLine.outcome).order_by(ImportedLine.digest)
            )
        ]
        assert "kementerian" == await tx.scalar(select(Klpd.kind).where(Klpd.code == "K1"))
    with pytest.raises(Conflict):
        async with database.direct() as tx:
            await tx.write((line, LINE), (rename, {"what": "x", "which": "K1"}), many[3])
    assert 12 == await _lines(database)


async def test_an_error_within_undoes_all(database: Database) -> None:
    """Whatever it is; and who was cancelled leaves no lock and no connection behind."""
    with pytest.raises(KeyError):
        await _write(database, None)
    inside = asyncio.Event()

    async def hang() -> None:
        async with database.direct() as tx:
            await tx.execute(insert(ImportedLine), LINE)
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5), database.direct() as tx:
        await tx.execute(insert(ImportedLine), LINE)
    assert (1, 0) == (await _lines(database), database.connections()["in_use"])


@on_postgresql
async def test_cancelled_in_the_middle_of_a_statement(database: Database) -> None:
    """The statement ends, and its connection serves the next."""
    for _ in range(20):  # more than there are connections
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), database.direct() as tx:
                await tx.execute(text("SELECT pg_sleep(60)"))
    async with database.direct() as tx:
        assert 1 == await tx.scalar(select(literal(1)))
    assert 0 == database.connections()["in_use"]


@on_postgresql
async def test_the_server_ends_the_connection(database: Database) -> None:
    """Within a transaction that is told as the database's absence; before one nobody notices."""
    async with database.direct() as tx:
        await tx.execute(select(literal(1)))
    async with database.begin() as other:
        await other.execute(text(END_OTHERS))
    await asyncio.sleep(0.1)
    async with database.direct() as tx:
        assert 1 == await tx.scalar(select(literal(1)))
    with pytest.raises(DatabaseUnavailable):
        await _write(database, text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert (0, 0) == (await _lines(database), database.connections()["in_use"])


@on_postgresql
async def test_a_parameter_without_a_value(database: Database) -> None:
    """It is never taken for NULL."""
    with pytest.raises(KeyError):
        async with database.direct() as tx:
            await tx.execute(text("SELECT :one + 1"), {"other": 1})


async def _write(database: Database, then: Any) -> None:
    """A line, and then this statement, or an error of the caller's own."""
    async with database.direct() as tx:
        await tx.execute(insert(ImportedLine), LINE)
        if then is None:
            raise KeyError
        await tx.execute(then)


async def _lines(database: Database) -> int:
    async with database.reading() as db:
        return len((await db.execute(select(ImportedLine.digest))).all())


@pytest.mark.parametrize(
    "says", [b"", b"N", b"E\0\0\0\x2eSFATAL\0C57P03\0Mthe database system is starting up"]
)
async def test_a_server_that_hangs_up(says: bytes) -> None:
    """What answers the port and goes away, as while it restarts, is a database that is not there: for every way in."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(says)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        database = Database(f"postgresql+asyncpg://satker@127.0.0.1:{port}/satker")
        for way in (database.direct, database.begin, database.reading):
            with pytest.raises(DatabaseUnavailable):
                async with way():
                    pass
        with pytest.raises(DatabaseUnavailable):
            await Reader(database).fetch(select(literal(1)), {})
        await database.dispose()
