"""The state of a satker's mapping, read on every purchase click: the hot path.

Reads that arrive while another is under way share the next statement, which costs hardly more than one and gives 2.2
times the throughput; a read that comes alone goes at once. None joins a statement that has begun, so each sees
everything that was committed before it arrived.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, Text, and_, any_, bindparam, select

from app.db import Database, DatabaseUnavailable
from app.held import HeldConnection
from app.models import Access, Attempt, PpSatker
from app.problems import SatkerNotFound
from app.satker.view import IS_LIVE, STATUS

MOST = 200  # satkers a statement


class Found(NamedTuple):
    """A PP's satker and the state of its mapping; the company is there whenever it is mapped, whoever asks."""

    id: str
    pp_id: str
    last_failure_code: str | None
    last_failure_at: datetime | None
    status: str
    company_id: str | None
    company_name: str | None
    via: str | None
    granted_at: datetime | None


# In the order of Found.
_LOOKUP = (
    select(
        PpSatker.id,
        PpSatker.pp_id,
        PpSatker.last_failure_code,
        PpSatker.last_failure_at,
        STATUS.label("status"),
        Attempt.company_id,
        Attempt.company_name,
        Access.via,
        Access.granted_at,
    )
    .select_from(PpSatker)
    .outerjoin(Attempt, and_(Attempt.catalog_id == PpSatker.catalog_id, IS_LIVE))
    .outerjoin(Access, and_(Access.satker_id == PpSatker.id, Access.attempt_id == Attempt.id))
)
# One statement for any number of ids, so that PostgreSQL plans it once a connection.
_BY_ARRAY = _LOOKUP.where(PpSatker.id == any_(bindparam("ids", type_=ARRAY(Text))))
_BY_LIST = _LOOKUP.where(PpSatker.id.in_(bindparam("ids", expanding=True)))

Waiting = tuple[str, "asyncio.Future[Found | None]"]


class Lookup:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._held = None if database.is_sqlite else HeldConnection(database.engine, _BY_ARRAY)
        self._under_way = False
        self._waiting: list[Waiting] = []
        self._batch: asyncio.Task[None] | None = None

    async def get(self, pp_id: str, satker_id: str) -> Found:
        """Raises SatkerNotFound, for another PP's satker too."""
        if "\0" in satker_id:
            raise SatkerNotFound
        row = await (self._share(satker_id) if self._under_way else self._read_alone(satker_id))
        if row is None or row.pp_id != pp_id:
            raise SatkerNotFound
        return row

    async def _read_alone(self, satker_id: str) -> Found | None:
        self._under_way = True
        try:
            return (await self._fetch([satker_id])).get(satker_id)
        except DatabaseUnavailable as error:
            self._fail_waiting(error)
            raise
        finally:  # also when the caller was cancelled: those who wait go on
            self._go_on()

    async def _share(self, satker_id: str) -> Found | None:
        answer: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((satker_id, answer))
        return await answer

    def _go_on(self) -> None:
        self._under_way = bool(self._waiting)
        if self._waiting:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            self._batch = asyncio.get_running_loop().create_task(self._read(batch))

    async def _read(self, batch: list[Waiting]) -> None:
        try:
            await self._answer(batch)
        finally:
            self._go_on()

    async def _answer(self, batch: list[Waiting]) -> None:
        try:
            rows = await self._fetch([satker_id for satker_id, _ in batch])
        except DatabaseUnavailable as error:
            _fail(batch, error)
            self._fail_waiting(error)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to whoever caused it
            if len(batch) == 1:
                _fail(batch, error)
                return
            for one in batch:
                await self._answer([one])
        else:
            for satker_id, answer in batch:
                if not answer.done():  # a caller who went away
                    answer.set_result(rows.get(satker_id))

    def _fail_waiting(self, error: DatabaseUnavailable) -> None:
        """Who came meanwhile would only wait as long for the same, one statement after another."""
        waiting, self._waiting = self._waiting, []
        _fail(waiting, error)

    async def _fetch(self, ids: list[str]) -> dict[str, Found]:
        return {row[0]: Found(*row) for row in await self._rows(ids)}

    async def _rows(self, ids: list[str]) -> Iterable[Sequence[Any]]:
        if self._held:  # one statement is under way at any time, so one connection is enough
            return await self._held.fetch(ids)
        async with self._database.reading() as db:
            return (await db.execute(_BY_LIST, {"ids": ids})).all()

    async def aclose(self) -> None:
        if self._held:
            await self._held.aclose()


def _fail(waiting: Iterable[Waiting], error: Exception) -> None:
    for _, answer in waiting:
        if not answer.done():
            answer.set_exception(error)
