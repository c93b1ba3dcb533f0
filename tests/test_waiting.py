"""PostgreSQL keeps a request waiting: it ends with the request's time, and nothing of it is left behind."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from app.db import Database, DatabaseBusy, DatabaseUnavailable
from app.held import Reader
from app.models import ImportedLine, Klpd
from app.waiting import AGAIN_SECONDS, wait_until
from sqlalchemy import insert, literal, select, text

from tests.conftest import fill_catalog
from tests.service import Service
from tests.test_direct import LINE

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)]
changing = pytest.mark.parametrize("way", [Database.direct, Database.begin])
looking = pytest.mark.parametrize("way", [Database.direct, Database.begin, Database.reading])

Way = Any  # one of Database's

SECONDS = 0.3  # that the request has
LATE = 0.4  # that this machine may be
HELD = select(Klpd.code).where(Klpd.code == "K1").with_for_update()
FREE = select(Klpd.code).where(Klpd.code == "L2").with_for_update()
BACKEND = text("SELECT pg_backend_pid()")
LEFT = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND (state <> 'idle' OR wait_event_type = 'Lock')"
)


@contextmanager
def request(seconds: float = SECONDS) -> Iterator[None]:
    """What runs within waits no longer than this."""
    before = wait_until.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        wait_until.reset(before)


@asynccontextmanager
async def ends(within: float = SECONDS, error: type[Exception] = DatabaseBusy) -> AsyncIterator[None]:
    begun = time.monotonic()
    with request(), pytest.raises(error):
        yield
    assert within - 0.05 < time.monotonic() - begun < within + LATE


async def nothing_left(database: Database, held: int = 0) -> None:
    """No connection in use but these, and no transaction at the server but this one."""
    give_up = time.monotonic() + 5
    while True:
        left = database.connections()["in_use"]
        async with database.reading() as db:
            open_ones = await db.scalar(LEFT)
        if (left, open_ones) == (held, held):
            return
        assert time.monotonic() < give_up, (left, open_ones)
        await asyncio.sleep(0.02)


@changing
async def test_a_row_that_another_transaction_holds(database: Database, way: Way) -> None:
    """Refused in time, as often as there are connections and more; the locks it had are free, and it works again."""
    await fill_catalog(database)
    async with database.begin() as other:
        await other.execute(HELD)

        async def wait() -> None:
            async with ends(), way(database) as tx:
                await tx.execute(FREE)
                await tx.execute(HELD)

        await asyncio.gather(*(wait() for _ in range(20)))
        await nothing_left(database, held=1)
        with request():
            async with way(database) as tx:
                assert 1 == len((await tx.execute(FREE)).all())
    with request():
        async with way(database) as tx:
            assert 1 == len((await tx.execute(HELD)).all())
    await nothing_left(database)


@looking
async def test_a_statement_that_takes_long(database: Database, way: Way) -> None:
    """It ends at the server as well."""
    async with ends(), way(database) as db:
        await db.execute(text("SELECT pg_sleep(60)"))
    await nothing_left(database)


@looking
async def test_all_connections_are_in_use(database_url: str, way: Way) -> None:
    """Whoever waits for one leaves in time, and takes none along."""
    database = Database(database_url, pool_size=2)
    async with database.reading(), database.reading():
        for _ in range(3):
            async with ends(), way(database):
                raise AssertionError("there was one")
        async with ends():
            await Reader(database).fetch(select(literal(1)), {})
        assert 2 == database.connections()["in_use"]
    with request():
        async with way(database) as db:
            assert 1 == await db.scalar(select(literal(1)))
    assert 0 == database.connections()["in_use"]
    await database.dispose()


@looking
async def test_in_the_order_in_which_they_come(database_url: str, way: Way) -> None:
    """Who gives a connection back and wants one again comes after those who wait."""
    database = Database(database_url, pool_size=1)
    came: list[int] = []

    async def come(n: int, times: int) -> None:
        for _ in range(times):
            async with way(database) as db:
                came.append(n)
                await db.execute(select(literal(n)))

    async with asyncio.timeout(30):
        await asyncio.gather(*(come(n, 10) for n in range(4)))
    assert [0, 1, 2, 3] * 10 == came
    await database.dispose()


@looking
async def test_a_server_that_goes_silent(database_url: str, way: Way) -> None:
    """Its word on the cancellation is not waited for, and another connection takes the place of that one."""
    database = Database(database_url, pool_size=1)
    stopped = []
    try:
        async with ends(SECONDS + AGAIN_SECONDS), way(database) as db:
            stopped.append(await db.scalar(BACKEND))
            os.kill(stopped[0], signal.SIGSTOP)
            await db.execute(select(literal(1)))
        with request(5):
            async with way(database) as db:
                assert stopped != [await db.scalar(BACKEND)]
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert 0 == database.connections()["in_use"]
    await database.dispose()


@changing
async def test_a_commit_that_takes_long(database: Database, way: Way) -> None:
    """It is waited for: whether it happened would not be known."""
    async with database.begin() as tx:
        await tx.execute(
            text(
                "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep(0.8); RETURN NULL; END $$"
            )
        )
        await tx.execute(
            text(
                "CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON imported_line DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION dawdle()"
            )
        )
    begun = time.monotonic()
    with request():
        async with way(database) as tx:
            await tx.execute(insert(ImportedLine), LINE)
    assert 0.8 < time.monotonic() - begun
    async with database.reading() as db:
        assert ["d"] == (await db.scalars(select(ImportedLine.digest))).all()


@changing
async def test_waiting_outside_of_a_request(database: Database, way: Way) -> None:
    """As long as it takes: an operator's command, a round of settling."""
    await fill_catalog(database)
    holding = asyncio.Event()

    async def hold() -> None:
        async with database.begin() as other:
            await other.execute(HELD)
            holding.set()
            await asyncio.sleep(2 * SECONDS)

    other = asyncio.create_task(hold())
    await holding.wait()
    async with way(database) as tx:
        assert 1 == len((await tx.execute(HELD)).all())
    await other


@looking
async def test_leaving_before_the_time_is_over(database: Database, way: Way) -> None:
    """Who is cancelled is not told that the database is busy."""

    async def wait() -> None:
        with request(60):
            async with way(database) as db:
                await db.execute(text("SELECT pg_sleep(60)"))

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await nothing_left(database)


async def test_a_read_of_what_another_transaction_holds(database: Database) -> None:
    """The time that is left counts where it is shorter than a read's own."""
    await fill_catalog(database)
    async with database.begin() as other:
        await other.execute(text("LOCK TABLE klpd IN ACCESS EXCLUSIVE MODE"))
        async with ends(error=DatabaseUnavailable):
            await Reader(database).fetch(select(Klpd.code), {})


async def test_sharing_a_read_that_a_request_with_less_time_began(service: Service) -> None:
    """As one read ends, those who came meanwhile go on together: each with a time of its own."""
    satker = await service.add(service.catalog[0])
    database = service.database

    async def read(seconds: float) -> str:
        with request(seconds):
            return str((await service.context.lookup.get("pp-1", satker)).id)

    async def lock(seconds: float) -> None:
        async with database.begin() as tx:
            await tx.execute(text("LOCK TABLE access IN ACCESS EXCLUSIVE MODE"))
            await asyncio.sleep(seconds)

    # PostgreSQL lets everybody have a lock in the order in which they came.
    steps = [lock(0.3), read(0.6), lock(0.8), read(30), read(30)]
    doing = []
    for step in steps:
        doing.append(asyncio.create_task(step))
        await asyncio.sleep(0.05)
    assert [None, satker, None, satker, satker] == await asyncio.gather(*doing)
