"""A transaction past SQLAlchemy's execution, for what is written all the time: a third of the CPU of each statement.

SQLAlchemy still words the statements and keeps the connections; asyncpg runs them, and what it says no with is
translated where everything of the database is (app/db.py).
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Self, cast

from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql.base import Executable

from app.aio import AsyncConnection, AsyncEngine
from app.waiting import Limit
from app.wording import AnyRow, Values, Write, together, word

UNDO_SECONDS = 3.0  # for a ROLLBACK, which takes none: a server that has gone silent loses the connection


class Rows:
    """What a statement gave: of SQLAlchemy's result what is used here."""

    def __init__(self, rows: Sequence[AnyRow], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[AnyRow]:
        return iter(self._rows)

    def all(self) -> Sequence[AnyRow]:
        return self._rows

    def one(self) -> AnyRow:
        (row,) = self._rows
        return row

    def one_or_none(self) -> AnyRow | None:
        return self.one() if self._rows else None


class Direct:
    """A transaction on PostgreSQL: committed at the end of the block, undone by whatever ends it before.

    `limit` may end anything but the COMMIT, whose outcome would not be known.
    """

    def __init__(self, engine: AsyncEngine, limit: Limit) -> None:
        self._engine = engine
        self._limit = limit
        self.dialect = engine.dialect

    async def __aenter__(self) -> Self:
        self._held = await _open_one(self._engine)
        self._driver: Any = cast(Any, self._held.driver_connection)
        try:
            await self._driver.execute("BEGIN")
        except BaseException:
            self._held.invalidate()
            raise
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            await asyncio.shield(self._undo())  # also for a caller who was cancelled: the locks must go
            return
        self._limit.lift()
        try:
            await self._driver.execute("COMMIT")
        except BaseException:
            self._held.invalidate()
            raise
        self._held.close()

    async def _undo(self) -> None:
        try:
            await self._driver.execute("ROLLBACK", timeout=UNDO_SECONDS)
        except Exception:  # noqa: BLE001 - without its connection the transaction is undone as well
            self._held.invalidate()
        else:
            self._held.close()

    async def execute(self, statement: Executable, values: Values | None = None) -> Rows:
        """`values` of the statement's parameters. A statement that is made once is worded once."""
        values = values or {}
        worded = word(self.dialect, statement, tuple(values))
        arguments = worded.arguments(values)
        if worded.row is None:
            said: str = await self._driver.execute(worded.sql, *arguments)
            return Rows((), int(said.rpartition(" ")[2]))
        rows = await self._driver.fetch(worded.sql, *arguments)
        return Rows(list(map(worded.row, rows)), len(rows))

    async def write(self, *writes: Write) -> None:
        """All of them in one round trip: one statement, in which a constraint of any says no to all."""
        if writes:
            sql, arguments = together(self.dialect, writes)
            await self._driver.execute(sql, *arguments)

    async def scalar(self, statement: Executable, values: Values | None = None) -> Any:
        """The first column of the first row, None without one."""
        rows = (await self.execute(statement, values)).all()
        return rows[0][0] if rows else None


Tx = AsyncConnection | Direct


async def _open_one(engine: AsyncEngine) -> PoolProxiedConnection:
    """A connection of the pool; one that the server has closed meanwhile is replaced."""
    while True:
        held = await engine.raw_connection()
        driver: Any = held.driver_connection
        if not driver.is_closed():
            return held
        held.invalidate()
