"""The engine behind await: whoever leaves, and whenever, gives the connection back with nothing done."""

import asyncio

import pytest
from app.db import Database
from app.models import Klpd
from sqlalchemy import func, insert, select

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("cancelled", [1, 2, 3])
async def test_leaving_in_the_middle(database: Database, cancelled: int) -> None:
    """Also for who is cancelled again while the connection is on its way back."""
    written = asyncio.Event()

    async def write() -> None:
        async with database.begin() as tx:
            await tx.execute(insert(Klpd), [{"code": code, "name": code, "search": code} for code in "ab"])
            written.set()
            await asyncio.Event().wait()

    writing = asyncio.create_task(write())
    await written.wait()
    assert 1 == database.connections()["in_use"]
    for _ in range(cancelled):
        writing.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await writing

    assert 0 == database.connections()["in_use"]
    async with database.reading() as db:
        assert 0 == await db.scalar(select(func.count()).select_from(Klpd))


async def test_work_that_does_not_await(database: Database) -> None:
    """It gets the connection of the transaction, and its arguments."""
    async with database.begin() as tx:
        await tx.run_sync(
            lambda sync, code: sync.execute(insert(Klpd).values(code=code, name=code, search=code)), "c"
        )
    async with database.reading() as db:
        assert ["c"] == (await db.scalars(select(Klpd.code))).all()
