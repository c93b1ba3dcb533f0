"""Budgets for what can be guessed or flooded: failed log-ins and registrations.

A slot is taken before mbizmarket is asked and given back when the try was none of those that count, so that any number
of tries at once cannot overshoot.
"""

import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.budgets import Budget, Memory
from app.problems import TooManyAttempts

if TYPE_CHECKING:
    from app.shared import Shared

FAILED_PER_EMAIL = Budget("failed-email", 5, 15 * 60)  # below mbizmarket's lock after 10
FAILED_PER_PP = Budget("failed-pp", 20, 3600)
FAILED_PER_ADDRESS = Budget("failed-address", 200, 3600)  # a ministry shares one
REGISTRATIONS_PER_PP = Budget("registrations", 20, 24 * 3600)


def storage_for(uri: str, **seconds: float) -> "Memory | Shared":
    """`memory://`, or `redis://…` with memory to fall back on; `seconds` as Shared has them."""
    if uri.startswith("memory://"):
        return Memory()
    from app.shared import share  # costs 150 ms and 10 MB: where there is a Redis alone

    return share(uri, **seconds)


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
        self,
        storage: "Memory | Shared | None" = None,
        refused: Callable[[str], None] = lambda _budget: None,
    ) -> None:
        self._refused = refused
        self._storage = storage or Memory()
        self.shared = None if isinstance(self._storage, Memory) else self._storage  # with other replicas

    async def aclose(self) -> None:
        if self.shared:
            await self.shared.aclose()

    def failures(self, email_digest: str, pp_id: str, address: str) -> AbstractAsyncContextManager[Slot]:
        """Around a try with a password. Raises TooManyAttempts when any budget of failures is spent."""
        return self._slot(
            (FAILED_PER_EMAIL, email_digest), (FAILED_PER_PP, pp_id), (FAILED_PER_ADDRESS, address)
        )

    def registrations(self, pp_id: str) -> AbstractAsyncContextManager[Slot]:
        """Around a registration. Raises TooManyAttempts when the PP has sent its day's worth."""
        return self._slot((REGISTRATIONS_PER_PP, pp_id))

    @asynccontextmanager
    async def _slot(self, *budgets: tuple[Budget, str]) -> AsyncIterator[Slot]:
        slot = Slot()
        taken: list[tuple[Budget, str]] = []
        try:
            for budget, whose in budgets:
                key = budget.key(whose)
                taken.append((budget, key))
                if await self._storage.incr(key, budget.seconds) > budget.most:
                    self._refused(budget.name)
                    raise TooManyAttempts(retry_after=await self._wait(key))
            yield slot
        finally:
            if not slot.counts:
                for budget, key in taken:
                    await self._give_back(budget, key)

    async def _give_back(self, budget: Budget, key: str) -> None:
        """Nothing where the window has ended meanwhile: the next one must not start with a credit."""
        if await self._storage.get(key) > 0:
            await self._storage.incr(key, budget.seconds, -1)

    async def _wait(self, key: str) -> int:
        return max(1, math.ceil(await self._storage.get_expiry(key) - time.time()))
