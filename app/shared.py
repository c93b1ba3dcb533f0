"""Budgets that replicas share, counted in Redis. The only user of the library for it, which a server without Redis
need not import.
"""

import asyncio
import math
import time
from typing import Any

import structlog
from limits.aio.storage import RedisStorage
from limits.errors import StorageError
from redis.asyncio import ConnectionPool

from app.budgets import MINUTE, Memory, Storage

AWAY = 5.0  # seconds that a Redis which did not answer is left alone
SAY_EVERY = 60.0  # seconds between two log lines about it
REDIS_TIMEOUT = (
    2.0  # generous: a process that is merely busy must not take Redis for dead and count for itself
)
REDIS_CONNECTIONS = 8  # who finds all in use waits: a flood must not look like a Redis that is away

log = structlog.get_logger()


def share(uri: str, **seconds: float) -> "Shared":
    pool = ConnectionPool.from_url(
        uri,
        max_connections=REDIS_CONNECTIONS,
        socket_timeout=REDIS_TIMEOUT,
        socket_connect_timeout=REDIS_TIMEOUT,
    )
    options: dict[str, Any] = {"implementation": "redispy", "connection_pool": pool}
    return Shared(RedisStorage(f"async+{uri}", wrap_exceptions=True, **options), pool, **seconds)


class Shared:
    """A shared storage that budgets outlive: while it is away each process counts for itself.

    Each goes on from the last count that it was told, so that an outage is no new budget for who had spent theirs.
    """

    def __init__(
        self, shared: RedisStorage, pool: ConnectionPool, *, away: float = AWAY, say_every: float = SAY_EVERY
    ) -> None:
        self._shared = shared
        self._pool = pool
        self._away = away
        self._say_every = say_every
        self._room = asyncio.Semaphore(REDIS_CONNECTIONS)
        self._own: Storage = Memory()
        self._away_until = 0.0
        self._said = -math.inf

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def is_there(self) -> bool:
        """Whether what is shared answers now."""
        return bool(await self._ask_shared("check"))

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        count: int | None = await self._ask_shared("incr", key, expiry, amount)
        if count is None:
            return await self._own.incr(key, expiry, amount)
        if expiry > MINUTE:  # those of calls are many, and soon over
            await self._own.incr(key, expiry, count - await self._own.get(key))
        return count

    async def get(self, key: str) -> int:
        return int(await self._ask("get", key))

    async def get_expiry(self, key: str) -> float:
        return float(await self._ask("get_expiry", key))

    async def _ask(self, method: str, *arguments: Any) -> Any:
        answer = await self._ask_shared(method, *arguments)
        return await getattr(self._own, method)(*arguments) if answer is None else answer

    async def _ask_shared(self, method: str, *arguments: Any) -> Any:
        """None while it is away."""
        async with self._room:
            if time.monotonic() < self._away_until:  # those who waited know what became of those before them
                return None
            try:
                return await getattr(self._shared, method)(*arguments)
            except StorageError as error:
                self._leave_alone(error)
                return None

    def _leave_alone(self, error: StorageError) -> None:
        now = time.monotonic()
        self._away_until = now + self._away
        if now - self._said >= self._say_every:
            self._said = now
            log.warning("budgets_not_shared", error=type(error.storage_error).__name__)
