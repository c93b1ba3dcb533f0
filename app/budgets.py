"""How budgets are counted, in memory or elsewhere (app/shared.py); and the budget of all calls of a PP."""

import time
from collections.abc import Callable
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

from app.problems import RateLimited

MINUTE = 60


class Budget(NamedTuple):
    """So many for each of its kind, counted from the first one on for so many seconds."""

    name: str
    most: int
    seconds: int

    def key(self, whose: str) -> str:
        return f"{self.name}/{whose}"


class Storage(Protocol):
    """Counts that end with their windows."""

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """The count with this `amount`; the first one begins a window of `expiry` seconds."""

    async def get(self, key: str) -> int: ...

    async def get_expiry(self, key: str) -> float:
        """When the window ends, in seconds since 1970; where there is none, now."""


class Memory:
    """One dictionary, in which each window costs its place in a heap, once."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counts: dict[str, tuple[int, float]] = {}  # and when its window ends
        self._ends: list[tuple[float, str]] = []

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
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

    def _forget_the_ended(self) -> float:
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            del self._counts[heappop(self._ends)[1]]
        return now


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
