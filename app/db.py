"""The way into the database: one engine a process, transactions, reads, and what a refusal means."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

import aiosqlite
import asyncpg
from sqlalchemy import MetaData, Select, event
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from app.aio import AsyncConnection, AsyncEngine, create_async_engine
from app.direct import Direct, Tx
from app.hosts import Hosts, address
from app.waiting import Limit, OutOfTime, wait_until
from app.wording import AnyRow

__all__ = ["AnyRow", "Tx"]

SCHEMA = (
    "0002"  # the newest migration; a test holds the two together, so that serving need not import alembic
)

RECYCLE_SECONDS = 1800  # a connection's age: behind a name there may be another server by now

# SQLite lets one write at a time, and whoever waits inside it looks ever more rarely whether it is their turn: under
# load some starved for seconds behind those who came later. So the writers of a process queue here, in the order in
# which they come, and inside SQLite is waited for other processes alone: a little at a time, so that it looks often.
LOCK_SECONDS = 5.0  # that a writer waits
BUSY_MS = 100

POOL_SIZE = 16
HELD = 4  # of them are app/held.py's, which keeps them
POOL_SECONDS = 5.0  # that anybody waits for a connection

# Selects whose rows' columns are reached by name, as those of AnyRow are.
AnySelect = Select[*tuple[Any, ...]]


class DatabaseUnavailable(Exception):
    """The database cannot be used now: away, full, locked for too long, or without its tables."""


class DatabaseBusy(DatabaseUnavailable):
    """Others kept what this needs, a lock or all connections, for as long as it could wait."""


class Conflict(Exception):
    """A constraint said no; `name` is that constraint's. The transaction changed nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class _Room(asyncio.Semaphore):
    """Whoever may have a connection, in the order in which they come.

    In the pool's own queue one who has just come takes what another was woken for, who goes to its end: under load
    the slowest of a hundred took thrice as long.
    """

    async def __aenter__(self) -> None:
        try:
            async with asyncio.timeout(POOL_SECONDS) if self.locked() else nullcontext():
                await self.acquire()
        except TimeoutError:
            raise DatabaseBusy from None


