"""Where budgets are counted: in memory, or in a Redis that all replicas share; and the budget of all calls of a PP."""

import asyncio
import math
import time
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from limits.aio.storage import RedisStorage, Storage
from limits.errors import StorageError

from app.problems import RateLimited

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

MINUTE = 60
AWAY = 5.0  # seconds that a Redis which did not answer is left alone
SAY_EVERY = 60.0  # seconds between two log lines about it
REDIS_TIMEOUT = (
    2.0  # generous: a process that is merely busy must not take Redis for dead and count for itself
)
REDIS_CONNECTIONS = 8  # who finds all in use waits: a flood must not look like a Redis that is away

log = structlog.get_logger()


def storage_for(uri: str, **seconds: float) -> Storage:
    """`memory://`, or `redis://…` with memory to fall back on; `seconds` as Shared has them."""
    if uri.startswith("memory://"):
        return Memory()
    from redis.asyncio import ConnectionPool  # costs 100 ms and 8 MB: where there is a Redis alone

    pool = ConnectionPool.from_url(
        uri,
        max_connections=REDIS_CONNECTIONS,
        socket_timeout=REDIS_TIMEOUT,
        socket_connect_timeout=REDIS_TIMEOUT,
    )
    options: dict[str, Any] = {"implementation": "redispy", "connection_pool": pool}
    return Shared(RedisStorage(f"async+{uri}", wrap_exceptions=True, **options), pool, **seconds)


class Memory(Storage):
    """Counts that end with their windows, in one dictionary.

    The library's own looks through all its keys after each increment, in a task made for that: with the keys of
    10,000 log-ins a day's work for one. Here each window costs its place in a heap, once.
    """

    STORAGE_SCHEME = None

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock
        self._counts: dict[str, tuple[int, float]] = {}  # and when its window ends
        self._ends: list[tuple[float, str]] = []

    @property
    def base_exceptions(self) -> type[Exception]:
        return StorageError

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = self._forget_the_ended()
        count, ends = self._counts.get(key, (0, 0.0))
        if not ends:
            ends = now + expiry
            heappush(self._ends, (ends, key))
        self._counts[key] = count + amount, ends
        return count + amount

    async def get(self, key: str) -> int:
        self._forget_the_ended()
        return self._counts.get(key, (0, 0.0))[0]

    async def get_expiry(self, key: str) -> float:
        now = self._forget_the_ended()
        return self._counts.get(key, (0, now))[1]

    async def check(self) -> bool:
        return True

    async def reset(self) -> int | None:
        count = len(self._counts)
        self._counts, self._ends = {}, []
        return count

    async def clear(self, key: str) -> None:
        """At the end of its window, which a cleared key must not start anew with its place in the heap."""
        if key in self._counts:
            self._counts[key] = 0, self._counts[key][1]

    def _forget_the_ended(self) -> float:
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            del self._counts[heappop(self._ends)[1]]
        return now


class Shared(Storage):
    """A shared storage that budgets outlive: while it is away each process counts for itself.

    Each goes on from the last count that it was told, so that an outage is no new budget for who had spent theirs.
    """

    STORAGE_SCHEME = None

    def __init__(
        self, shared: Storage, pool: "ConnectionPool", *, away: float = AWAY, say_every: float = SAY_EVERY
    ) -> None:
        super().__init__()
        self._shared = shared
        self._pool = pool
        self._away = away
        self._say_every = say_every
        self._room = asyncio.Semaphore(REDIS_CONNECTIONS)
        self._own = Memory()
        self._away_until = 0.0
        self._said = -math.inf

    @property
    def base_exceptions(self) -> type[Exception]:
        return StorageError

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

    async def check(self) -> bool:
        return bool(await self._ask("check"))

    async def reset(self) -> int | None:
        count: int | None = await self._ask("reset")
        return count

    async def clear(self, key: str) -> None:
        await self._ask("clear", key)

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


class Allowance(NamedTuple):
    """What is left of a budget: `remaining` of `limit` calls, for `reset` more seconds."""

    name: str
    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """As the IETF's RateLimit header fields have it."""
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.limit};w={MINUTE}',
            "RateLimit": f'"{self.name}";r={self.remaining};t={self.reset}',
        }


class CallBudget:
    """So many calls a minute for each PP, and a tenth of that for those that ask mbizmarket.

    Counted by the minute of the clock, so that one increment is all it takes; in memory that is one dictionary, which
    is on the path of every request. `refused` is told the name of a budget whenever it is found spent.
    """

    def __init__(
        self,
        per_minute: int,
        shared: Storage | None = None,
        clock: Callable[[], float] = time.time,
        refused: Callable[[str], None] = lambda _budget: None,
    ) -> None:
        self._refused = refused
        self._clock = clock
        self._limits = {"calls": per_minute, "mbizmarket": max(1, per_minute // 10)}
        self._shared = shared
        self._minute = 0
        self._counts: dict[str, int] = {}

    async def spend(self, pp_id: str, *, asks_mbizmarket: bool) -> Allowance:
        """Counts one call. Raises RateLimited when the budget of this minute is spent."""
        allowance = await self._spend("calls", pp_id)
        return await self._spend("mbizmarket", pp_id) if asks_mbizmarket else allowance

    async def _spend(self, name: str, pp_id: str) -> Allowance:
        minute, second = divmod(int(self._clock()), MINUTE)
        key = f"{name}/{pp_id}"
        if self._shared is None:
            count = self._count(key, minute)
        else:
            count = await self._shared.incr(f"{key}/{minute}", MINUTE)
        limit, reset = self._limits[name], MINUTE - second
        allowance = Allowance(name, limit, max(0, limit - count), reset)
        if count > limit:
            self._refused(name)
            raise RateLimited(retry_after=reset, headers=allowance.headers())
        return allowance

    def _count(self, key: str, minute: int) -> int:
        if minute != self._minute:
            self._minute = minute
            self._counts = {}
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return count
