"""The hot path: reads that share a statement are each as true as one alone."""

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest
from app.db import DatabaseUnavailable
from app.held import MOST_SECONDS
from app.mapping.lookup import MOST
from app.problems import SatkerNotFound
from sqlalchemy import text

from tests.canary import PASSWORD
from tests.conftest import fill_catalog
from tests.service import Service, pp, running, statements_of

pytestmark = pytest.mark.anyio

END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid <> pg_backend_pid() AND datname = current_database()"
)


async def test_many_reads_at_once_share_statements(service: Service) -> None:
    """Of 50 reads at once one goes alone, and the others together; each gets its own satker."""
    ids = [await service.add(catalog_id) for catalog_id in service.catalog]
    seen = statements_of(service)
    wanted = [ids[number % len(ids)] for number in range(50)]
    rows = await asyncio.gather(*(service.context.lookup.get("pp-1", satker) for satker in wanted))
    await asyncio.sleep(0)
    assert wanted == [row.id for row in rows]
    assert 2 == len(seen)


async def test_more_reads_than_a_statement_takes(service: Service) -> None:
    """What does not fit into one statement goes into the next."""
    satker = await service.add(service.catalog[0])
    reads = (service.context.lookup.get("pp-1", satker) for _ in range(2 * MOST + 10))
    assert {satker} == {row.id for row in await asyncio.gather(*reads)}


async def test_reading_ones_own_write_while_others_read(service: Service) -> None:
    """A link and its end are seen by the next read, however many reads are under way."""
    await service.make_account("budi@lain.example", "PT Budi")
    satker = await service.add(service.catalog[0])
    path = f"/v1/satkers/{satker}/mapping"
    body = {"email": "budi@lain.example", "password": PASSWORD}
    stop = asyncio.Event()

    async def read_on() -> None:
        while not stop.is_set():
            await service.context.lookup.get("pp-1", satker)

    others = [asyncio.create_task(read_on()) for _ in range(8)]
    statuses = []
    for _ in range(5):
        await service.http.post(f"{path}/login", json=body)
        statuses.append((await service.http.get(path)).json()["status"])
        await service.http.delete(path)
        statuses.append((await service.http.get(path)).json()["status"])
    stop.set()
    await asyncio.gather(*others)
    assert ["mapped", "unmapped"] * 5 == statuses


async def test_another_pps_satker_in_the_same_statement(service: Service) -> None:
    """Sharing a statement shows nobody what is another's."""
    mine = await service.add(service.catalog[0])
    theirs = await service.add(service.catalog[1], headers=pp(2))
    lookup = service.context.lookup
    answers = await asyncio.gather(
        lookup.get("pp-1", mine),
        lookup.get("pp-1", theirs),
        lookup.get("pp-2", theirs),
        lookup.get("pp-1", "\0"),
        return_exceptions=True,
    )
    kinds = [type(answer) if isinstance(answer, Exception) else answer.id for answer in answers]
    assert [mine, SatkerNotFound, theirs, SatkerNotFound] == kinds


async def test_a_failing_statement_hurts_only_who_caused_it(service: Service) -> None:
    """When a shared statement fails, its reads are tried one by one."""
    satker = await service.add(service.catalog[0])
    bad = "\ud800"  # no driver can encode it, and no server lets it through
    reads = [service.context.lookup.get("pp-1", wanted) for wanted in (satker, satker, bad, satker)]
    answers = await asyncio.gather(*reads, return_exceptions=True)
    assert [satker, satker, None, satker] == [getattr(answer, "id", None) for answer in answers]
    assert isinstance(answers[2], asyncpg.DataError | UnicodeEncodeError)
    assert satker == (await service.context.lookup.get("pp-1", satker)).id


async def test_reading_what_another_replica_wrote(database_url: str, tmp_path: Path) -> None:
    """A link or an unlink by one process is seen by the next read of the other: nothing is remembered."""
    (tmp_path / "other").mkdir()
    async with running(database_url, tmp_path) as one, running(database_url, tmp_path / "other") as other:
        one.catalog = await fill_catalog(one.database)
        await one.make_account("budi@lain.example", "PT Budi")
        path = f"/v1/satkers/{await one.add(one.catalog[0])}/mapping"
        statuses = [(await other.http.get(path)).json()["status"]]
        for _ in range(3):
            body = {"email": "budi@lain.example", "password": PASSWORD}
            assert 201 == (await one.http.post(f"{path}/login", json=body)).status_code
            statuses.append((await other.http.get(path)).json()["status"])
            assert 204 == (await one.http.delete(path)).status_code
            statuses.append((await other.http.get(path)).json()["status"])
    assert ["unmapped", *["mapped", "unmapped"] * 3] == statuses