class Database:
    """An engine with the two ways in: `begin` to change (a transaction), `reading` to look (none)."""

    def __init__(self, url: str, *, pool_size: int = POOL_SIZE) -> None:
        self.is_sqlite = url.startswith("sqlite")
        self.engine = _sqlite(url) if self.is_sqlite else _postgresql(url, pool_size)
        self._room = _Room(pool_size - HELD if pool_size > HELD else pool_size)
        self._writer = asyncio.Lock()
        # Single statements need no transaction: on PostgreSQL that saves two round trips, on SQLite the lock.
        reads = {"reads_only": True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._reads = self.engine.execution_options(**reads)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end of the block. Raises Conflict, DatabaseUnavailable."""
        with translated():
            if self.is_sqlite:
                async with self._turn(), self.engine.begin() as tx:
                    yield tx
                return
            with Limit() as limit:
                async with self._room, self.engine.begin() as tx:
                    yield tx
                    limit.lift()  # a COMMIT that was cut may have happened: it is waited for

    @asynccontextmanager
    async def direct(self) -> AsyncIterator[Tx]:
        """The same for what is written all the time, with the little of a connection that app/direct.py has."""
        if self.is_sqlite:
            async with self.begin() as tx:
                yield tx
            return
        with driver_translated(), Limit() as limit:
            async with self._room, Direct(self.engine, limit) as direct:
                yield direct

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_give_up() - time.monotonic()):
                await self._writer.acquire()
        except TimeoutError:
            raise DatabaseBusy from None
        try:
            yield
        finally:
            self._writer.release()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reads that are each true by themselves. Raises DatabaseUnavailable."""
        with translated():
            if self.is_sqlite:
                async with self._reads.connect() as connection:
                    yield connection
                return
            with Limit():
                async with self._room, self._reads.connect() as connection:
                    yield connection

    def connections(self) -> dict[str, int]:
        """How many are in use and idle now, and how many there may be."""
        pool = self.engine.pool
        if not isinstance(pool, QueuePool):  # an SQLite in memory
            return {}
        return {
            "in_use": pool.checkedout(),
            "idle": pool.checkedin(),
            "most": pool.size() + pool._max_overflow,
        }

    async def dispose(self) -> None:
        await self.engine.dispose()


def _by_transaction(place: URL) -> bool:
    """Whether what stands between us and the server may give each transaction to another backend, which knows of no
    statement prepared before and of no setting."""
    return place.query.get("prepared_statement_cache_size") == "0"


def _postgresql(url: str, pool_size: int) -> AsyncEngine:
    place = address(url)
    how: dict[str, Any] = {"async_creator_fn": Hosts(one_plan=not _by_transaction(place)).connect}
    if "target_session_attrs" not in place.query:
        # One that only reads would answer every change with an error for as long as its connections live.
        how["target_session_attrs"] = "read-write"
    if _by_transaction(place):
        how["statement_cache_size"] = 0
    return create_async_engine(
        place,
        hide_parameters=True,
        connect_args=how,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        pool_recycle=RECYCLE_SECONDS,
    )


def _sqlite(url: str) -> AsyncEngine:
    engine = create_async_engine(url, hide_parameters=True, connect_args={"async_creator_fn": _open_sqlite})
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


async def _open_sqlite(*place: Any, **how: Any) -> aiosqlite.Connection:
    connection = aiosqlite.connect(*place, **how)
    connection._thread.daemon = True  # as SQLAlchemy has it for those that it opens itself
    try:
        return await connection
    except BaseException:
        # Of a file that does not open it is left running, and complains on stderr when it outlives the loop.
        await asyncio.to_thread(connection._thread.join)
        raise


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would otherwise begin late and let savepoints leak
    cursor = connection.cursor()
    # Opening is waited for longer: after a crash, whoever comes first repairs the file.
    opening = ("busy_timeout=5000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
    for pragma in (*opening, f"busy_timeout={BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get("reads_only"):
        return
    give_up = _give_up()
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            return
        except OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= give_up:
                raise


def _give_up() -> float:
    """Until when a writer that comes now waits."""
    soon = time.monotonic() + LOCK_SECONDS
    return min(soon, wait_until.get(soon))


def _is_busy(error: DBAPIError) -> bool:
    code: int = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF == sqlite3.SQLITE_BUSY  # the rest of it says what with


_NO_SUCH_TABLE = "42P01"  # PostgreSQL's; SQLite calls it an OperationalError


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise Conflict(_constraint(error)) from None
    except (ProgrammingError, DataError) as error:
        if getattr(error.orig, "sqlstate", None) == _NO_SUCH_TABLE:
            raise DatabaseUnavailable("without its tables") from error
        raise
    except (PoolTimeout, OutOfTime) as error:
        raise DatabaseBusy from error
    except (DBAPIError, OSError) as error:
        if isinstance(error, DBAPIError) and _is_busy(error):
            raise DatabaseBusy from error
        raise DatabaseUnavailable(type(error).__name__) from error


_DRIVER_FAILURES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server ended the connection while the driver was about to use it
    AsyncAdapt_asyncpg_dbapi.Error,  # the pool found a server that was no longer there, or not yet
)


@contextmanager
def driver_translated() -> Iterator[None]:
    """The same, where the driver is asked without SQLAlchemy's execution; connecting is still its pool's."""
    try:
        with translated():
            yield
    except asyncpg.IntegrityConstraintViolationError as error:
        raise Conflict(error.constraint_name or str(error)) from None
    except asyncpg.UndefinedTableError as error:
        raise DatabaseUnavailable("without its tables") from error
    except (asyncpg.SyntaxOrAccessError, asyncpg.DataError):
        raise
    except _DRIVER_FAILURES as error:
        raise DatabaseUnavailable(type(error).__name__) from error


def _constraint(error: IntegrityError) -> str:
    """The constraint's name: PostgreSQL tells it, SQLite tells the columns."""
    name = getattr(error.orig and error.orig.__cause__, "constraint_name", None)
    if name:
        return str(name)
    _, _, columns = str(error.orig).partition("UNIQUE constraint failed: ")
    return _UNIQUE.get(columns, str(error.orig))


_UNIQUE: dict[str, str] = {}


def name_unique(metadata: MetaData) -> None:
    """Learn which columns each unique index of the schema is over, for SQLite's way of saying no."""
    for table in metadata.tables.values():
        for index in table.indexes:
            if index.unique:
                _UNIQUE[", ".join(f"{table.name}.{column.name}" for column in index.columns)] = str(
                    index.name
                )
