"""SQLAlchemy's engine for code that awaits.

What sqlalchemy.ext.asyncio does, as far as it is used here, and without the ORM which that imports: 6 MB of every
process and a tenth of its start.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar, TypeVarTuple, overload

from sqlalchemy import (
    Connection,
    CursorResult,
    Dialect,
    Engine,
    Executable,
    Pool,
    ScalarResult,
    create_engine,
)
from sqlalchemy.engine import URL
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql.selectable import TypedReturnsRows
from sqlalchemy.util import greenlet_spawn

from app.wording import Write

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Values = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


class AsyncConnection:
    """A connection of the pool for the length of an `async with`, whose statements are awaited."""

    def __init__(self, engine: Engine) -> None:
        self.dialect: Dialect = engine.dialect
        self._engine = engine

    async def __aenter__(self) -> Self:
        self.sync_connection: Connection = await greenlet_spawn(self._engine.connect)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await _to_the_end(greenlet_spawn(self.sync_connection.close))

    @overload
    async def execute(self, statement: TypedReturnsRows[*Ts], values: Values = None) -> CursorResult[*Ts]: ...
    @overload
    async def execute(
        self, statement: Executable, values: Values = None
    ) -> CursorResult[*tuple[Any, ...]]: ...
    async def execute(self, statement: Executable, values: Values = None) -> CursorResult[*tuple[Any, ...]]:
        """What the statement gave, all of it: reading it awaits nothing."""
        result = await greenlet_spawn(self.sync_connection.execute, statement, values)
        if result.cursor is not None:
            # SQLite's would be closed while its rows are read, where nothing can be awaited.
            await result.cursor._async_soft_close()
        return result

    async def write(self, *writes: Write) -> None:
        """One after the other."""
        for statement, values in writes:
            await self.execute(statement, values)

    @overload
    async def scalar(self, statement: TypedReturnsRows[T], values: Values = None) -> T | None: ...
    @overload
    async def scalar(self, statement: Executable, values: Values = None) -> Any: ...
    async def scalar(self, statement: Executable, values: Values = None) -> Any:
        """The first column of the first row, None without one."""
        return (await self.execute(statement, values)).scalar()

    @overload
    async def scalars(
        self, statement: TypedReturnsRows[T, *tuple[Any, ...]], values: Values = None
    ) -> ScalarResult[T]: ...
    @overload
    async def scalars(self, statement: Executable, values: Values = None) -> ScalarResult[Any]: ...
    async def scalars(self, statement: Executable, values: Values = None) -> ScalarResult[Any]:
        """The first column of each row."""
        return (await self.execute(statement, values)).scalars()

    async def run_sync(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """What is written for a connection that does not await."""
        return await greenlet_spawn(work, self.sync_connection, *arguments)


class AsyncEngine:
    """An engine whose driver awaits."""

    def __init__(self, sync_engine: Engine) -> None:
        self.sync_engine = sync_engine
        self.dialect: Dialect = sync_engine.dialect

    @property
    def pool(self) -> Pool:
        return self.sync_engine.pool

    def execution_options(self, **options: Any) -> "AsyncEngine":
        return AsyncEngine(self.sync_engine.execution_options(**options))

    def connect(self) -> AsyncConnection:
        return AsyncConnection(self.sync_engine)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end of the block."""
        async with self.connect() as connection, _Transaction(connection.sync_connection):
            yield connection

    async def raw_connection(self) -> PoolProxiedConnection:
        return await greenlet_spawn(self.sync_engine.raw_connection)

    async def dispose(self) -> None:
        await greenlet_spawn(self.sync_engine.dispose)


def create_async_engine(url: str | URL, **options: Any) -> AsyncEngine:
    return AsyncEngine(create_engine(url, **options))


class _Transaction:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> None:
        self._transaction = await greenlet_spawn(self._connection.begin)
        self._transaction.__enter__()

    async def __aexit__(self, *error: Any) -> None:
        await greenlet_spawn(self._transaction.__exit__, *error)


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Also for a caller who is cancelled meanwhile: a connection that is halfway back would be lost to the pool."""
    task = asyncio.create_task(work)
    cancelled = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.done():
                raise
            cancelled = error
    if cancelled is not None:
        raise cancelled