async def test_reading_after_the_connection_was_lost(service: Service) -> None:
    """The connection that the reads hold is replaced as soon as the server has closed it."""
    satker = await service.add(service.catalog[0])
    assert satker == (await service.context.lookup.get("pp-1", satker)).id
    if not service.database.is_sqlite:
        async with service.database.reading() as db:
            assert (await db.execute(text(END_OTHERS))).all()
        await asyncio.sleep(0.1)
    assert satker == (await service.context.lookup.get("pp-1", satker)).id


async def test_a_server_that_goes_silent(database_url: str, tmp_path: Path) -> None:
    """Nobody waits longer than for one statement, also who came while it hung; then reads go on."""
    async with running(database_url, tmp_path) as service:
        if service.database.is_sqlite:
            pytest.skip("there is no server")
        service.catalog = await fill_catalog(service.database)
        satker = await service.add(service.catalog[0])
        lookup = service.context.lookup
        assert satker == (await lookup.get("pp-1", satker)).id
        begun = time.monotonic()
        async with service.database.begin() as tx:
            await tx.execute(text("LOCK TABLE access IN ACCESS EXCLUSIVE MODE"))
            reads = [asyncio.create_task(lookup.get("pp-1", satker)) for _ in range(MOST + 5)]
            answers = await asyncio.gather(*reads, return_exceptions=True)
        assert MOST_SECONDS <= time.monotonic() - begun < 2 * MOST_SECONDS
        assert {DatabaseUnavailable} == {type(answer) for answer in answers}
        assert satker == (await lookup.get("pp-1", satker)).id
        assert 1 == service.database.engine.pool.checkedout()  # type: ignore[attr-defined]


async def test_a_server_that_restarts_under_reads(database_url: str, tmp_path: Path) -> None:
    """A read that finds its connection dead is done again on a new one: no caller hears of it."""
    async with running(database_url, tmp_path) as service:
        if service.database.is_sqlite:
            pytest.skip("there is no server")
        service.catalog = await fill_catalog(service.database)
        satker = await service.add(service.catalog[0])
        lookup = service.context.lookup

        async def read_on() -> None:
            for _ in range(60):
                assert satker == (await lookup.get("pp-1", satker)).id
                await asyncio.sleep(0.01)

        async def end_connections() -> None:
            for _ in range(3):
                await asyncio.sleep(0.15)
                async with service.database.reading() as db:
                    assert (await db.execute(text(END_OTHERS))).all()

        await asyncio.gather(end_connections(), *(read_on() for _ in range(8)))


async def test_a_database_that_is_away(database_url: str, tmp_path: Path) -> None:
    """A read says so, and the next one works again once the tables are there."""
    async with running(database_url, tmp_path) as service:
        service.catalog = await fill_catalog(service.database)
        satker = await service.add(service.catalog[0])
        for name, other in (("access", "away"), ("away", "access")):
            async with service.database.begin() as tx:
                await tx.execute(text(f"ALTER TABLE {name} RENAME TO {other}"))
            status = (await service.http.get(f"/v1/satkers/{satker}/mapping")).status_code
            assert (503 if other == "away" else 200) == status


async def test_a_caller_who_goes_away_leaves_nothing_held(service: Service) -> None:
    """Cancelled reads, alone or sharing, give back their connection and let the others go on."""
    satker = await service.add(service.catalog[0])
    for _ in range(30):
        reads = [asyncio.create_task(service.context.lookup.get("pp-1", satker)) for _ in range(6)]
        await asyncio.sleep(0)
        for read in reads[::2]:
            read.cancel()
        answers = await asyncio.gather(*reads, return_exceptions=True)
        assert [satker] * 3 == [row.id for row in answers[1::2] if not isinstance(row, BaseException)]
    assert satker == (await asyncio.wait_for(service.context.lookup.get("pp-1", satker), 5)).id
