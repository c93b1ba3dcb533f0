"""Reads of one statement each: on PostgreSQL past SQLAlchemy's pool and execution, which takes a fifth of the CPU."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy.pool import PoolProxiedConnection

from app.db import HELD, RECYCLE_SECONDS, AnyRow, AnySelect, Database, DatabaseUnavailable, driver_translated
from app.waiting import Limit, seconds_left
from app.wording import Values, word

MOST_SECONDS = 3.0  # for a statement of a millisecond: a server that has gone silent must not hold everybody
LEAST_SECONDS = 0.2  # who could not write any more still reads what to answer


class _Held(NamedTuple):
    proxy: PoolProxiedConnection
    driver: Any
    old_at: float


class Reader:
    """Reads, each true by itself. Every statement is made once and kept, with parameters that are bound by name.

    A connection that was lost, that is old, or whose read failed, hung or was cancelled is not used again. A read that
    finds its connection dead is done once more on a new one: it changes nothing, and a restarted or promoted server
    should not show.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.takes_arrays = not database.is_sqlite
        self._free: list[_Held] = []  # the last one used is the next one
        self._room = asyncio.Semaphore(HELD)

    async def fetch(self, statement: AnySelect, values: Values) -> Sequence[AnyRow]:
        """The rows, whose columns are reached by name.

        Raises DatabaseUnavailable, and asyncpg.DataError for values that no server could understand.
        """
        if self._database.is_sqlite:
            async with self._database.reading() as db:
                return (await db.execute(statement, values)).all()
        worded = word(self._database.engine.dialect, statement, tuple(values))
        if self._room.locked():
            with driver_translated(), Limit(LEAST_SECONDS):
                await self._room.acquire()
        else:
            await self._room.acquire()
        try:
            rows = await self._fetch(worded.sql, worded.arguments(values))
        finally:
            self._room.release()
        return list(map(worded.row, rows)) if worded.row else []

    async def _fetch(self, sql: str, arguments: Sequence[object]) -> list[Sequence[Any]]:
        held = self._take()
        if held is not None:
            try:
                return await self._use(held, sql, arguments)
            except DatabaseUnavailable as error:
                if isinstance(error.__cause__, TimeoutError):
                    raise
                await self.aclose()  # most likely the others are dead as well
        return await self._use(await self._connect(), sql, arguments)

    async def _use(self, held: _Held, sql: str, arguments: Sequence[object]) -> list[Sequence[Any]]:
        try:
            rows = await _ask(held, sql, arguments)
        except asyncpg.DataError:
            self._free.append(held)
            raise
        self._free.append(held)
        return rows

    def _take(self) -> _Held | None:
        while self._free:
            held = self._free.pop()
            if not held.driver.is_closed() and asyncio.get_running_loop().time() < held.old_at:
                return held
            held.proxy.invalidate()
        return None

    async def _connect(self) -> _Held:
        with driver_translated(), Limit(LEAST_SECONDS):
            proxy = await self._database.engine.raw_connection()
        return _Held(proxy, proxy.driver_connection, asyncio.get_running_loop().time() + RECYCLE_SECONDS)

    async def aclose(self) -> None:
        """Lets go of the connections that are not in use. Who reads afterwards gets a new one."""
        free, self._free = self._free, []
        for held in free:
            held.proxy.invalidate()


async def _ask(held: _Held, sql: str, arguments: Sequence[object]) -> list[Sequence[Any]]:
    left = seconds_left(LEAST_SECONDS)
    most = MOST_SECONDS if left is None else min(MOST_SECONDS, left)
    try:
        with driver_translated():
            rows: list[Sequence[Any]] = await held.driver.fetch(sql, *arguments, timeout=most)
    except asyncpg.DataError:
        raise
    except BaseException:  # cancelled, too: what it was asked may still be on its way
        held.proxy.invalidate()
        raise
    return rows
