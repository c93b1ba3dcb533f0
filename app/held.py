"""One connection for one read that is asked all the time: past SQLAlchemy's pool and execution, a fifth of the CPU."""

import asyncio
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection

from app.db import RECYCLE_SECONDS, AnySelect, DatabaseUnavailable, translated

MOST_SECONDS = 3.0  # for a statement of a millisecond: a server that has gone silent must not hold everybody


class HeldConnection:
    """A connection of a PostgreSQL engine, for one statement by one caller at a time.

    A connection that was lost, that is old, or whose read failed, hung or was cancelled is not used again. A read that
    finds its connection dead is done once more on a new one: it changes nothing, and a restarted or promoted server
    should not show.
    """

    def __init__(self, engine: AsyncEngine, statement: AnySelect) -> None:
        self._engine = engine
        self._sql = str(statement.compile(dialect=engine.dialect))
        self._held: PoolProxiedConnection | None = None
        self._old_at = 0.0
        driver: Any = engine.dialect.loaded_dbapi
        # The last one: the server ended the connection while the driver was about to use it.
        self._failures = (
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            driver.Error,
            asyncpg.InternalClientError,
        )

    async def fetch(self, *values: object) -> list[tuple[Any, ...]]:
        """The rows, for these values of the statement's parameters.

        Raises DatabaseUnavailable, and asyncpg.DataError for values that no server could understand.
        """
        used_before = self._still_good()
        try:
            return await self._fetch_once(values)
        except DatabaseUnavailable as error:
            if not used_before or isinstance(error.__cause__, TimeoutError):
                raise
            return await self._fetch_once(values)

    async def _fetch_once(self, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            with translated():
                connection = await self._connection()
                rows: list[tuple[Any, ...]] = await connection.fetch(self._sql, *values, timeout=MOST_SECONDS)
            return rows
        except asyncpg.DataError:
            raise
        except self._failures as error:
            self._drop()
            raise DatabaseUnavailable(type(error).__name__) from error
        except BaseException:  # cancelled, too: what it was asked may still be on its way
            self._drop()
            raise

    def _still_good(self) -> bool:
        if self._held is None:
            return False
        if self._driver(self._held).is_closed() or asyncio.get_running_loop().time() > self._old_at:
            self._drop()
        return self._held is not None

    async def _connection(self) -> Any:
        if self._held is None:
            self._held = await self._engine.raw_connection()
            self._old_at = asyncio.get_running_loop().time() + RECYCLE_SECONDS
        return self._driver(self._held)

    def _driver(self, held: PoolProxiedConnection) -> Any:
        return held.driver_connection

    def _drop(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.invalidate()

    async def aclose(self) -> None:
        self._drop()
