"""Budgets for what can be guessed or flooded: failed log-ins and registrations.

A slot is taken before mbizmarket is asked and given back when the try was none of those that count, so that any number
of tries at once cannot overshoot.
"""

import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter

from app.budgets import Memory, Shared
from app.problems import TooManyAttempts

FAILED_PER_EMAIL = RateLimitItemPerSecond(5, 15 * 60, "failed-email")  # below mbizmarket's lock after 10
FAILED_PER_PP = RateLimitItemPerSecond(20, 3600, "failed-pp")
FAILED_PER_ADDRESS = RateLimitItemPerSecond(200, 3600, "failed-address")  # a ministry shares one
REGISTRATIONS_PER_PP = RateLimitItemPerSecond(20, 24 * 3600, "registrations")


@dataclass(slots=True)
class Slot:
    """A try that holds its place in the budgets; `count` keeps it when the try is over, `give_back` does not."""

    counts: bool = field(default=False, init=False)

    def count(self) -> None:
        self.counts = True

    def give_back(self) -> None:
        self.counts = False


class Throttle:
    """`refused` is told the name of a budget whenever it is found spent."""

    def __init__(
        self, storage: Storage | None = None, refused: Callable[[str], None] = lambda _budget: None
    ) -> None:
        self._refused = refused
        self._storage = storage or Memory()
        self.shared = storage if isinstance(storage, Shared) else None  # with other replicas
        self._limiter = FixedWindowRateLimiter(self._storage)

    async def aclose(self) -> None:
        if self.shared:
            await self.shared.aclose()

    @asynccontextmanager
    async def failures(self, email_digest: str, pp_id: str, address: str) -> AsyncIterator[Slot]:
        """Around a try with a password. Raises TooManyAttempts when any budget of failures is spent."""
        budgets = [
            (FAILED_PER_EMAIL, email_digest),
            (FAILED_PER_PP, pp_id),
            (FAILED_PER_ADDRESS, address),
        ]
        async with self._slot(budgets) as slot:
            yield slot

    @asynccontextmanager
    async def registrations(self, pp_id: str) -> AsyncIterator[Slot]:
        """Around a registration. Raises TooManyAttempts when the PP has sent its day's worth."""
        async with self._slot([(REGISTRATIONS_PER_PP, pp_id)]) as slot:
            yield slot

    @asynccontextmanager
    async def _slot(self, budgets: Sequence[tuple[RateLimitItem, str]]) -> AsyncIterator[Slot]:
        slot = Slot()
        taken: list[tuple[RateLimitItem, str]] = []
        try:
            for item, key in budgets:
                taken.append((item, key))
                if not await self._limiter.hit(item, key):
                    self._refused(item.namespace)
                    raise TooManyAttempts(retry_after=await self._wait(item, key))
            yield slot
        finally:
            if not slot.counts:
                for item, key in taken:
                    await self._give_back(item, key)

    async def _give_back(self, item: RateLimitItem, key: str) -> None:
        """Nothing where the window has ended meanwhile: the next one must not start with a credit."""
        if await self._storage.get(item.key_for(key)) > 0:
            await self._storage.incr(item.key_for(key), item.get_expiry(), -1)

    async def _wait(self, item: RateLimitItem, key: str) -> int:
        reset = (await self._limiter.get_window_stats(item, key)).reset_time
        return max(1, math.ceil(reset - time.time()))
